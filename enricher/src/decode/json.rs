//! Reading single values out of borrowed JSON, each with its own idea of what a wrong type means.
//!
//! A field that a price, a time or an identity depends on is *needed*: a wrong type refuses the record. Any other field
//! is *wished for*: a wrong type leaves it out and is counted. `null` and a field that is not there are the same.

use std::cell::Cell;
use std::fmt;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Refusal, RefusalClass};

/// Keepa's series, which most of its arrays have a slot for.
const USUAL_ELEMENTS: usize = 36;

/// A field as it stands in the record.
pub(super) type Field<'a> = Option<&'a RawValue>;

/// A JSON object. Anything else is `None`; so are arrays, which serde would take for structs.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<Result<T, serde_json::Error>> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()))
}

/// The elements of a JSON array.
pub(super) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    let elements = raw
        .get()
        .starts_with('[')
        .then(|| serde_json::from_str::<Elements<'_>>(raw.get()).ok())
        .flatten();
    elements.map(|elements| elements.0)
}

/// Elements in a vector that is made as large at once as most of Keepa's arrays are: to let it grow costs more than to
/// read them.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::with_capacity(USUAL_ELEMENTS);
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Elements(elements))
    }
}

/// A whole number, also where it is written `4999.0` or `4.999e3`.
pub(super) fn integer(raw: &RawValue) -> Option<i64> {
    whole_number(raw.get())
}

/// The same from the text of one JSON value.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number = exact_number(text)?;
        number.is_integer().then(|| number.to_i64()).flatten()
    })
}

/// A number, exact.
pub(super) fn decimal(raw: &RawValue) -> Option<Decimal> {
    exact_number(raw.get())
}

fn exact_number(text: &str) -> Option<Decimal> {
    // Decimal's parser also takes underscores and a plus sign, which JSON has not let through.
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// A text.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn shape(name: impl fmt::Display, expected: &str, raw: &RawValue) -> Refusal {
    Refusal::new(RefusalClass::Shape, format!("{name} is {}, {expected} is expected", kind(raw)))
}

/// What a value is, for messages: never the value itself, which may be long.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A whole number of 32 bits or less, as all of Keepa's prices, ranks and times are.
pub(super) fn needed_integer(name: impl fmt::Display, field: Field<'_>) -> Result<Option<i64>, Refusal> {
    let Some(raw) = field.filter(|raw| !is_null(raw)) else { return Ok(None) };
    let number = integer(raw).filter(|&number| i32::try_from(number).is_ok());
    number.map(Some).ok_or_else(|| shape(name, "a whole number of 32 bits", raw))
}

/// A time: a whole number, also as a text, as Keepa writes it in some places.
pub(super) fn needed_time(name: &str, field: Field<'_>) -> Result<Option<i64>, Refusal> {
    let Some(raw) = field.filter(|raw| !is_null(raw)) else { return Ok(None) };
    let number = integer(raw).or_else(|| text(raw)?.parse().ok());
    number.map(Some).ok_or_else(|| shape(name, "a whole number", raw))
}

/// An object.
pub(super) fn needed_object<'a, T: Deserialize<'a>>(name: &str, field: Field<'a>) -> Result<Option<T>, Refusal> {
    let Some(raw) = field.filter(|raw| !is_null(raw)) else { return Ok(None) };
    match object(raw) {
        Some(Ok(object)) => Ok(Some(object)),
        // Its syntax is proved, so this is a name that stands twice.
        Some(Err(error)) => Err(Refusal::new(RefusalClass::Shape, format!("{name} cannot be read: {error}"))),
        None => Err(shape(name, "an object", raw)),
    }
}

/// The elements of an array.
pub(super) fn needed_elements<'a>(name: &str, field: Field<'a>) -> Result<Option<Vec<&'a RawValue>>, Refusal> {
    let Some(raw) = field.filter(|raw| !is_null(raw)) else { return Ok(None) };
    elements(raw).map(Some).ok_or_else(|| shape(name, "an array", raw))
}

/// Reads fields that are wished for, and counts those of a wrong type.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    ignored: Cell<u32>,
}

impl Wishes {
    /// How many fields were left out so far.
    pub(super) fn ignored(&self) -> u32 {
        self.ignored.get()
    }

    fn read<'a, T>(&self, field: Field<'a>, read: impl FnOnce(&'a RawValue) -> Option<T>) -> Option<T> {
        let raw = field.filter(|raw| !is_null(raw))?;
        let value = read(raw);
        if value.is_none() {
            self.ignored.set(self.ignored.get().saturating_add(1));
        }
        value
    }

    /// A whole number.
    pub(super) fn integer(&self, field: Field<'_>) -> Option<i64> {
        self.read(field, integer)
    }

    /// A whole number greater than zero: -1, -2 and 0 are Keepa's ways to say none.
    pub(super) fn positive(&self, field: Field<'_>) -> Option<i64> {
        self.integer(field).filter(|&number| number > 0)
    }

    /// The same in 32 bits.
    pub(super) fn positive_i32(&self, field: Field<'_>) -> Option<i32> {
        self.positive(field).and_then(|number| i32::try_from(number).ok())
    }

    /// A number, exact.
    pub(super) fn decimal(&self, field: Field<'_>) -> Option<Decimal> {
        self.read(field, decimal)
    }

    /// A text that is not blank, without blanks around it.
    pub(super) fn text(&self, field: Field<'_>) -> Option<String> {
        let text = self.read(field, text)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// True or false.
    pub(super) fn boolean(&self, field: Field<'_>) -> Option<bool> {
        self.read(field, |raw| match raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// An object.
    pub(super) fn object<'a, T: Deserialize<'a>>(&self, field: Field<'a>) -> Option<T> {
        self.read(field, |raw| object(raw)?.ok())
    }

    /// The elements of an array; of one that is not there, none.
    pub(super) fn elements<'a>(&self, field: Field<'a>) -> Vec<&'a RawValue> {
        self.read(field, elements).unwrap_or_default()
    }
}
