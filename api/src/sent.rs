//! Values that clients send in a request's body: kept as they came until the handler, which knows the field's name, reads
//! them. So a mistake is told with its name, and no digit is lost on the way.

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON};
use rust_decimal::Decimal;
use serde_json::Value;
use shared::domain::profit::Share;

use crate::error::Problem;
use crate::values::{Market, value_type};

/// More digits than any amount or rate has.
const MOST_CHARACTERS: usize = 30;

macro_rules! sent_value {
    ($(#[$docs:meta])* $type:ident, $name:literal, $schema:expr) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $type(Value);

        value_type!($type, $name, $schema);

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                Some(self.0.clone())
            }
        }

        impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                Ok($type(value.unwrap_or_default()))
            }
        }
    };
}

sent_value!(
    /// An amount or a rate.
    SentNumber,
    "number",
    MetaSchema::new("number")
);
sent_value!(
    /// A fraction from 0 to 1.
    SentShare,
    "share",
    MetaSchema {
        minimum: Some(0.0),
        maximum: Some(1.0),
        ..MetaSchema::new("number")
    }
);
sent_value!(
    /// A marketplace's code.
    SentMarket,
    "market",
    MetaSchema {
        enum_items: Market::codes(),
        ..MetaSchema::new("string")
    }
);
sent_value!(
    /// A word.
    SentWord,
    "word",
    MetaSchema::new("string")
);
sent_value!(
    /// Some words.
    SentWords,
    "words",
    MetaSchema {
        items: Some(Box::new(poem_openapi::registry::MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))),
        ..MetaSchema::new("array")
    }
);
sent_value!(
    /// Yes or no.
    SentFlag,
    "flag",
    MetaSchema::new("boolean")
);

fn expected(field: &str, value: &Value, expected: &str) -> Problem {
    let found: String = value.to_string().chars().take(40).collect();
    let reason = match value {
        Value::Null => format!("is missing: {expected} is expected"),
        _ => format!("is {found}: {expected} is expected"),
    };
    Problem::field(field, reason)
}

impl SentNumber {
    /// The number, to the last digit.
    pub(crate) fn read(&self, field: &str) -> Result<Decimal, Problem> {
        let number = match &self.0 {
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let number = number.filter(|text| text.len() <= MOST_CHARACTERS);
        number
            .and_then(|text| Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok())
            .ok_or_else(|| expected(field, &self.0, "a number"))
    }
}

impl SentShare {
    pub(crate) fn read(&self, field: &str) -> Result<Share, Problem> {
        let number = SentNumber(self.0.clone()).read(field)?;
        Share::new(number).map_err(|error| Problem::field(field, error.to_string()))
    }
}

impl SentMarket {
    pub(crate) fn read(&self, field: &str) -> Result<Market, Problem> {
        SentWord(self.0.clone()).read(field, "a marketplace's code such as DE")
    }
}

impl SentWord {
    pub(crate) fn read<T: FromStr<Err: std::fmt::Display>>(&self, field: &str, wanted: &str) -> Result<T, Problem> {
        let text = self.0.as_str().ok_or_else(|| expected(field, &self.0, wanted))?;
        text.parse().map_err(|error: T::Err| Problem::field(field, error.to_string()))
    }
}

impl SentFlag {
    pub(crate) fn read(&self, field: &str) -> Result<bool, Problem> {
        self.0.as_bool().ok_or_else(|| expected(field, &self.0, "true or false"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_digits_and_what_is_none_is_named() {
        for (json, expected) in [
            ("49.90", Ok("49.90")),
            ("0.85363", Ok("0.85363")),
            ("1e2", Ok("100")),
            ("0.1000000000000000055", Ok("0.1000000000000000055")),
            ("\"49.90\"", Err("field freight: is \"49.90\": a number is expected")),
            ("null", Err("field freight: is missing: a number is expected")),
            ("1e999", Err("field freight: is 1e+999: a number is expected")),
            ("[1]", Err("field freight: is [1]: a number is expected")),
        ] {
            let sent = SentNumber(serde_json::from_str(json).expect("JSON"));
            let read = sent.read("freight").map(|number| number.to_string()).map_err(|problem| problem.to_string());
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{json}");
        }
    }
}
