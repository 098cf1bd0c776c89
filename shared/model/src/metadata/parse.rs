//! JSON text -> metadata entries. Every put passes through here, so plain strings and numbers are taken as slices of
//! the text that serde_json has already scanned.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{MetadataFault, MetadataValue, Number};
use crate::json::{self, Kind, Members};
use crate::limits::{self, MetadataLimits};

type Entry = (String, MetadataValue);

pub(super) fn object(text: &str) -> Result<Vec<Entry>, MetadataFault> {
    let members = Members::parse(text).map_err(|_| MetadataFault::NotAnObject)?.0;
    let mut entries = Vec::with_capacity(members.len());
    for (key, raw) in members {
        match value(raw) {
            Ok(value) => entries.push((key, value)),
            Err(fault) => return Err(fault.at(key)),
        }
    }
    Ok(without_duplicates(entries))
}

/// How far hostile metadata is read: more than this many times what the limits allow, or this many members for each
/// key, is not looked at. Duplicates make some room necessary.
const ROOM: usize = 4;

/// The same for text that a client has sent: it is read only as far as it can be legal.
pub(super) fn object_within(text: &str, limits: &MetadataLimits) -> Result<Vec<Entry>, MetadataFault> {
    let mut reading = Reading {
        limits,
        entries: Vec::with_capacity(8),
        members: 0,
        size: 0,
    };
    let mut fault = None;
    json::each_member(text, |key, raw| {
        fault = reading.add(key, raw).err();
        fault.is_none()
    })
    .map_err(|_| MetadataFault::NotAnObject)?;
    match fault {
        Some(fault) => Err(fault),
        None => Ok(reading.entries),
    }
}

struct Reading<'a> {
    limits: &'a MetadataLimits,
    /// The first place and the last value of each key.
    entries: Vec<Entry>,
    members: usize,
    /// Of all values read, those replaced since included.
    size: usize,
}

impl Reading<'_> {
    fn add(&mut self, key: String, raw: &RawValue) -> Result<(), MetadataFault> {
        const SMALLEST_ELEMENT: usize = 4;
        self.members += 1;
        let most_bytes = self.limits.total_bytes.saturating_mul(ROOM);
        let is_array = json::kind(raw) == Kind::Array;
        if is_array && json::is_longer(raw, most_bytes / SMALLEST_ELEMENT) {
            return Err(self.too_large());
        }
        let value = match value(raw) {
            Ok(value) => value,
            Err(fault) => return Err(fault.at(key)),
        };
        self.size = self.size.saturating_add(key.len()).saturating_add(value.size());
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
        if self.entries.len() > self.limits.keys || self.members > self.limits.keys.saturating_mul(ROOM) {
            return Err(MetadataFault::Keys {
                allowed: self.limits.keys,
                actual: self.members,
            });
        }
        if self.size > most_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    fn too_large(&self) -> MetadataFault {
        MetadataFault::Size {
            allowed: self.limits.total_bytes,
            actual: self.size,
        }
    }
}

/// A fault before it knows its key.
enum ValueFault {
    Type,
    ArrayType,
    EmptyArray,
    NumberRange,
}

impl ValueFault {
    fn at(self, key: String) -> MetadataFault {
        match self {
            Self::Type => MetadataFault::ValueType { key },
            Self::ArrayType => MetadataFault::ArrayType { key },
            Self::EmptyArray => MetadataFault::EmptyArray { key },
            Self::NumberRange => MetadataFault::NumberRange { key },
        }
    }
}

fn value(raw: &RawValue) -> Result<MetadataValue, ValueFault> {
    match json::kind(raw) {
        Kind::String => string(raw).map(MetadataValue::String).ok_or(ValueFault::Type),
        Kind::Number => number(raw.get()).map(MetadataValue::Number),
        Kind::Bool(truth) => Ok(MetadataValue::Bool(truth)),
        Kind::Array => array(raw),
        Kind::Null | Kind::Object => Err(ValueFault::Type),
    }
}

fn array(raw: &RawValue) -> Result<MetadataValue, ValueFault> {
    let elements = json::elements(raw).ok_or(ValueFault::ArrayType)?;
    let first = elements.first().ok_or(ValueFault::EmptyArray)?;
    let wanted = json::kind(first);
    if elements.iter().any(|element| json::kind(element) != wanted) {
        return Err(ValueFault::ArrayType);
    }
    match wanted {
        Kind::String => {
            let texts: Option<Vec<String>> = elements.into_iter().map(string).collect();
            texts.map(MetadataValue::Strings).ok_or(ValueFault::ArrayType)
        }
        Kind::Number => {
            let numbers: Result<Vec<Number>, _> = elements.into_iter().map(|element| number(element.get())).collect();
            numbers.map(MetadataValue::Numbers)
        }
        _ => Err(ValueFault::ArrayType),
    }
}

fn string(raw: &RawValue) -> Option<String> {
    json::string(raw).map(std::borrow::Cow::into_owned)
}

fn number(text: &str) -> Result<Number, ValueFault> {
    let value = json::number(text).ok_or(ValueFault::NumberRange)?;
    let text = if text.len() <= limits::METADATA_NUMBER_TEXT {
        text.into()
    } else {
        zmij::Buffer::new().format_finite(value).into()
    };
    Ok(Number { text, value })
}

/// The first place and the last value of each key.
fn without_duplicates(mut entries: Vec<Entry>) -> Vec<Entry> {
    // Comparing all pairs is quickest for what puts usually bring; a hostile object must not cost n^2.
    const PAIRWISE: usize = 16;
    if entries.len() <= PAIRWISE {
        let unique =
            |(position, (key, _)): (usize, &Entry)| entries.iter().skip(position + 1).all(|(other, _)| other != key);
        if entries.iter().enumerate().all(unique) {
            return entries;
        }
    }
    let mut places: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for (key, value) in entries.drain(..) {
        match places.get(&key).and_then(|place| kept.get_mut(*place)) {
            Some(entry) => entry.1 = value,
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}
