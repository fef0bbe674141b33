//! JSON read once, from front to back: what is known is kept as the text that it is, all else is proved and passed over.
//!
//! Strict as `serde_json` is, in what is only passed over too: a dead letter is JSON or is none whatever of it is used. Kept
//! for speed: a record is some 5 kB of which a tenth is read, and a library that reads by type either walks what is unread
//! once for each object that it lies in, or has the whole record refused for a field that nothing depends on.
//!
//! Only objects that are known are descended into, so nesting as deep as somebody likes exhausts no stack.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A JSON value as it stands in the record; its syntax is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Json<'a>(&'a str);

/// A member as it stands in the record, `null` included; `None` = it does not.
pub(super) type Field<'a> = Option<Json<'a>>;

impl<'a> Json<'a> {
    /// The text.
    pub(super) fn get(self) -> &'a str {
        self.0
    }

    /// What a value is, for messages: never the value itself, which may be long.
    pub(super) fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// Whether it says nothing.
    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The elements of an array, one after the other.
    pub(super) fn elements(self) -> Option<Elements<'a>> {
        let is_array = self.0.starts_with('[');
        is_array.then(|| Elements(Scanner { at: 1, ..Scanner::new(self.0) }))
    }

    /// The members of an object; none too where one of the names is broken or stands twice.
    pub(super) fn object<T: Members<'a>>(self) -> Option<T> {
        let mut members = T::default();
        Scanner::new(self.0).members(&mut members).is_ok().then_some(members)
    }

    /// A text with its escapes resolved; none where one is broken (half of a surrogate pair).
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.as_bytes().contains(&b'\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }
}

/// The elements of an array whose syntax is proved.
pub(super) struct Elements<'a>(Scanner<'a>);

impl Elements<'_> {
    /// Of no array.
    pub(super) fn none() -> Self {
        Elements(Scanner::new(""))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        if self.0.peek()? == b']' {
            return None;
        }
        let element = self.0.value().ok()?;
        if self.0.peek() == Some(b',') {
            self.0.at += 1;
        }
        Some(element)
    }
}

/// An object that is read member by member.
pub(super) trait Members<'a>: Default {
    /// Takes the member of this name: the scanner stands behind the name.
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop>;
}

/// An object within an object: its members where it is one, else what stands there.
#[derive(Debug, Default)]
pub(super) struct Object<'a, T> {
    /// The whole of it.
    pub(super) text: Field<'a>,
    /// As far as they are known.
    pub(super) members: T,
    /// Why its members cannot be told.
    pub(super) flaw: Option<String>,
}

/// An array of which some elements are kept: those at given places, which are in ascending order and below [`ELEMENTS`].
#[derive(Debug)]
pub(super) struct Row<'a, const N: usize> {
    /// The whole of it, or what stands there instead.
    pub(super) text: Field<'a>,
    /// An element for each place, as far as the array reaches.
    pub(super) kept: [Field<'a>; N],
}

impl<const N: usize> Default for Row<'_, N> {
    fn default() -> Self {
        Row { text: None, kept: [None; N] }
    }
}

/// Why an object was not read to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is no JSON.
    Syntax,
    /// A name in it is no text: half of a surrogate pair.
    Name,
    /// A name in it has stood before.
    Again,
    /// The same, in words.
    Twice(String),
}

/// The text is no JSON; [`trouble`] has the words for it.
#[derive(Debug)]
pub(super) struct NotJson;

impl From<NotJson> for Stop {
    fn from(_: NotJson) -> Self {
        Stop::Syntax
    }
}

/// Walks a text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// What closes the arrays and objects that are open in the value being passed over, the innermost last.
    open: Vec<u8>,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, open: Vec::new() }
    }

    /// Reads an object.
    pub(super) fn members(&mut self, members: &mut impl Members<'a>) -> Result<(), Stop> {
        self.peek();
        let begin = self.at;
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let from = self.at;
            let is_plain = self.quoted()?;
            let quoted = &self.text[from..self.at];
            let taken = if is_plain {
                members.member(&quoted[1..quoted.len() - 1], self)
            } else {
                let name: String = serde_json::from_str(quoted).map_err(|_| Stop::Name)?;
                members.member(&name, self)
            };
            match taken {
                Ok(()) => {}
                Err(Stop::Again) => return Err(self.duplicate(begin, quoted)),
                Err(stop) => return Err(stop),
            }
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.peek();
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop::Syntax),
            }
        }
    }

    /// The value that the text is, and nothing but blanks around it.
    pub(super) fn only_value(mut self) -> Result<Json<'a>, NotJson> {
        let value = self.value()?;
        self.end()?;
        Ok(value)
    }

    /// Proves that nothing but blanks follows.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        if self.peek().is_none() { Ok(()) } else { Err(NotJson) }
    }

    /// A member's value, kept as it is.
    pub(super) fn keep(&mut self, field: &mut Field<'a>) -> Result<(), Stop> {
        first(field)?;
        *field = Some(self.member_value()?);
        Ok(())
    }

    /// A member's value that nobody asks for.
    pub(super) fn pass_over(&mut self) -> Result<(), Stop> {
        self.take(b':')?;
        self.peek();
        Ok(self.pass_value()?)
    }

    /// A member's value.
    pub(super) fn member_value(&mut self) -> Result<Json<'a>, Stop> {
        self.take(b':')?;
        Ok(self.value()?)
    }

    /// A member that is an object, read along.
    pub(super) fn descend<T: Members<'a>>(&mut self, object: &mut Object<'a, T>) -> Result<(), Stop> {
        first(&object.text)?;
        self.take(b':')?;
        if self.peek() != Some(b'{') {
            object.text = Some(self.value()?);
            return Ok(());
        }
        let begin = self.at;
        if let Err(stop) = self.members(&mut object.members) {
            // The rest has to be JSON all the same.
            self.at = begin;
            self.open.clear();
            let text = self.value()?;
            object.flaw = Some(match stop {
                Stop::Twice(why) => why,
                _ => trouble::<BTreeMap<String, IgnoredAny>>(text.get()),
            });
        }
        object.text = Some(self.since(begin));
        Ok(())
    }

    /// A member that is an array, with its elements at `places`.
    pub(super) fn row<const N: usize>(&mut self, row: &mut Row<'a, N>, places: &[usize; N]) -> Result<(), Stop> {
        debug_assert!(places.is_sorted() && places.iter().all(|&place| place < ELEMENTS));
        first(&row.text)?;
        self.take(b':')?;
        let is_array = self.peek() == Some(b'[');
        let begin = self.at;
        if is_array && let Some(numbers) = self.integers() {
            keep_numbers(numbers, &mut row.kept, places);
        } else if is_array {
            self.keep_elements(&mut row.kept, places)?;
        } else {
            self.pass_value()?;
        }
        row.text = Some(self.since(begin));
        Ok(())
    }

    /// Passes an array that begins here.
    fn keep_elements<const N: usize>(&mut self, kept: &mut [Field<'a>; N], places: &[usize; N]) -> Result<(), NotJson> {
        self.at += 1;
        let (mut index, mut next) = (0, 0);
        let mut is_open = self.peek() != Some(b']');
        while is_open {
            let from = self.at;
            self.pass_value()?;
            if places.get(next) == Some(&index) {
                kept[next] = Some(self.since(from));
                next += 1;
            }
            index += 1;
            is_open = match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.peek();
                    true
                }
                Some(b']') => false,
                _ => return Err(NotJson),
            };
        }
        self.at += 1;
        Ok(())
    }

    /// Any value.
    fn value(&mut self) -> Result<Json<'a>, NotJson> {
        self.peek();
        let begin = self.at;
        self.pass_value()?;
        Ok(self.since(begin))
    }

    fn since(&self, begin: usize) -> Json<'a> {
        Json(&self.text[begin..self.at])
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte behind blanks, which is not taken yet.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Takes this byte, from behind blanks.
    fn take(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != Some(byte) {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes a value that begins here.
    fn pass_value(&mut self) -> Result<(), NotJson> {
        match self.byte() {
            Some(b'[' | b'{') => self.nested(),
            Some(byte) => self.scalar(byte),
            None => Err(NotJson),
        }
    }

    fn scalar(&mut self, first: u8) -> Result<(), NotJson> {
        match first {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.quoted().map(drop),
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => Err(NotJson),
        }
    }

    /// Passes an array or object with all that is in it.
    fn nested(&mut self) -> Result<(), NotJson> {
        let outside = self.open.len();
        'values: loop {
            self.enter()?;
            // Behind a value, or where an array or object has nothing in it.
            while self.open.len() > outside {
                let close = self.open.last().copied();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.peek();
                        if close == Some(b'}') {
                            self.member_name()?;
                        }
                        continue 'values;
                    }
                    byte if byte == close => {
                        self.at += 1;
                        self.open.pop();
                    }
                    _ => return Err(NotJson),
                }
            }
            return Ok(());
        }
    }

    /// Goes into the value that begins here, and the first one in that, as far as there is one; passes the innermost.
    fn enter(&mut self) -> Result<(), NotJson> {
        loop {
            let close = match self.byte() {
                Some(b'[') if self.integers().is_some() => return Ok(()),
                Some(b'[') => b']',
                Some(b'{') => b'}',
                Some(byte) => return self.scalar(byte),
                None => return Err(NotJson),
            };
            self.at += 1;
            self.open.push(close);
            if self.peek() == Some(close) {
                return Ok(());
            }
            if close == b'}' {
                self.member_name()?;
            }
        }
    }

    /// `"name":`, up to its value.
    fn member_name(&mut self) -> Result<(), NotJson> {
        self.quoted()?;
        self.take(b':')?;
        self.peek();
        Ok(())
    }

    /// A text in quotes; whether it is free of escapes.
    fn quoted(&mut self) -> Result<bool, NotJson> {
        if self.byte() != Some(b'"') {
            return Err(NotJson);
        }
        self.at += 1;
        let mut is_plain = true;
        loop {
            self.at += plain_length(&self.text.as_bytes()[self.at..]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(is_plain);
                }
                Some(b'\\') => {
                    is_plain = false;
                    self.escape()?;
                }
                // A control character, or the end.
                _ => return Err(NotJson),
            }
        }
    }

    /// Whether the two halves of a surrogate pair meet is asked where the text is read.
    fn escape(&mut self) -> Result<(), NotJson> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let length = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => 5,
            _ => return Err(NotJson),
        };
        self.at += 1 + length;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotJson> {
        let bytes = self.text.as_bytes();
        // Not in the scanner itself: what waits for memory at each step takes twice as long.
        let mut at = self.at + usize::from(self.byte() == Some(b'-'));
        let digits = digits_length(&bytes[at..]);
        if digits == 0 || (digits > 1 && bytes[at] == b'0') {
            return Err(NotJson);
        }
        at += digits;
        if let Some(b'.' | b'e' | b'E') = bytes.get(at) {
            at += fraction_length(&bytes[at..])?;
        }
        self.at = at;
        Ok(())
    }

    /// Passes an array of whole numbers without blanks, as nearly all that Keepa has are, and gives what stands between its
    /// brackets. None, and nothing is passed, where it is another: it may be JSON all the same.
    fn integers(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let begin = self.at + 1;
        matches!(bytes.get(begin), Some(b'-' | b'0'..=b'9')).then_some(())?;
        let end = begin + memchr::memchr(b']', &bytes[begin..])?;
        are_integers(bytes, begin, end).then_some(())?;
        self.at = end + 1;
        Some(&self.text[begin..end])
    }

    /// In the words and with the place that `serde_json` has for it.
    #[cold]
    fn duplicate(&mut self, begin: usize, quoted: &str) -> Stop {
        let name: String = serde_json::from_str(quoted).unwrap_or_default();
        self.peek();
        let before = &self.text[begin..self.at];
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        Stop::Twice(format!("duplicate field `{name}` at line {line} column {column}"))
    }
}

/// What `serde_json` says of a text that is no `T`.
#[cold]
pub(super) fn trouble<'a, T: Deserialize<'a>>(text: &'a str) -> String {
    let read: Result<T, _> = serde_json::from_str(text);
    read.map_or_else(|error| error.to_string(), |_| "it is no JSON".to_owned())
}

fn first(field: &Field<'_>) -> Result<(), Stop> {
    if field.is_some() { Err(Stop::Again) } else { Ok(()) }
}

/// Eight bytes at a time: this many times the same byte.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// How many bytes come before the first quote, backslash or control character.
fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(chunk) = bytes[length..].first_chunk::<8>() {
        let chunk = u64::from_le_bytes(*chunk);
        // The lowest bit that is set is right; those above it may owe theirs to a borrow.
        let control = chunk.wrapping_sub(all(0x20)) & !chunk;
        let quote = chunk ^ all(b'"');
        let quote = quote.wrapping_sub(all(1)) & !quote;
        let backslash = chunk ^ all(b'\\');
        let backslash = backslash.wrapping_sub(all(1)) & !backslash;
        let found = (control | quote | backslash) & all(0x80);
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    length + bytes[length..].iter().take_while(is_plain).count()
}

/// How many digits come first. Lengths differ from number to number, so a branch for each digit would be guessed wrong.
fn digits_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(chunk) = bytes[length..].first_chunk::<8>() {
        // A digit is 0 to 9 now; of what is more, the sum has the highest bit. A carry goes upwards only.
        let chunk = u64::from_le_bytes(*chunk) ^ all(b'0');
        let found = (chunk.wrapping_add(all(0x80 - 10)) | chunk) & all(0x80);
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + bytes[length..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// `.5e-7`: how long it is.
fn fraction_length(bytes: &[u8]) -> Result<usize, NotJson> {
    let digits = |at: usize| match digits_length(&bytes[at..]) {
        0 => Err(NotJson),
        digits => Ok(at + digits),
    };
    let mut at = 0;
    if bytes.first() == Some(&b'.') {
        at = digits(1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let is_signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(is_signed))?;
    }
    Ok(at)
}

/// Bytes that are looked at at once.
const LANES: usize = 16;

/// Whether these bytes, which follow a bracket, are whole numbers with commas between them.
///
/// Each byte is judged by the two before it, which needs no walk from number to number: the compiler makes it a few
/// instructions for [`LANES`] bytes.
fn are_integers(bytes: &[u8], begin: usize, end: usize) -> bool {
    let inner = &bytes[begin..end];
    if begin < 2 || inner.len() < LANES || !inner[inner.len() - 1].is_ascii_digit() {
        return false;
    }
    let is_fine = |at: usize| {
        let window = bytes[at - 2..].first_chunk::<{ LANES + 2 }>();
        window.is_some_and(|window| {
            let is_digit = |byte: u8| byte.wrapping_sub(b'0') <= 9;
            let mut is_wrong = false;
            for lane in 0..LANES {
                let (second_last, last, byte) = (window[lane], window[lane + 1], window[lane + 2]);
                let begins = (last == b',') | (last == b'[');
                let is_of_number = is_digit(byte) & !((last == b'0') & !is_digit(second_last));
                let is_other = ((byte == b',') & is_digit(last)) | ((byte == b'-') & begins);
                is_wrong |= !(is_of_number | is_other);
            }
            !is_wrong
        })
    };
    // The last ones may be judged twice.
    (begin..end - LANES).step_by(LANES).all(is_fine) && is_fine(end - LANES)
}

/// Elements of an array are kept up to here.
const ELEMENTS: usize = 64;

/// Keeps the numbers at `places`.
fn keep_numbers<'a, const N: usize>(numbers: &'a str, kept: &mut [Field<'a>; N], places: &[usize; N]) {
    // Where each ends. No branch for a comma: where the next one is would be guessed wrong.
    let mut ends = [0; ELEMENTS];
    let mut index = 0;
    for (at, byte) in numbers.bytes().enumerate() {
        ends[index] = at;
        index += usize::from(byte == b',');
        if index == ELEMENTS {
            break;
        }
    }
    if index < ELEMENTS {
        ends[index] = numbers.len();
        index += 1;
    }
    for (field, &place) in kept.iter_mut().zip(places) {
        *field = (place < index).then(|| {
            let begin = place.checked_sub(1).map_or(0, |before| ends[before] + 1);
            Json(&numbers[begin..ends[place]])
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// Every member, in the order of the record.
    #[derive(Debug, Default)]
    struct All<'a>(Vec<(String, Json<'a>)>);

    impl<'a> Members<'a> for All<'a> {
        fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
            let value = scanner.member_value()?;
            self.0.push((name.to_owned(), value));
            Ok(())
        }
    }

    #[derive(Debug, Default)]
    struct Outer<'a> {
        one: Field<'a>,
        inner: Object<'a, Inner<'a>>,
        row: Row<'a, 3>,
    }

    #[derive(Debug, Default)]
    struct Inner<'a> {
        two: Field<'a>,
    }

    impl<'a> Members<'a> for Outer<'a> {
        fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
            match name {
                "one" => scanner.keep(&mut self.one),
                "inner" => scanner.descend(&mut self.inner),
                "row" => scanner.row(&mut self.row, &[0, 2, 5]),
                _ => scanner.pass_over(),
            }
        }
    }

    impl<'a> Members<'a> for Inner<'a> {
        fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
            match name {
                "two" => scanner.keep(&mut self.two),
                _ => scanner.pass_over(),
            }
        }
    }

    fn is_json(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    fn whole(text: &str) -> Result<All<'_>, Stop> {
        let mut all = All::default();
        let mut scanner = Scanner::new(text);
        scanner.members(&mut all)?;
        scanner.end()?;
        Ok(all)
    }

    /// As `serde_json` decides, of a value as it is passed over and of an object as it is read.
    fn check(text: &str) {
        let value = Scanner::new(text).only_value();
        assert_eq!(value.is_ok(), is_json(text), "{text:?}");
        if let Ok(value) = value {
            assert_eq!(value.get(), serde_json::from_str::<&RawValue>(text).expect("JSON").get());
            let elements = value.elements().map(|elements| elements.map(Json::get).collect::<Vec<_>>());
            let expected: Result<Vec<&RawValue>, _> = serde_json::from_str(text);
            assert_eq!(elements, expected.ok().map(|values| values.into_iter().map(RawValue::get).collect()));
        }
        let members = whole(text).map(|all| all.0.into_iter().map(|(name, value)| (name, value.get())).collect::<BTreeMap<_, _>>());
        let expected: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(text);
        let expected = expected.map(|members| members.into_iter().map(|(name, value)| (name, value.get())).collect());
        assert_eq!(members.ok(), expected.ok(), "{text:?}");
    }

    #[test]
    fn what_ends_a_text_or_a_number_is_found_wherever_it_stands() {
        for length in 0..40 {
            for ending in ["\"", "\\", "\u{1f}", "\u{7f}", "ü", "", "\\u00e", "\\u00e9", "\\ud83d", "\\x"] {
                check(&format!("[\"{}{ending}\", 1]", "a".repeat(length)));
                check(&format!("[\"{}{ending}\"]{}", "é".repeat(length), " ".repeat(length)));
            }
            for ending in ["", ".", ".5", "e", "e+5", "E-", "-", "/", ":", "٣"] {
                check(&format!("[{}{ending}, 1]", "7".repeat(length)));
                check(&format!("-{}{ending}", "0".repeat(length)));
            }
        }
    }

    #[test]
    fn nesting_has_no_limit() {
        let deep = format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000));
        assert!(Scanner::new(&deep).only_value().is_ok());
        assert!(Scanner::new(&deep[..deep.len() - 1]).only_value().is_err());
        let mixed = format!("{}null{}", r#"[{"a":"#.repeat(1_000), "}]".repeat(1_000));
        check(&mixed);
        check(&mixed.replacen("}]", "]}", 1));
    }

    #[test]
    fn what_is_known_is_kept_and_a_broken_inner_object_leaves_the_rest() {
        let read = |text: &'static str| -> Result<Outer<'_>, Stop> {
            let mut outer = Outer::default();
            let mut scanner = Scanner::new(text);
            scanner.members(&mut outer)?;
            scanner.end()?;
            Ok(outer)
        };
        let outer = read(r#" {"x":[{}], "inner" : {"two":[2]}, "on\u0065": null, "row":[0, [1],"2",3] } "#).expect("read");
        let text = |field: Field<'static>| field.map(Json::get);
        assert_eq!((text(outer.one), text(outer.inner.members.two)), (Some("null"), Some("[2]")));
        assert_eq!(text(outer.inner.text), Some(r#"{"two":[2]}"#));
        assert_eq!(
            (outer.row.kept.map(text), text(outer.row.text)),
            ([Some("0"), Some("\"2\""), None], Some(r#"[0, [1],"2",3]"#))
        );
        for (text, flaw) in [
            ("{\"inner\":{\n \"two\":1,\"two\" :2},\"one\":1}", "duplicate field `two` at line 2 column 15"),
            (r#"{"inner":{"\ud83d":1},"one":1}"#, "unexpected end of hex escape at line 1 column 9"),
        ] {
            let outer = read(text).expect("read");
            assert_eq!((outer.one.is_some(), outer.inner.flaw.as_deref()), (true, Some(flaw)), "{text}");
        }
        for (text, is_twice) in [
            (r#"{"one":1,"one":1"#, true),
            (r#"{"row":1,"row":1}"#, true),
            (r#"{"inner":1,"inner":{}}"#, true),
            (r#"{"inner":{"two":1,"two":2,},"one":1}"#, false),
            (r#"{"inner":{"two":1}"#, false),
            (r#"{"\udc00":1}"#, false),
            ("{} {}", false),
        ] {
            assert_eq!(matches!(read(text), Err(Stop::Twice(_))), is_twice, "{text}");
            assert!(read(text).is_err(), "{text}");
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        let pieces = vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"b\":",
            "\\",
            "\\n",
            "\\u0041",
            "\\ud83d",
            "\\udc00",
            "\\u12",
            "0",
            "1",
            "-",
            ".",
            "e",
            "+",
            "12345678",
            "-1",
            "0.5e-7",
            "null",
            "true",
            "false",
            "nul",
            " ",
            "\n",
            "\t",
            "\u{b}",
            "\u{1}",
            "é",
            "[1,2]",
            "{\"a\":[]}",
            "[[],{}]",
        ];
        proptest::collection::vec(proptest::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat())
    }

    /// Arrays that are whole numbers, or nearly so.
    fn any_numbers() -> impl Strategy<Value = String> {
        let pieces = vec!["0", "1", "-", ",", ",", "-1", "42", "4999", "10", "7654321", " ", "."];
        let numbers = proptest::collection::vec(any::<i32>(), 0..30).prop_map(|numbers| format!("{numbers:?}").replace(' ', ""));
        (
            numbers,
            any::<proptest::sample::Index>(),
            proptest::option::of(proptest::sample::select(pieces)),
        )
            .prop_map(|(mut numbers, at, piece)| {
                let at = 1 + at.index(numbers.len() - 1);
                numbers.insert_str(at, piece.unwrap_or_default());
                numbers
            })
    }

    proptest! {
        #[test]
        fn it_is_as_strict_as_serde_json(text in any_text()) {
            check(&text);
            check(&format!("[{text}]"));
            check(&format!("{{\"a\":{text}}}"));
            check(&format!("[\"{text}\",{text}]"));
        }

        #[test]
        fn numbers_that_are_judged_at_once_are_judged_alike(numbers in any_numbers(), more in any_numbers()) {
            for text in [format!("[{numbers},{more}]"), format!("{{\"row\":{numbers},\"x\":{more}}}")] {
                check(&text);
            }
            let text = format!("{{\"row\":{numbers}}}");
            let mut outer = Outer::default();
            if Scanner::new(&text).members(&mut outer).is_ok() {
                let elements: Vec<&RawValue> = serde_json::from_str(&numbers).expect("an array");
                let expected = [0, 2, 5].map(|place| elements.get(place).map(|element| element.get()));
                prop_assert_eq!(outer.row.kept.map(|kept| kept.map(Json::get)), expected);
            }
        }
    }
}
