//! What two runs on one machine agree in: value by value of the files that they wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

/// Values that differ by more than this part of the smaller one do not agree.
const TOLERANCE: f64 = 0.1;
/// Members that say what a value is of; all others are values.
const NAMES: [&str; 8] = ["order", "what", "on", "connections", "partitions", "replicas", "records_per_second", "records"];
/// What is no measurement, or is one that stands elsewhere, too.
const LEFT_OUT: [&str; 4] = ["conditions", "verified", "failed", "goals"];
/// Of several rounds the middle one is compared, the ends are what they happen to be.
const ENDS: [&str; 3] = ["min", "max", "p999_ms"];
/// The values that do not agree, and how many do.
///
/// # Errors
/// A file that is no results of this program.
pub fn compare(first: &Path, second: &Path) -> anyhow::Result<String> {
    let [first, second] = [read(first)?, read(second)?];
    let mut text = String::from("| | first | second | times |\n|---|---|---|---|\n");
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut alone = second.keys().filter(|path| !first.contains_key(*path)).count();
    for (path, one) in &first {
        let Some(other) = second.get(path) else {
            alone += 1;
            continue;
        };
        let times = if one == other {
            1.0
        } else {
            one.abs().max(other.abs()) / one.abs().min(other.abs())
        };
        let kind = if is_ratio(path) {
            "ratios"
        } else if is_of_the_slowest(path) {
            "times of the slowest"
        } else {
            "other values"
        };
        let (agree, all) = counts.entry(kind).or_default();
        *all += 1;
        if times <= 1.0 + TOLERANCE {
            *agree += 1;
        } else {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {path} | {one:.2} | {other:.2} | {times:.2} |");
        }
    }
    text.push('\n');
    for (kind, (agree, all)) in counts {
        let _ = writeln!(text, "{agree} of {all} {kind} agree within {:.0} %.", TOLERANCE * 100.0);
    }
    if alone > 0 {
        let _ = writeln!(text, "{alone} values are in one of the two only.");
    }
    Ok(text)
}

/// Ratios are to agree also where the machine changes its pace; their names say of what they are.
fn is_ratio(path: &str) -> bool {
    path.split(' ').any(|part| part.starts_with("of_") || part.contains("_of_"))
}

/// What one in a hundred takes, or one in all, is a matter of what else the machine did just then.
fn is_of_the_slowest(path: &str) -> bool {
    path.rsplit(' ').next().is_some_and(|name| name.contains("p99") || name.contains("max"))
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let what = || format!("{} holds no results", path.display());
    let value: Value = serde_json::from_slice(&std::fs::read(path).with_context(what)?).with_context(what)?;
    let mut values = BTreeMap::new();
    collect("", &value, &mut values);
    Ok(values)
}

/// Every number by the way to it; members of a list by what they say they are of.
fn collect(path: &str, value: &Value, values: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members
                .iter()
                .filter(|(name, _)| !is_name(name) && !LEFT_OUT.contains(&name.as_str()) && !ENDS.contains(&name.as_str()))
            {
                collect(format!("{path} {name}").trim_start(), value, values);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let named = item.as_object().map(names).filter(|names| !names.is_empty());
                collect(&format!("{path} {}", named.unwrap_or_else(|| place.to_string())), item, values);
            }
        }
        Value::Number(number) => {
            values.extend(number.as_f64().map(|number| (path.to_owned(), number)));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

fn names(members: &Map<String, Value>) -> String {
    let texts = NAMES.iter().filter_map(|name| members.get(*name)).map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    texts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_by_more_than_a_tenth_is_listed_and_the_rest_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, rate: f64, p50: f64| {
            let results = json!([{"order": "close", "what": "a fill", "per_second": {"min": rate / 9.0, "median": rate}, "of_bulk": {"median": rate / 100.0}}]);
            let api = json!([{"on": "servers", "connections": 1, "p50_ms": p50, "answer_p99_ms": 9.0 * rate}]);
            let values = json!({"conditions": {"cores": rate}, "enricher": {"results": results}, "api": api});
            let path = folder.path().join(name);
            std::fs::write(&path, values.to_string()).expect("written");
            path
        };
        let (first, near, far) = (file("a", 100.0, 2.0), file("b", 109.0, 2.0), file("c", 120.0, 2.1));
        let text = compare(&first, &near).expect("compared");
        for counts in ["1 of 1 ratios", "2 of 2 other values", "1 of 1 times of the slowest"] {
            assert!(text.contains(counts), "{text}");
        }
        let text = compare(&first, &far).expect("compared");
        assert!(text.contains("| enricher results close/a fill of_bulk median | 1.00 | 1.20 | 1.20 |"), "{text}");
        for counts in ["0 of 1 ratios", "1 of 2 other values", "0 of 1 times of the slowest"] {
            assert!(text.contains(counts), "{text}");
        }
        let other = folder.path().join("d");
        std::fs::write(&other, r#"{"start": {"embedded_mib": 1}}"#).expect("written");
        assert!(compare(&first, &other).expect("compared").contains("\n5 values are in one of the two only."));
        assert!(compare(&first, Path::new("/nowhere")).is_err());
    }
}
