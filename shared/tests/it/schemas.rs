//! The files in `schemas/` compared with the code: what is written fits its schema, a schema describes what is written
//! and no more, and every sample ever published is still read.
//!
//! `UPDATE_SCHEMAS=1` writes the samples that are missing. It never changes one that is there: others rely on them.
//! Schemas are written by hand, since their descriptions are their point.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

mod documents;
mod shape;

use documents::{Document, documents};
use shape::Shape;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas")
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(name: &str) -> Value {
    read_json(&folder().join("kafka").join(format!("{name}.json")))
}

/// The topic's schema; where a document is only a part of the topic's value, the schema of that part.
fn validator(document: &Document) -> Option<jsonschema::Validator> {
    let mut schema = schema(document.schema?);
    if let Some(definition) = document.definition {
        let part = serde_json::json!({ "$schema": schema["$schema"], "$ref": format!("#/$defs/{definition}"), "$defs": schema["$defs"] });
        schema = part;
    }
    Some(jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{}: {error}", document.name)))
}

fn assert_valid(validator: &jsonschema::Validator, value: &Value, what: &str) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what} does not fit its schema:\n{}", errors.join("\n"));
}

/// Parses a document into its wire type and writes it again.
pub(crate) fn through<T: DeserializeOwned + serde::Serialize>(value: &Value) -> Result<Value, String> {
    // Through text, as on the wire: a `Value` would hide what text tells apart.
    let parsed: T = serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())?;
    serde_json::to_value(&parsed).map_err(|error| error.to_string())
}

#[test]
fn schemas_are_valid_and_say_what_they_are() {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder().join("kafka")).expect("schemas/kafka") {
        let path = entry.expect("an entry").path();
        let schema = read_json(&path);
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{}", path.display());
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
        assert_eq!(schema["$id"], format!("urn:schema:kafka:{name}"));
        for key in ["title", "description"] {
            assert!(schema[key].is_string(), "{name} has no {key}");
        }
        names.insert(name);
    }
    let topics = [
        "raw.keepa_updates.v1",
        "enriched.products.v1",
        "alerts.opportunities.v1",
        "job.requests.v1",
        "raw.keepa_updates.dlq.v1",
    ];
    assert_eq!(names, topics.map(str::to_owned).into());
    for topic in shared::adapters::kafka::Topic::ALL {
        assert!(names.contains(&format!("{}.v1", topic.base_name())), "{topic} has no schema");
    }
}

#[test]
fn what_is_written_fits_its_schema() {
    for document in documents() {
        let Some(validator) = validator(&document) else { continue };
        for (index, value) in document.values.iter().enumerate() {
            assert_valid(&validator, value, &format!("{} {index}", document.name));
        }
        // A topic that takes several forms takes each of them.
        let whole = document.schema.map(schema).filter(|whole| whole.get("oneOf").is_some());
        if let Some(whole) = whole {
            let whole = jsonschema::draft202012::new(&whole).expect("a schema");
            document.values.iter().for_each(|value| assert_valid(&whole, value, document.name));
        }
    }
}

#[test]
fn a_schema_describes_exactly_the_fields_that_are_written() {
    for document in documents() {
        let Some(name) = document.schema else { continue };
        let schema = schema(name);
        let root = document.definition.map_or(&schema, |definition| &schema["$defs"][definition]);
        let shape = Shape::of(&schema, root);
        let mut written = BTreeSet::new();
        for value in &document.values {
            shape
                .note_fields(value, &mut written)
                .unwrap_or_else(|unknown| panic!("{} does not describe {unknown}", document.name));
        }
        let unwritten: Vec<&String> = shape.fields().difference(&written).collect();
        assert!(unwritten.is_empty(), "{} describes what no document carries: {unwritten:?}", document.name);
    }
}

#[test]
fn required_is_what_is_always_written_and_what_cannot_be_read_without() {
    for document in documents() {
        let Some(name) = document.schema else { continue };
        let schema = schema(name);
        let root = document.definition.map_or(&schema, |definition| &schema["$defs"][definition]);
        let shape = Shape::of(&schema, root);
        for value in &document.values {
            for (path, fields) in shape.objects(value) {
                let object = value.pointer(&path).expect("the shape's own path");
                for (field, is_required) in fields {
                    let is_written = object.get(&field).is_some();
                    assert!(
                        is_written || !is_required,
                        "{}: {path}/{field} is required but not always written",
                        document.name
                    );
                    if !is_written || is_required {
                        continue;
                    }
                    let mut without = value.clone();
                    let holder = without.pointer_mut(&path).and_then(Value::as_object_mut).expect("an object");
                    holder.remove(&field);
                    let read = (document.read)(&without);
                    assert!(read.is_ok(), "{}: {path}/{field} is not required, but without it: {read:?}", document.name);
                }
            }
        }
    }
}

#[test]
fn enumerations_list_what_the_code_knows() {
    let expected = documents::enumerations();
    let mut seen = BTreeSet::new();
    for name in ["raw.keepa_updates.v1", "enriched.products.v1", "alerts.opportunities.v1", "job.requests.v1"] {
        for (path, values) in shape::enumerations(&schema(name)) {
            let Some(known) = expected.values().find(|known| **known == values) else {
                panic!("{name}: {path} lists {values:?}, which is no enumeration of the code");
            };
            seen.insert(known.clone());
        }
    }
    for (enumeration, values) in expected {
        assert!(seen.contains(&values), "no schema lists {enumeration}");
    }
}

#[test]
fn every_sample_is_still_read_and_written_alike() {
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        write_missing_samples();
    }
    let documents: BTreeMap<&str, Document> = documents().into_iter().map(|document| (document.name, document)).collect();
    let mut covered = BTreeSet::new();
    for entry in std::fs::read_dir(folder().join("samples")).expect("schemas/samples") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        // `state-runs.failed.json` is a further sample of `state-runs`.
        let kind = documents
            .keys()
            .filter(|name| file.starts_with(&format!("{name}.")))
            .max_by_key(|name| name.len());
        let document = &documents[kind.unwrap_or_else(|| panic!("{file}: no such kind of document"))];
        let sample = read_json(&path);
        let again = (document.read)(&sample).unwrap_or_else(|error| panic!("{file} is not readable any more: {error}"));
        match document.schema {
            Some(_) => assert_eq!(again, sample, "{file} is written otherwise than it was read"),
            // Nobody else reads these: a field that has come since may stand there with its default.
            None => assert!(keeps(&again, &sample), "{file} loses something: {again}"),
        }
        if let Some(validator) = validator(document) {
            assert_valid(&validator, &sample, &file);
        }
        covered.insert(document.name);
    }
    let missing: Vec<&&str> = documents.keys().filter(|name| !covered.contains(**name)).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}: UPDATE_SCHEMAS=1 writes them");
}

/// Whether all of `sample` is in `again`, unchanged.
fn keeps(again: &Value, sample: &Value) -> bool {
    match (again, sample) {
        (Value::Object(again), Value::Object(sample)) => sample.iter().all(|(name, value)| again.get(name).is_some_and(|kept| keeps(kept, value))),
        _ => again == sample,
    }
}

fn write_missing_samples() {
    for document in documents() {
        let path = folder().join("samples").join(format!("{}.json", document.name));
        if !path.exists() {
            let text = serde_json::to_string_pretty(&document.values[0]).expect("JSON");
            std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

#[test]
fn elasticsearch_maps_only_fields_that_documents_have() {
    let kinds = [
        ("products", "enriched.products.v1", None),
        ("opportunities", "alerts.opportunities.v1", Some("opportunity")),
    ];
    let Ok(entries) = std::fs::read_dir(folder().join("elasticsearch")) else {
        eprintln!("schemas/elasticsearch is not there: nothing to compare");
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_str().expect("UTF-8");
        let Some((_, document, definition)) = kinds.iter().find(|(index, ..)| file.starts_with(index)) else {
            continue;
        };
        let schema = schema(document);
        let root = definition.map_or(&schema, |definition: &str| &schema["$defs"][definition]);
        let shape = Shape::of(&schema, root);
        let mapped = shape::mapped_fields(&read_json(&path));
        assert!(!mapped.is_empty(), "{file}: no mapping is found");
        // These are the adapter's own: what documents are searched and ordered by.
        let own = |field: &[String]| field.first().is_some_and(|first| ["words", "texts", "title_key"].contains(&first.as_str()));
        for field in mapped.into_iter().filter(|field| !own(field)) {
            assert!(shape.has(&field), "{file}: {field:?} is mapped, but no document has it");
        }
    }
}

#[test]
fn the_envelope_carries_the_product_byte_for_byte() {
    let sample = std::fs::read_to_string(folder().join("samples/raw.keepa_updates.v1.json")).expect("a sample");
    let envelope: shared::wire::raw_update::RawEnvelope<'_> = serde_json::from_str(&sample).expect("an envelope");
    let product = envelope.product.expect("a product").get();
    assert!(sample.contains(product) && documents::write_envelope(&envelope).contains(product));
}
