//! The body of PutVectors in one pass: floats go straight into vectors, metadata stays raw text that has been scanned.
//! Members come in any order, unknown ones are skipped, null is absent, the last duplicate wins. Memory: at most about
//! twice the body (arrays of one-digit numbers), because only one record, and of each vector one value, more than
//! allowed is kept.
//!
//! A value of a wrong type is passed over and remembered, since a later duplicate may replace it and bad syntax further
//! on is the worse fault.

use std::borrow::Cow;

use model::{ApiError, limits};

use crate::constraints::{Constraints, union_sentence, utf16_length};
use crate::members::{Members, RawJson, wrong_type};
use crate::numbers::{self, ArrayFault};
use crate::scan::{Kind, ScanFault, Scanner};

/// Records that are kept: one more than a request may have.
const KEPT_RECORDS: usize = *limits::VECTORS_PER_PUT.end() + 1;
/// Values of a vector that are kept: one more than any index takes.
const KEPT_VALUES: usize = *limits::DIMENSION.end() as usize + 1;

/// What makes a record unusable though its JSON types are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// No `key`.
    KeyMissing,
    /// No `data`.
    DataMissing,
    /// `data` has not exactly the one member `float32`.
    DataUnion,
}

/// One vector as sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PutRecord<'a> {
    /// Its key; empty when missing.
    pub key: Cow<'a, str>,
    /// Its values, not yet judged; empty when missing. Of a longer list than any index takes the first 4,097.
    pub vector: Vec<f32>,
    /// How many values were sent.
    pub vector_length: usize,
    /// Its metadata's JSON text, not yet judged; `None` when absent or null.
    pub metadata: Option<RawJson<'a>>,
    /// What is wrong with it.
    pub faults: Vec<RecordFault>,
}

/// A parsed PutVectors body.
#[derive(Debug, Clone)]
pub struct PutBody<'a> {
    /// The request's members, `vectors` among them when present.
    pub members: Members<'a>,
    /// The records, in the order sent; of a longer list the first 501.
    pub records: Vec<PutRecord<'a>>,
    /// How many records were sent.
    pub record_count: usize,
}

impl PutBody<'_> {
    /// The model's constraints of `vectors`: present, 1..=500 records, each with a key of 1..=1024 UTF-16 units and
    /// data that is a float32 vector.
    pub fn check(&self, constraints: &mut Constraints) {
        if !self.members.has("vectors") {
            constraints.missing("/vectors");
            return;
        }
        constraints.length("/vectors", self.record_count, limits::VECTORS_PER_PUT);
        for (position, record) in self.records.iter().enumerate() {
            let path = |member: &str| format!("/vectors/{position}/{member}");
            if !record.faults.contains(&RecordFault::KeyMissing) {
                let length = utf16_length(&record.key);
                if !limits::KEY_LENGTH.contains(&length) {
                    constraints.length(&path("key"), length, limits::KEY_LENGTH);
                }
            }
            for fault in &record.faults {
                match fault {
                    RecordFault::KeyMissing => constraints.missing(&path("key")),
                    RecordFault::DataMissing => constraints.missing(&path("data")),
                    RecordFault::DataUnion => constraints.violation(&path("data"), &union_sentence(&path("data"))),
                }
            }
        }
    }
}

/// Parses a PutVectors body.
///
/// # Errors
/// SerializationException: not JSON, or a member of another JSON type than the model's.
pub fn parse_put_vectors(body: &[u8]) -> Result<PutBody<'_>, ApiError> {
    let mut parsed = PutBody {
        members: Members::default(),
        records: Vec::new(),
        record_count: 0,
    };
    if body.is_empty() {
        return Ok(parsed);
    }
    let mut scanner = Scanner::over(body)?;
    if scanner.peek_kind()? != Kind::Object {
        scanner.skip_value()?;
        return Err(wrong_type("", "an object"));
    }
    let mut vectors = Ok(());
    let mut more = scanner.open_object()?;
    while more {
        let name = scanner.member_name()?;
        let kind = scanner.peek_kind()?;
        let start = scanner.position();
        if name == "vectors" {
            parsed.records.clear();
            parsed.record_count = 0;
            vectors = match kind {
                Kind::Null => scanner.skip_value().map(|_| Ok(()))?,
                _ => or_skip(&mut scanner, |scanner| {
                    parsed.record_count = scan_records(scanner, &mut parsed.records)?;
                    Ok(())
                })?,
            };
        } else {
            scanner.skip_value()?;
        }
        parsed.members.set(name, RawJson::scanned(scanner.since(start)))?;
        more = scanner.more_members()?;
    }
    scanner.end()?;
    vectors.map(|()| parsed)
}

/// What `read` makes of the value that is next; where it refuses, the value is passed over and the refusal answered.
fn or_skip<'a, T>(
    scanner: &mut Scanner<'a>,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<T, ApiError>,
) -> Result<Result<T, ApiError>, ScanFault> {
    let before = scanner.clone();
    let value = read(scanner);
    if value.is_err() {
        *scanner = before;
        scanner.skip_value()?;
    }
    Ok(value)
}

/// Refuses a value of another kind than `path` (made only then) has.
fn expect(
    scanner: &mut Scanner<'_>,
    kind: Kind,
    expected: &str,
    path: impl FnOnce() -> String,
) -> Result<(), ApiError> {
    if scanner.peek_kind()? == kind {
        Ok(())
    } else {
        Err(wrong_type(&path(), expected))
    }
}

/// Reads the list of records into `records` and answers its length.
fn scan_records<'a>(scanner: &mut Scanner<'a>, records: &mut Vec<PutRecord<'a>>) -> Result<usize, ApiError> {
    expect(scanner, Kind::Array, "a list", || "/vectors".to_owned())?;
    let mut count = 0;
    let mut dimension = 0;
    let mut more = scanner.open_array()?;
    while more {
        if count < KEPT_RECORDS {
            let record = scan_record(scanner, count, dimension)?;
            dimension = record.vector.len();
            records.push(record);
        } else {
            scanner.skip_value()?;
        }
        count += 1;
        more = scanner.more_items()?;
    }
    Ok(count)
}

fn scan_record<'a>(scanner: &mut Scanner<'a>, position: usize, dimension: usize) -> Result<PutRecord<'a>, ApiError> {
    expect(scanner, Kind::Object, "an object", || format!("/vectors/{position}"))?;
    let mut key = None;
    let mut data = None;
    let mut metadata = None;
    let mut more = scanner.open_object()?;
    while more {
        let name = scanner.member_name()?;
        let null = scanner.peek_kind()? == Kind::Null;
        match name.as_ref() {
            "key" if !null => {
                key = Some(or_skip(scanner, |scanner| {
                    expect(scanner, Kind::String, "a string", || format!("/vectors/{position}/key"))?;
                    Ok(scanner.string()?)
                })?);
            }
            "data" if !null => data = Some(or_skip(scanner, |scanner| scan_data(scanner, position, dimension))?),
            "metadata" if !null => metadata = Some(RawJson::scanned(scanner.skip_value()?)),
            other => {
                scanner.skip_value()?;
                match other {
                    "key" => key = None,
                    "data" => data = None,
                    "metadata" => metadata = None,
                    _ => {}
                }
            }
        }
        more = scanner.more_members()?;
    }
    let (key, data) = (key.transpose()?, data.transpose()?);
    let mut faults = Vec::new();
    if key.is_none() {
        faults.push(RecordFault::KeyMissing);
    }
    match &data {
        None => faults.push(RecordFault::DataMissing),
        Some(None) => faults.push(RecordFault::DataUnion),
        Some(Some(_)) => {}
    }
    let (vector, vector_length) = data.flatten().unwrap_or_default();
    Ok(PutRecord {
        key: key.unwrap_or_default(),
        vector,
        vector_length,
        metadata,
        faults,
    })
}

/// The first values of a vector, and how many were sent.
type Values = (Vec<f32>, usize);

/// The values in a `data` union; `None` when it has not exactly the one member `float32`.
fn scan_data(scanner: &mut Scanner<'_>, position: usize, dimension: usize) -> Result<Option<Values>, ApiError> {
    expect(scanner, Kind::Object, "an object", || {
        format!("/vectors/{position}/data")
    })?;
    let mut values = None;
    let mut others = false;
    let mut more = scanner.open_object()?;
    while more {
        let name = scanner.member_name()?;
        let null = scanner.peek_kind()? == Kind::Null;
        match name.as_ref() {
            "float32" if !null => {
                values = Some(or_skip(scanner, |scanner| scan_values(scanner, position, dimension))?);
            }
            other => {
                scanner.skip_value()?;
                if other == "float32" {
                    values = None;
                }
                others |= !null && other != "__type";
            }
        }
        more = scanner.more_members()?;
    }
    Ok(values.transpose()?.filter(|_| !others))
}

fn scan_values(scanner: &mut Scanner<'_>, position: usize, dimension: usize) -> Result<Values, ApiError> {
    let path = || format!("/vectors/{position}/data/float32");
    expect(scanner, Kind::Array, "a list", path)?;
    // The last record's length is a good guess, but not one a client may choose.
    let mut values = Vec::with_capacity(dimension.min(*limits::DIMENSION.end() as usize));
    match numbers::scan_array(scanner, &mut values, KEPT_VALUES) {
        Ok(count) => Ok((values, count)),
        Err(ArrayFault::Scan(fault)) => Err(fault.into()),
        Err(ArrayFault::WrongType { item }) => Err(wrong_type(&format!("{}/{item}", path()), "a number")),
    }
}

#[cfg(test)]
mod tests;
