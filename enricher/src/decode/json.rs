//! Single values out of a record, each with its own idea of what a wrong type means.
//!
//! A field that a price, a time or an identity depends on is *needed*: a wrong type refuses the record. Any other field
//! is *wished for*: a wrong type leaves it out and is counted. `null` and a field that is not there are the same.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::scan::{Elements, Field, Json, Members, Object};
use super::{Refusal, RefusalClass};

/// A field that says something.
pub(super) fn told(field: Field<'_>) -> Field<'_> {
    field.filter(|json| !json.is_null())
}

/// A whole number, also where it is written `4999.0` or `4.999e3`.
pub(super) fn integer(json: Json<'_>) -> Option<i64> {
    whole_number(json.get())
}

/// The same from the text of one JSON value.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number = exact_number(text)?;
        number.is_integer().then(|| number.to_i64()).flatten()
    })
}

/// A number, exact.
pub(super) fn decimal(json: Json<'_>) -> Option<Decimal> {
    exact_number(json.get())
}

fn exact_number(text: &str) -> Option<Decimal> {
    // Decimal's parser also takes underscores and a plus sign, which JSON has not let through.
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

fn shape(name: impl fmt::Display, expected: &str, json: Json<'_>) -> Refusal {
    Refusal::new(RefusalClass::Shape, format!("{name} is {}, {expected} is expected", json.kind()))
}

/// A whole number of 32 bits or less, as all of Keepa's prices, ranks and times are.
pub(super) fn needed_integer(name: impl fmt::Display, field: Field<'_>) -> Result<Option<i64>, Refusal> {
    let Some(json) = told(field) else { return Ok(None) };
    let number = integer(json).filter(|&number| i32::try_from(number).is_ok());
    number.map(Some).ok_or_else(|| shape(name, "a whole number of 32 bits", json))
}

/// A time: a whole number, also as a text, as Keepa writes it in some places.
pub(super) fn needed_time(name: &str, field: Field<'_>) -> Result<Option<i64>, Refusal> {
    let Some(json) = told(field) else { return Ok(None) };
    let number = integer(json).or_else(|| json.text()?.parse().ok());
    number.map(Some).ok_or_else(|| shape(name, "a whole number", json))
}

/// An object.
pub(super) fn needed_object<'o, T>(name: &str, object: &'o Object<'_, T>) -> Result<Option<&'o T>, Refusal> {
    let Some(json) = told(object.text) else { return Ok(None) };
    if let Some(flaw) = &object.flaw {
        return Err(Refusal::new(RefusalClass::Shape, format!("{name} cannot be read: {flaw}")));
    }
    let is_object = json.get().starts_with('{');
    is_object.then_some(Some(&object.members)).ok_or_else(|| shape(name, "an object", json))
}

/// An array; whether there is one.
pub(super) fn needed_array(name: &str, field: Field<'_>) -> Result<bool, Refusal> {
    let Some(json) = told(field) else { return Ok(false) };
    let is_array = json.get().starts_with('[');
    is_array.then_some(true).ok_or_else(|| shape(name, "an array", json))
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

    fn read<'a, T>(&self, field: Field<'a>, read: impl FnOnce(Json<'a>) -> Option<T>) -> Option<T> {
        let value = read(told(field)?);
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
    pub(super) fn text<'a>(&self, field: Field<'a>) -> Option<Cow<'a, str>> {
        let trimmed = match self.read(field, Json::text)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        (!trimmed.is_empty()).then_some(trimmed)
    }

    /// True or false.
    pub(super) fn boolean(&self, field: Field<'_>) -> Option<bool> {
        self.read(field, |json| match json.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// An object.
    pub(super) fn object<'a, T: Members<'a>>(&self, field: Field<'a>) -> Option<T> {
        self.read(field, Json::object)
    }

    /// Counts what should be an array and is none.
    pub(super) fn array(&self, field: Field<'_>) {
        self.read(field, |json| json.get().starts_with('[').then_some(()));
    }

    /// The elements of an array; of one that is not there, none.
    pub(super) fn elements<'a>(&self, field: Field<'a>) -> Elements<'a> {
        self.read(field, Json::elements).unwrap_or_else(Elements::none)
    }
}
