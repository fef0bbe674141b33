//! Which fields a schema describes, and which of them a document carries.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The fields that a schema describes, by path: `/markets/*/*/latest`. `*` stands for any key of a map or any element.
pub(crate) struct Shape<'a> {
    schema: &'a Value,
    root: &'a Value,
    fields: BTreeSet<String>,
}

impl<'a> Shape<'a> {
    /// The shape of `root`, a part of `schema`, whose `$defs` count.
    pub(crate) fn of(schema: &'a Value, root: &'a Value) -> Shape<'a> {
        let mut fields = BTreeSet::new();
        collect(schema, root, "", &mut fields);
        Shape { schema, root, fields }
    }

    pub(crate) fn fields(&self) -> &BTreeSet<String> {
        &self.fields
    }

    /// Notes the described fields that a document carries; the error is the first that is not described.
    pub(crate) fn note_fields(&self, document: &Value, noted: &mut BTreeSet<String>) -> Result<(), String> {
        let mut unknown = None;
        self.walk(document, &mut |visit| {
            if visit.is_described {
                noted.insert(visit.path.to_owned());
            } else {
                unknown.get_or_insert(visit.path.to_owned());
            }
        });
        unknown.map_or(Ok(()), Err)
    }

    /// The objects of a document that have described properties: JSON pointer, and per property whether it is required.
    pub(crate) fn objects(&self, document: &Value) -> Vec<(String, Vec<(String, bool)>)> {
        let mut found = Vec::new();
        objects(self.schema, self.root, document, String::new(), &mut found);
        found
    }

    /// Whether a document may have a field, by the names that lead to it.
    pub(crate) fn has(&self, names: &[String]) -> bool {
        let mut at = resolve(self.schema, self.root);
        for name in names {
            // Elasticsearch makes no difference between a field and a list of it.
            if at["items"].is_object() {
                at = resolve(self.schema, &at["items"]);
            }
            let next = at["properties"]
                .get(name)
                .or_else(|| Some(&at["additionalProperties"]).filter(|any| any.is_object()));
            let Some(next) = next else { return false };
            at = resolve(self.schema, next);
        }
        true
    }

    fn walk(&self, document: &Value, visit: &mut impl FnMut(Visit<'_>)) {
        walk(self.schema, self.root, document, "", visit);
    }
}

struct Visit<'a> {
    path: &'a str,
    is_described: bool,
}

fn resolve<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let Some(reference) = part.get("$ref").and_then(Value::as_str) else {
        return part;
    };
    let target = schema.pointer(reference.trim_start_matches('#'));
    resolve(schema, target.unwrap_or_else(|| panic!("{reference} is not defined")))
}

fn properties(part: &Value) -> impl Iterator<Item = (&String, &Value)> {
    part.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn any_key(part: &Value) -> Option<&Value> {
    part.get("additionalProperties").filter(|any| any.is_object())
}

fn collect(schema: &Value, part: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let part = resolve(schema, part);
    for (name, property) in properties(part) {
        let path = format!("{path}/{name}");
        collect(schema, property, &path, fields);
        fields.insert(path);
    }
    for any in any_key(part).into_iter().chain(part.get("items")) {
        collect(schema, any, &format!("{path}/*"), fields);
    }
}

fn walk(schema: &Value, part: &Value, value: &Value, path: &str, visit: &mut impl FnMut(Visit<'_>)) {
    let part = resolve(schema, part);
    match value {
        Value::Object(fields) if part.get("properties").is_some() || any_key(part).is_some() => {
            for (name, value) in fields {
                if let Some(property) = part["properties"].get(name) {
                    let path = format!("{path}/{name}");
                    visit(Visit {
                        path: &path,
                        is_described: true,
                    });
                    walk(schema, property, value, &path, visit);
                } else if let Some(any) = any_key(part) {
                    walk(schema, any, value, &format!("{path}/*"), visit);
                } else {
                    let path = format!("{path}/{name}");
                    visit(Visit {
                        path: &path,
                        is_described: false,
                    });
                }
            }
        }
        Value::Array(items) if part.get("items").is_some() => {
            for item in items {
                walk(schema, &part["items"], item, &format!("{path}/*"), visit);
            }
        }
        // An object that the schema leaves open, such as Keepa's own product, or a plain value.
        _ => {}
    }
}

fn objects(schema: &Value, part: &Value, value: &Value, pointer: String, found: &mut Vec<(String, Vec<(String, bool)>)>) {
    let part = resolve(schema, part);
    match value {
        Value::Object(fields) => {
            let required = |name: &str| part["required"].as_array().is_some_and(|required| required.iter().any(|field| field == name));
            let described: Vec<(String, bool)> = properties(part).map(|(name, _)| (name.clone(), required(name))).collect();
            if !described.is_empty() {
                found.push((pointer.clone(), described));
            }
            for (name, value) in fields {
                if let Some(next) = part["properties"].get(name).or_else(|| any_key(part)) {
                    objects(schema, next, value, format!("{pointer}/{name}"), found);
                }
            }
        }
        Value::Array(items) if part.get("items").is_some() => {
            for (index, item) in items.iter().enumerate() {
                objects(schema, &part["items"], item, format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// All `enum`s of a schema, by the path to them.
pub(crate) fn enumerations(schema: &Value) -> BTreeMap<String, BTreeSet<String>> {
    fn gather(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_array() {
                        Some(values) if name == "enum" => {
                            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                            found.insert(path.to_owned(), values.iter().map(text).collect());
                        }
                        _ => gather(value, &format!("{path}/{name}"), found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, path, found)),
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    gather(schema, "", &mut found);
    found
}

/// The fields that an index template or mapping names, by the names that lead to them.
pub(crate) fn mapped_fields(mapping: &Value) -> Vec<Vec<String>> {
    fn find(value: &Value) -> Option<&Value> {
        match value {
            Value::Object(fields) => fields.get("mappings").or_else(|| fields.values().find_map(find)),
            _ => None,
        }
    }
    fn gather(mapping: &Value, names: &[String], found: &mut Vec<Vec<String>>) {
        for (name, field) in mapping.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let names: Vec<String> = names.iter().cloned().chain([name.clone()]).collect();
            gather(field, &names, found);
            found.push(names);
        }
    }
    let mut found = Vec::new();
    gather(find(mapping).unwrap_or(mapping), &[], &mut found);
    found
}
