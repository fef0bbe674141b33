//! What the fake server holds, and what Elasticsearch would answer. No faults here: those are [`super::script`]'s.
//!
//! Like the real one it makes an index that is written to and missing, unless the request forbids it; it enforces the
//! conditions of writes; and it keeps a history of what was applied, so that tests can ask how often something was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::script::{Item, Request};

/// What is held: indices behind aliases.
#[derive(Debug, Default)]
pub struct Store {
    indices: BTreeMap<String, Index>,
    /// Alias -> index.
    aliases: BTreeMap<String, String>,
    /// Index, id and `revision` of every write that was applied, in order.
    applied: Vec<(String, String, i64)>,
    /// Requests that are not understood. A test ends with none.
    pub unknown: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Index {
    documents: BTreeMap<String, Document>,
    next_seq_no: u64,
    /// The index was made by a write alone.
    made_by_accident: bool,
}

#[derive(Debug, Clone)]
struct Document {
    seq_no: u64,
    source: Value,
}

/// Indices are never reopened here.
const PRIMARY_TERM: u64 = 1;

/// Decides on an item before the store does: an answer, or nothing.
pub type Judge<'a> = &'a dyn Fn(&Item) -> Option<Value>;

/// An item's answer with an error.
pub fn item_error(status: u16, kind: &str, reason: &str) -> Value {
    json!({"_index": "products-v1", "status": status, "error": {"type": kind, "reason": reason}})
}

/// The answer to a whole request with an error.
pub fn error(status: u16, kind: &str, reason: &str) -> (u16, Value) {
    (status, json!({"error": {"root_cause": [], "type": kind, "reason": reason}, "status": status}))
}

impl Store {
    /// The documents behind an alias.
    pub fn documents(&self, alias: &str) -> BTreeMap<String, Value> {
        let index = self.aliases.get(alias).and_then(|index| self.indices.get(index));
        let documents = index.into_iter().flat_map(|index| &index.documents);
        documents.map(|(id, document)| (id.clone(), document.source.clone())).collect()
    }

    /// The revisions of a product that were applied, in order.
    pub fn revisions(&self, id: &str) -> Vec<i64> {
        let of = |(index, of, _): &&(String, String, i64)| of == id && index.contains("products");
        self.applied.iter().filter(of).map(|&(_, _, revision)| revision).collect()
    }

    /// How many product writes were applied.
    pub fn applied(&self) -> usize {
        self.applied.iter().filter(|(index, ..)| index.contains("products")).count()
    }

    /// Indices that a write made by accident.
    pub fn made_by_accident(&self) -> Vec<String> {
        let accidents = self.indices.iter().filter(|(_, index)| index.made_by_accident);
        accidents.map(|(name, _)| name.clone()).collect()
    }

    /// Whether there is an index of this name.
    pub fn has_index(&self, index: &str) -> bool {
        self.indices.contains_key(index)
    }

    /// An operator's deed: the index and what it held are gone, and so are its aliases.
    pub fn delete_index(&mut self, index: &str) {
        self.indices.remove(index);
        self.aliases.retain(|_, named| named != index);
    }

    /// An operator's deed: the alias is gone, the index stays.
    pub fn delete_alias(&mut self, alias: &str) {
        self.aliases.remove(alias);
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &Request, judge: Judge<'_>) -> (u16, Value) {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let body = || serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
        match (request.method.as_str(), path.as_slice()) {
            ("PUT", ["_index_template", _]) => (200, json!({"acknowledged": true})),
            ("GET", ["_alias", alias]) => match self.aliases.get(*alias) {
                Some(index) => (200, json!({index.as_str(): {"aliases": {*alias: {}}}})),
                None => (404, json!({"error": format!("alias [{alias}] missing"), "status": 404})),
            },
            ("POST", ["_aliases"]) => self.change_aliases(&body()),
            ("PUT", [alias, "_mapping"]) if self.aliases.contains_key(*alias) => (200, json!({"acknowledged": true})),
            ("PUT", [index]) => self.make_index(index, &body()),
            ("GET", [aliases, "_settings", _]) => self.settings(aliases),
            ("GET", ["_cluster", "health", _]) => (200, json!({"status": "green", "timed_out": false})),
            ("POST", [alias, "_mget"]) => (200, self.read(alias, &body())),
            ("POST", [alias, "_bulk"]) => {
                let require_alias = request.query.contains("require_alias=true");
                let items = request.items();
                let answers = items
                    .iter()
                    .map(|item| json!({item.action.as_str(): judge(item).unwrap_or_else(|| self.write(alias, require_alias, item))}));
                let answers: Vec<Value> = answers.collect();
                (200, json!({"took": 1, "errors": false, "items": answers}))
            }
            _ => {
                let what = format!("{} {}", request.method, request.path);
                self.unknown.insert(what.clone());
                error(400, "illegal_argument_exception", &format!("the fake server does not know {what}"))
            }
        }
    }

    fn change_aliases(&mut self, body: &Value) -> (u16, Value) {
        for action in body["actions"].as_array().into_iter().flatten() {
            let text = |what: &str, name: &str| action[what][name].as_str().map(str::to_owned);
            if let (Some(alias), Some(index)) = (text("remove", "alias"), text("remove", "index")) {
                self.aliases.retain(|name, named| *name != alias || *named != index);
            }
            if let (Some(alias), Some(index)) = (text("add", "alias"), text("add", "index")) {
                self.aliases.insert(alias, index);
            }
        }
        (200, json!({"acknowledged": true}))
    }

    fn make_index(&mut self, index: &str, body: &Value) -> (u16, Value) {
        if self.indices.contains_key(index) {
            return error(400, "resource_already_exists_exception", &format!("index [{index}] already exists"));
        }
        self.indices.insert(index.to_owned(), Index::default());
        for alias in body["aliases"].as_object().into_iter().flat_map(|aliases| aliases.keys()) {
            self.aliases.insert(alias.clone(), index.to_owned());
        }
        (200, json!({"acknowledged": true, "shards_acknowledged": true, "index": index}))
    }

    fn settings(&self, aliases: &str) -> (u16, Value) {
        let mut settings = serde_json::Map::new();
        for alias in aliases.split(',') {
            let Some(index) = self.aliases.get(alias) else {
                return error(404, "index_not_found_exception", &format!("no such index [{alias}]"));
            };
            settings.insert(index.clone(), json!({"settings": {}}));
        }
        (200, settings.into())
    }

    fn read(&self, alias: &str, body: &Value) -> Value {
        let index = self.aliases.get(alias).and_then(|name| Some((name, self.indices.get(name)?)));
        let ids = body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let documents = ids.map(|id| {
            let Some((name, index)) = index else {
                let reason = format!("no such index [{alias}]");
                return json!({"_index": alias, "_id": id, "error": {"type": "index_not_found_exception", "reason": reason}});
            };
            match index.documents.get(id) {
                None => json!({"_index": name, "_id": id, "found": false}),
                Some(Document { seq_no, source }) => {
                    json!({"_index": name, "_id": id, "_seq_no": seq_no, "_primary_term": PRIMARY_TERM, "found": true, "_source": source})
                }
            }
        });
        json!({"docs": documents.collect::<Vec<_>>()})
    }

    fn write(&mut self, alias: &str, require_alias: bool, item: &Item) -> Value {
        let name = match self.aliases.get(alias) {
            Some(index) => index.clone(),
            None if require_alias => {
                let reason = format!("no such index [{alias}] and [require_alias] request flag is [true] and [{alias}] is not an alias");
                return item_error(404, "index_not_found_exception", &reason);
            }
            None => alias.to_owned(),
        };
        let index = self.indices.entry(name.clone()).or_insert_with(|| Index {
            made_by_accident: true,
            ..Index::default()
        });
        let held = index.documents.get(&item.id).map(|document| (document.seq_no, PRIMARY_TERM));
        let holds = match item.action.as_str() {
            "create" => held.is_none(),
            _ => item.condition.is_none() || item.condition == held,
        };
        if !holds {
            return item_error(409, "version_conflict_engine_exception", "version conflict");
        }
        let seq_no = index.next_seq_no;
        index.next_seq_no += 1;
        let revision = item.source["revision"].as_i64().unwrap_or(0);
        let source = item.source.clone();
        index.documents.insert(item.id.clone(), Document { seq_no, source });
        self.applied.push((name.clone(), item.id.clone(), revision));
        json!({"_index": name, "_seq_no": seq_no, "_primary_term": PRIMARY_TERM, "status": if held.is_none() { 201 } else { 200 }})
    }
}
