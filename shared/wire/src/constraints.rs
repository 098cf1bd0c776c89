//! Reads members by the service model's types and constraints, and collects what is violated, so that one answer names
//! everything (API.md sections 2.3 and 2.4 step 3). A member of another JSON type is a SerializationException instead,
//! which wins over all violations.
//!
//! Lengths of strings are Unicode scalar values; only vector keys are counted in UTF-16 units (API.md section 5.1).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use model::error::{Violation, Violations};
use model::{ApiError, limits};

use crate::members::{Kind, Members, RawJson, wrong_type};
use crate::numbers;

/// Violations found so far. A reader answers a value only if it violates nothing, so after [`Constraints::finish`] a
/// required member's value is there.
#[derive(Debug, Default)]
pub struct Constraints {
    wrong_type: Option<ApiError>,
    violations: Violations,
}

impl Constraints {
    /// None found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A string member.
    pub fn string(
        &mut self,
        members: &Members<'_>,
        name: &str,
        length: RangeInclusive<usize>,
        required: bool,
    ) -> Option<String> {
        let text = self.text(members, name, required)?;
        let actual = text.chars().count();
        self.within(&members.path(name), actual, length)
            .then(|| text.into_owned())
    }

    /// An integer member. `5.0` is an integer; one beyond `i64` is taken as its nearest.
    pub fn integer(
        &mut self,
        members: &Members<'_>,
        name: &str,
        range: RangeInclusive<i64>,
        required: bool,
    ) -> Option<i64> {
        let raw = self.typed(members, name, Kind::Number, "an integer", required)?;
        let path = members.path(name);
        let Some(value) = integer(raw.get()) else {
            self.wrong_type(&path, "an integer");
            return None;
        };
        if range.contains(&value) {
            return Some(value);
        }
        self.violations.push(Violation::range(path, range));
        None
    }

    /// A boolean member; none is required in this API.
    pub fn boolean(&mut self, members: &Members<'_>, name: &str) -> Option<bool> {
        let raw = self.typed(members, name, Kind::Boolean, "a boolean", false)?;
        Some(raw.get() == "true")
    }

    /// An enum member, spelled exactly.
    pub fn enumeration(
        &mut self,
        members: &Members<'_>,
        name: &str,
        allowed: &[&str],
        required: bool,
    ) -> Option<String> {
        self.word(members, name, allowed, required, |word, sent| word == sent)
    }

    /// An enum member in any case (lenient mode); answers the spelling in `allowed`.
    pub fn enumeration_any_case(
        &mut self,
        members: &Members<'_>,
        name: &str,
        allowed: &[&str],
        required: bool,
    ) -> Option<String> {
        self.word(members, name, allowed, required, str::eq_ignore_ascii_case)
    }

    fn word(
        &mut self,
        members: &Members<'_>,
        name: &str,
        allowed: &[&str],
        required: bool,
        same: fn(&str, &str) -> bool,
    ) -> Option<String> {
        let sent = self.text(members, name, required)?;
        let found = allowed.iter().find(|word| same(word, &sent));
        if found.is_none() {
            self.violations
                .push(Violation::enumeration(members.path(name), allowed));
        }
        found.map(|word| (*word).to_owned())
    }

    /// A structure member.
    pub fn object<'a>(&mut self, members: &Members<'a>, name: &str, required: bool) -> Option<Members<'a>> {
        let raw = self.typed(members, name, Kind::Object, "an object", required)?;
        self.nested(raw, &members.path(name))
    }

    /// The members of a list's item, which must be an object, at `path`.
    pub fn nested<'a>(&mut self, raw: RawJson<'a>, path: &str) -> Option<Members<'a>> {
        match Members::nested(raw, path) {
            Ok(nested) => Some(nested),
            Err(error) => {
                self.wrong_type.get_or_insert(error);
                None
            }
        }
    }

    /// A list of strings with `item` characters each.
    pub fn strings(
        &mut self,
        members: &Members<'_>,
        name: &str,
        count: RangeInclusive<usize>,
        item: RangeInclusive<usize>,
        required: bool,
    ) -> Option<Vec<String>> {
        self.texts(members, name, count, item, required, |text| text.chars().count())
    }

    /// A list of vector keys.
    pub fn keys(
        &mut self,
        members: &Members<'_>,
        name: &str,
        count: RangeInclusive<usize>,
        required: bool,
    ) -> Option<Vec<String>> {
        self.texts(members, name, count, limits::KEY_LENGTH, required, utf16_length)
    }

    fn texts(
        &mut self,
        members: &Members<'_>,
        name: &str,
        count: RangeInclusive<usize>,
        item: RangeInclusive<usize>,
        required: bool,
        measure: fn(&str) -> usize,
    ) -> Option<Vec<String>> {
        let items = self.list(members, name, count, required)?;
        let mut texts = Vec::with_capacity(items.len());
        for (position, raw) in items.iter().enumerate() {
            let path = format!("{}/{position}", members.path(name));
            match raw.as_str() {
                None => self.wrong_type(&path, "a string"),
                Some(text) if self.within(&path, measure(&text), item.clone()) => texts.push(text.into_owned()),
                Some(_) => {}
            }
        }
        (texts.len() == items.len()).then_some(texts)
    }

    /// A list of anything, as raw items. Of a list that is too long no more than one item too many is kept.
    pub fn list<'a>(
        &mut self,
        members: &Members<'a>,
        name: &str,
        count: RangeInclusive<usize>,
        required: bool,
    ) -> Option<Vec<RawJson<'a>>> {
        let raw = self.typed(members, name, Kind::Array, "a list", required)?;
        let mut items = Vec::new();
        let mut sent = 0;
        raw.each_item(|item| {
            sent += 1;
            if sent <= *count.end() {
                items.push(item);
            }
        })?;
        self.within(&members.path(name), sent, count).then_some(items)
    }

    /// A map of strings, by key in the order sent; duplicate keys: the last wins. At most `max + 1` entries are kept,
    /// so that the caller can tell one too many.
    pub fn string_map(
        &mut self,
        members: &Members<'_>,
        name: &str,
        max: usize,
        required: bool,
    ) -> Option<Vec<(String, String)>> {
        let raw = self.typed(members, name, Kind::Object, "a map of strings", required)?;
        let path = members.path(name);
        let mut entries: Vec<(Cow<'_, str>, Option<Cow<'_, str>>)> = Vec::new();
        raw.each_member(|key, value| {
            // One entry too many is enough to refuse the map.
            if entries.len() > max {
                return;
            }
            let value = value.as_str();
            match entries
                .iter()
                .position(|(known, _)| *known == key)
                .and_then(|known| entries.get_mut(known))
            {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        })?;
        let mut map = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match value {
                Some(value) => map.push((key.into_owned(), value.into_owned())),
                None => {
                    self.wrong_type(&format!("{path}/{key}"), "a string");
                    return None;
                }
            }
        }
        Some(map)
    }

    /// A vector: a union whose one member is `float32`.
    pub fn vector(&mut self, members: &Members<'_>, name: &str, required: bool) -> Option<Vec<f32>> {
        let union = self.object(members, name, required)?;
        let sent: Vec<&str> = union.names().filter(|member| *member != "__type").collect();
        if sent != ["float32"] {
            self.violation(&members.path(name), &union_sentence(&members.path(name)));
            return None;
        }
        let raw = self.typed(&union, "float32", Kind::Array, "a list", true)?;
        match numbers::parse_f32_array(raw.get()) {
            Ok(values) => Some(values),
            Err(fault) => {
                self.wrong_type(&format!("{}/{}", union.path("float32"), fault.item), "a number");
                None
            }
        }
    }

    /// A required member that is absent.
    pub fn missing(&mut self, path: &str) {
        self.violations.push(Violation::missing(path));
    }

    /// A length that must lie in `range`.
    pub fn length(&mut self, path: &str, length: usize, range: RangeInclusive<usize>) {
        self.violations.check_length(path, length, range);
    }

    /// A text that does not match `pattern`.
    pub fn pattern(&mut self, path: &str, pattern: &str) {
        self.violations.push(Violation::pattern(path, pattern));
    }

    /// Any other violation: the whole sentence as the client reads it.
    pub fn violation(&mut self, path: &str, sentence: &str) {
        self.violations.push(Violation {
            path: path.to_owned(),
            sentence: sentence.to_owned(),
        });
    }

    /// A value of a wrong JSON type: "Value at '...' must be ..." as SerializationException.
    pub fn wrong_type(&mut self, path: &str, expected: &str) {
        self.wrong_type.get_or_insert_with(|| wrong_type(path, expected));
    }

    /// # Errors
    /// The first member of a wrong type, else all violations, if there is any.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.wrong_type {
            Some(error) => Err(error),
            None => self.violations.finish(),
        }
    }

    fn within(&mut self, path: &str, actual: usize, range: RangeInclusive<usize>) -> bool {
        let inside = range.contains(&actual);
        self.length(path, actual, range);
        inside
    }

    fn text<'a>(&mut self, members: &Members<'a>, name: &str, required: bool) -> Option<Cow<'a, str>> {
        self.typed(members, name, Kind::String, "a string", required)?.as_str()
    }

    fn typed<'a>(
        &mut self,
        members: &Members<'a>,
        name: &str,
        kind: Kind,
        expected: &str,
        required: bool,
    ) -> Option<RawJson<'a>> {
        match members.raw(name) {
            Some(raw) if raw.kind() == kind => return Some(raw),
            Some(_) => self.wrong_type(&members.path(name), expected),
            None if required => self.missing(&members.path(name)),
            None => {}
        }
        None
    }
}

/// The sentence about a vector union that has no member, or one that is not `float32`.
pub(crate) fn union_sentence(path: &str) -> String {
    format!("Value at '{path}' failed to satisfy constraint: Member must have exactly one member, float32")
}

/// Characters of a key as SDKs count them.
pub(crate) fn utf16_length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn integer(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let value: f64 = text.parse().ok()?;
    // `as` saturates, so that an integer beyond i64 fails its range and not its type.
    (value.fract() == 0.0 || value.is_infinite()).then_some(value as i64)
}

#[cfg(test)]
mod tests;
