//! Metadata objects (API.md section 5): read from JSON text, judged, measured, written back as they came.
//!
//! Numbers keep the text they were sent as (up to 64 bytes; a longer one becomes the shortest text of its f64) and are
//! compared as f64. A number that is infinite as f64, such as `1e400`, is refused: it could be stored but neither
//! compared nor read back by most clients. A key given twice keeps its first place and its last value, as in Python and JavaScript.

mod parse;

use std::fmt::Write;

use crate::error::messages;
use crate::limits::MetadataLimits;

/// A number of a metadata object.
#[derive(Debug, Clone)]
pub struct Number {
    text: Box<str>,
    value: f64,
}

impl Number {
    /// The JSON text it is returned as.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value it is compared as; always finite.
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// Equal as numbers: `1` and `1.0` are.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// One value of a metadata object.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// A string.
    String(String),
    /// A number.
    Number(Number),
    /// A boolean.
    Bool(bool),
    /// A non-empty array of strings.
    Strings(Vec<String>),
    /// A non-empty array of numbers.
    Numbers(Vec<Number>),
}

/// The metadata of one vector: entries in the order they were sent, keys unique.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    entries: Vec<(String, MetadataValue)>,
}

/// Why metadata is not legal; displays as the service's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// Not a JSON object.
    #[error("{}", messages::METADATA_NOT_OBJECT)]
    NotAnObject,
    /// Null or an object under this key.
    #[error("{}", messages::METADATA_VALUE_TYPE)]
    ValueType {
        /// The key.
        key: String,
    },
    /// An array of booleans, nulls, objects, arrays, or of strings and numbers, under this key.
    #[error("{}", messages::METADATA_ARRAY_TYPE)]
    ArrayType {
        /// The key.
        key: String,
    },
    /// An empty array under this key.
    #[error("{}", messages::METADATA_EMPTY_ARRAY)]
    EmptyArray {
        /// The key.
        key: String,
    },
    /// A number that is infinite as f64, under this key.
    #[error("{}", messages::METADATA_NUMBER_RANGE)]
    NumberRange {
        /// The key.
        key: String,
    },
    /// Too many keys.
    #[error("{}", messages::metadata_keys(*allowed))]
    Keys {
        /// How many there may be.
        allowed: usize,
        /// How many there are.
        actual: usize,
    },
    /// Too large in total.
    #[error("{}", messages::metadata_size(*allowed))]
    Size {
        /// How large it may be.
        allowed: usize,
        /// How large it is.
        actual: usize,
    },
    /// Too large in the part that filters can see.
    #[error("{}", messages::filterable_metadata_size(*allowed))]
    FilterableSize {
        /// How large it may be.
        allowed: usize,
        /// How large it is.
        actual: usize,
    },
}

impl Metadata {
    /// Reads the JSON text of an object. (`null` is for the caller to take as absent.)
    ///
    /// # Errors
    /// For the first value, in the order of the text, that is not of a legal type; a duplicate that is overwritten
    /// later is judged too. Counts and sizes are judged by [`Metadata::check`].
    pub fn parse(json: &str) -> Result<Self, MetadataFault> {
        parse::object(json).map(|entries| Self { entries })
    }

    /// Reads metadata as a client has sent it: like [`Metadata::parse`], but no further than it can be legal, so that
    /// what it holds is bounded by the limits and not by the text.
    ///
    /// # Errors
    /// As [`Metadata::parse`]; and [`MetadataFault::Keys`] or [`MetadataFault::Size`] where reading on is pointless: at
    /// the first key too many, far beyond the number of members or the size (what is replaced later included).
    pub fn parse_within(json: &str, limits: &MetadataLimits) -> Result<Self, MetadataFault> {
        parse::object_within(json, limits).map(|entries| Self { entries })
    }

    /// Judges counts and sizes, in the order keys, filterable size, total size.
    ///
    /// # Errors
    /// The first fault in that order.
    pub fn check(&self, non_filterable: &[String], limits: &MetadataLimits) -> Result<(), MetadataFault> {
        if self.entries.len() > limits.keys {
            return Err(MetadataFault::Keys {
                allowed: limits.keys,
                actual: self.entries.len(),
            });
        }
        let (total, filterable) = self.sizes(non_filterable);
        if filterable > limits.filterable_bytes {
            return Err(MetadataFault::FilterableSize {
                allowed: limits.filterable_bytes,
                actual: filterable,
            });
        }
        if total > limits.total_bytes {
            return Err(MetadataFault::Size {
                allowed: limits.total_bytes,
                actual: total,
            });
        }
        Ok(())
    }

    /// The value of a key. Dots in keys are plain characters.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// All entries, in the order they were sent.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &MetadataValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The object as compact JSON.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(2 + 2 * self.size());
        json.push('{');
        for (position, (key, value)) in self.entries.iter().enumerate() {
            if position > 0 {
                json.push(',');
            }
            write_string(&mut json, key);
            json.push(':');
            value.write_json(&mut json);
        }
        json.push('}');
        json
    }

    /// The size by which limits are judged (API.md section 5.3), which is not the length of the JSON.
    pub fn size(&self) -> usize {
        self.sizes(&[]).0
    }

    /// The size of the entries whose keys are not in `non_filterable`.
    pub fn filterable_size(&self, non_filterable: &[String]) -> usize {
        self.sizes(non_filterable).1
    }

    fn sizes(&self, non_filterable: &[String]) -> (usize, usize) {
        const OBJECT: usize = 4;
        const ENTRY: usize = 8;
        let (mut total, mut filterable) = (OBJECT, OBJECT);
        for (key, value) in &self.entries {
            let size = ENTRY + key.len() + value.size();
            total += size;
            if !non_filterable.contains(key) {
                filterable += size;
            }
        }
        (total, filterable)
    }
}

impl MetadataValue {
    /// What the value adds to the size of its object (API.md section 5.3).
    pub fn size(&self) -> usize {
        const ELEMENT: usize = 4;
        const NUMBER: usize = 4;
        match self {
            Self::String(text) => text.len(),
            Self::Number(_) => NUMBER,
            Self::Bool(_) => 0,
            Self::Strings(texts) => texts.iter().map(|text| ELEMENT + text.len()).sum(),
            Self::Numbers(numbers) => numbers.len() * (ELEMENT + NUMBER),
        }
    }

    fn write_json(&self, json: &mut String) {
        match self {
            Self::String(text) => write_string(json, text),
            Self::Number(number) => json.push_str(&number.text),
            Self::Bool(truth) => json.push_str(if *truth { "true" } else { "false" }),
            Self::Strings(texts) => write_array(json, texts, |json, text| write_string(json, text)),
            Self::Numbers(numbers) => write_array(json, numbers, |json, number| json.push_str(&number.text)),
        }
    }
}

fn write_array<T>(json: &mut String, elements: &[T], write_element: impl Fn(&mut String, &T)) {
    json.push('[');
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        write_element(json, element);
    }
    json.push(']');
}

fn write_string(json: &mut String, text: &str) {
    json.push('"');
    let mut plain_from = 0;
    for (position, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(text.get(plain_from..position).unwrap_or_default());
        plain_from = position + 1; // what is escaped is one byte long
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            _ => {
                let _ = write!(json, "\\u{byte:04x}"); // writing to a String cannot fail
            }
        }
    }
    json.push_str(text.get(plain_from..).unwrap_or_default());
    json.push('"');
}

#[cfg(test)]
mod tests;
