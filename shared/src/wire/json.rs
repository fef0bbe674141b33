//! JSON of plain structs, with the names of their fields, by position, or with names and some fields by position.
//!
//! By position a struct is the list of its fields, in the order in which they are declared: `[4799,null,5499]` instead of
//! `{"new":4799,"list_price":5499}`. Two thirds of a named product document are names, the same in every one. What serde
//! derives for a struct reads both forms. A field that is left out stands as `null`, and none stand at the end, so whoever
//! adds a field adds it last, with a default; a field that is no more leaves its place.
//!
//! With names it is what `serde_json` writes, but that names, which are identifiers, are not looked through for characters
//! to escape, every time anew: that takes a quarter off what a document costs.

use serde::Serialize;
use serde::ser::{self, Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};
use serde_json::{Error, Result};

/// What stands for a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An object: its fields by name.
    Named,
    /// Likewise, but what fields of these names hold is by position.
    NamedBut(&'static [&'static str]),
    /// A list of its fields.
    Positional,
}

impl Form {
    /// What stands for a struct in the field of this name.
    fn of_field(self, name: &str) -> Form {
        match self {
            Form::NamedBut(by_position) if by_position.contains(&name) => Form::Positional,
            form => form,
        }
    }
}

/// Appends a value.
///
/// # Errors
/// The value holds what no document of ours does: a float, bytes, or a variant with content.
pub(super) fn append<T: Serialize + ?Sized>(value: &T, form: Form, json: &mut Vec<u8>) -> Result<()> {
    value.serialize(Writer { json, form })
}

/// Writes one value.
struct Writer<'a> {
    json: &'a mut Vec<u8>,
    form: Form,
}

/// Writes what follows an opening bracket, and the closing one.
struct Items<'a> {
    json: &'a mut Vec<u8>,
    form: Form,
    closing: u8,
    is_first: bool,
    /// Fields by position that were left out since the last one that was not.
    omitted: usize,
}

impl<'a> Writer<'a> {
    fn items(self, opening: u8, closing: u8) -> Items<'a> {
        self.json.push(opening);
        Items {
            json: self.json,
            form: self.form,
            closing,
            is_first: true,
            omitted: 0,
        }
    }
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.separate();
        append(value, self.form, self.json)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        if self.form != Form::Positional {
            self.separate();
            self.json.push(b'"');
            self.json.extend_from_slice(name.as_bytes());
            self.json.extend_from_slice(b"\":");
            return append(value, self.form.of_field(name), self.json);
        }
        for _ in 0..std::mem::take(&mut self.omitted) {
            self.separate();
            self.json.extend_from_slice(b"null");
        }
        self.item(value)
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.json.push(b',');
        }
    }

    fn close(self) {
        self.json.push(self.closing);
    }
}

fn unexpected<T>(what: &str) -> Result<T> {
    Err(Error::custom(format!("{what} cannot be written")))
}

/// Values that are alike in both forms.
macro_rules! as_serde_json {
    ($($method:ident: $type:ty),+ $(,)?) => {
        $(fn $method(self, value: $type) -> Result<()> {
            serde_json::to_writer(self.json, &value)
        })+
    };
}

/// A list and a tuple are written alike.
macro_rules! elements {
    ($($kind:ident),+) => {
        $(impl $kind for Items<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.item(value)
            }

            fn end(self) -> Result<()> {
                self.close();
                Ok(())
            }
        })+
    };
}

elements!(SerializeSeq, SerializeTuple);

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = ser::Impossible<(), Error>;
    type SerializeTupleVariant = ser::Impossible<(), Error>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Items<'a>;
    type SerializeStructVariant = ser::Impossible<(), Error>;

    as_serde_json! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_char: char, serialize_str: &str,
    }

    fn serialize_f32(self, _: f32) -> Result<()> {
        unexpected("a float")
    }

    fn serialize_f64(self, _: f64) -> Result<()> {
        unexpected("a float")
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        unexpected("bytes")
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.json.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, name: &'static str, _: u32, _: &'static str, _: &T) -> Result<()> {
        unexpected(name)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>> {
        Ok(self.items(b'[', b']'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a>> {
        Ok(self.items(b'[', b']'))
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct> {
        unexpected(name)
    }

    fn serialize_tuple_variant(self, name: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self::SerializeTupleVariant> {
        unexpected(name)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Items<'a>> {
        Ok(self.items(b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Items<'a>> {
        Ok(match self.form {
            Form::Named | Form::NamedBut(_) => self.items(b'{', b'}'),
            Form::Positional => self.items(b'[', b']'),
        })
    }

    fn serialize_struct_variant(self, name: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self::SerializeStructVariant> {
        unexpected(name)
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.separate();
        let start = self.json.len();
        append(key, self.form, self.json)?;
        if self.json.get(start) != Some(&b'"') {
            return unexpected("a key that is no text");
        }
        self.json.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        append(value, self.form, self.json)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        self.field(name, value)
    }

    fn skip_field(&mut self, _: &'static str) -> Result<()> {
        self.omitted += 1;
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Facts {
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<i64>,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        sides: Option<[i32; 2]>,
        inner: Vec<Facts>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<bool>,
    }

    fn written<T: Serialize>(value: &T, form: Form) -> String {
        let mut json = Vec::new();
        append(value, form, &mut json).expect("written");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    #[test]
    fn by_position_a_struct_is_the_list_of_its_fields_without_what_is_left_out_at_its_end() {
        let empty = || Facts {
            name: "\"a\"".into(),
            ..Facts::default()
        };
        let nested = Facts {
            first: Some(-1),
            sides: Some([3, 4]),
            inner: vec![empty()],
            last: Some(true),
            ..empty()
        };
        for (facts, expected) in [
            (empty(), r#"[null,"\"a\"",null,[]]"#),
            (nested, r#"[-1,"\"a\"",[3,4],[[null,"\"a\"",null,[]]],true]"#),
        ] {
            let json = written(&facts, Form::Positional);
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_str::<Facts>(&json).expect("read"), facts);
        }
    }

    #[test]
    fn what_a_field_holds_may_be_by_position_where_its_struct_is_not() {
        let facts = Facts {
            inner: vec![Facts::default()],
            last: Some(true),
            ..Facts::default()
        };
        let json = written(&[facts], Form::NamedBut(&["inner"]));
        assert_eq!(json, r#"[{"name":"","inner":[[null,"",null,[]]],"last":true}]"#);
    }

    #[test]
    fn what_a_longer_list_would_have_had_at_its_end_is_its_default() {
        assert_eq!(serde_json::from_str::<Facts>("[7]").expect("read").first, Some(7));
        assert_eq!(serde_json::from_str::<Facts>("[]").expect("read"), Facts::default());
    }

    #[test]
    fn with_names_it_is_what_serde_json_writes() {
        let facts = Facts {
            name: "a\u{1}\"ß".into(),
            inner: vec![Facts::default()],
            last: Some(false),
            ..Facts::default()
        };
        let maps = BTreeMap::from([(String::new(), vec![]), ("\"".into(), vec![facts])]);
        assert_eq!(written(&maps, Form::Named), serde_json::to_string(&maps).expect("JSON"));
    }

    #[test]
    fn what_is_no_plain_document_is_an_error() {
        let error = append(&BTreeMap::from([(1, "a")]), Form::Named, &mut Vec::new()).expect_err("a number is no key");
        assert_eq!(error.to_string(), "a key that is no text cannot be written");
        let error = append(&std::result::Result::<i64, i64>::Ok(1), Form::Named, &mut Vec::new()).expect_err("a variant has content");
        assert_eq!(error.to_string(), "Result cannot be written");
        let error = append(&[0.5], Form::Positional, &mut Vec::new()).expect_err("money is no float");
        assert_eq!(error.to_string(), "a float cannot be written");
    }
}
