//! JSON on the level of text: object members and array elements as slices of the document, numbers untouched.
//! `serde_json::Value` would round numbers and forget duplicate members.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// `Serialize` as the `Display` text, `Deserialize` through `FromStr` (so that what is read is checked).
macro_rules! string_serde {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use string_serde;

/// What a piece of JSON text is, by its first byte; the text has been scanned by serde_json already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number,
    String,
    Array,
    Object,
}

pub(crate) fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'"') => Kind::String,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(b't') => Kind::Bool(true),
        Some(b'f') => Kind::Bool(false),
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// The characters of a JSON string; `None` for a lone surrogate.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.get(1..text.len().saturating_sub(1))?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The f64 nearest to a JSON number; `None` when that is infinite. (serde_json's own reading can be one bit off.)
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The elements of a JSON array.
pub(crate) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether a JSON array has more than `most` elements: it is read no further than that.
pub(crate) fn is_longer(raw: &RawValue, most: usize) -> bool {
    struct Counter {
        most: usize,
        is_longer: bool,
    }

    impl<'de> Visitor<'de> for &mut Counter {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            let mut count = 0;
            while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                count += 1;
                if count > self.most {
                    self.is_longer = true;
                    return Err(serde::de::Error::custom("too many elements"));
                }
            }
            Ok(())
        }
    }

    // The shortest element is one byte and a comma.
    if raw.get().len() / 2 <= most {
        return false;
    }
    let mut counter = Counter { most, is_longer: false };
    // Too long, or not an array: either way it ends here.
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(&mut counter);
    counter.is_longer
}

/// The members of a JSON object, in the order of the text, duplicates included.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut members = Vec::with_capacity(8);
        each_member(text, |name, raw| {
            members.push((name, raw));
            true
        })?;
        Ok(Self(members))
    }
}

/// Hands out the members of a JSON object one by one, in the order of the text, duplicates included, until `each` says
/// no; what follows is not read then.
pub(crate) fn each_member<'a>(
    text: &'a str,
    each: impl FnMut(String, &'a RawValue) -> bool,
) -> Result<(), serde_json::Error> {
    struct ObjectVisitor<F> {
        each: F,
        stopped: bool,
    }

    impl<'de, F: FnMut(String, &'de RawValue) -> bool> Visitor<'de> for &mut ObjectVisitor<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                if !(self.each)(name, raw) {
                    self.stopped = true;
                    return Err(serde::de::Error::custom("enough"));
                }
            }
            Ok(())
        }
    }

    let mut visitor = ObjectVisitor { each, stopped: false };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_map(&mut visitor);
    if visitor.stopped {
        return Ok(());
    }
    read?;
    reader.end()
}
