//! Decimals as people write them in files: as a number or as text, to the last digit either way.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number, or a text that is one.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let value = Value::deserialize(deserializer)?;
    of(&value).ok_or_else(|| serde::de::Error::custom(format!("{} is no decimal number", shown(&value))))
}

/// The same, or null.
pub(super) fn read_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let decimal = of(&value).ok_or_else(|| serde::de::Error::custom(format!("{} is no decimal number", shown(&value))))?;
    Ok(Some(decimal))
}

/// The decimal, if the value is one.
pub(super) fn of(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// As it stands in the file, cut to 40 characters.
pub(super) fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(40).collect()
}
