//! A record of the file, where records come from, and what makes one legal before the server sees it.

use std::fmt::Display;

use model::{Dimension, DistanceMetric, Metadata, MetadataFault, VectorKey, check_vector};

use super::meter::Size;

/// One vector on its way into the index. Reused from row to row.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Record {
    /// Position in the file, from 0: a row, or a line of JSON lines.
    pub(crate) row: u64,
    pub(crate) key: String,
    pub(crate) vector: Vec<f32>,
    /// JSON text of an object; empty for none.
    pub(crate) metadata: String,
}

/// Which columns make a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) key: String,
    pub(crate) vector: String,
    /// `None`: all others.
    pub(crate) metadata: Option<Vec<String>>,
}

impl Mapping {
    /// The column that holds whole metadata objects.
    pub(crate) const OBJECT: &'static str = "metadata";

    /// Whether a column becomes metadata.
    pub(crate) fn is_metadata(&self, column: &str) -> bool {
        match &self.metadata {
            Some(named) => named.iter().any(|name| name == column),
            None => column != self.key && column != self.vector,
        }
    }
}

/// What a file says about the index it was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) metric: Option<DistanceMetric>,
    pub(crate) non_filterable: Option<Vec<String>>,
}

/// Reads records in the order of the file.
pub(crate) trait RecordSource: Send {
    /// Values per vector, of the first record; without a record what the file's type says, or `None`.
    fn dimension(&self) -> Option<usize>;

    /// What the file says about its index.
    fn hints(&self) -> Hints {
        Hints::default()
    }

    /// How much there is.
    fn size(&self) -> Size;

    /// How much of [`RecordSource::size`] has been read.
    fn position(&self) -> u64;

    /// Passes over the first rows, before the first record is read.
    fn skip(&mut self, rows: u64) -> Result<(), SourceError>;

    /// Reads the next record into `record`; false at the end.
    fn next(&mut self, record: &mut Record) -> Result<bool, SourceError>;
}

/// Why records cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// One record is not legal.
    Record { row: u64, reason: String },
    /// The file itself cannot be read, or is not what it should be.
    File { reason: String },
}

impl SourceError {
    pub(crate) fn file(reason: impl Display) -> Self {
        Self::File {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn record(row: u64, reason: impl Display) -> Self {
        Self::Record {
            row,
            reason: reason.to_string(),
        }
    }
}

/// What the index demands of a record. Sizes of metadata are left to the server, whose limits are configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) dimension: Dimension,
    pub(crate) metric: DistanceMetric,
}

impl Rules {
    pub(crate) fn check(&self, record: &Record) -> Result<(), SourceError> {
        let bad = |what: &dyn Display| Err(SourceError::record(record.row, what));
        if let Err(fault) = VectorKey::parse(&record.key) {
            return bad(&format!("key: {fault}"));
        }
        if let Err(fault) = check_vector(&record.vector, self.dimension, self.metric) {
            return bad(&format!("key {:?}: {fault}", record.key));
        }
        match Metadata::parse(&record.metadata) {
            _ if record.metadata.is_empty() => Ok(()),
            Ok(_) => Ok(()),
            Err(fault) => bad(&format!("key {:?}: {}", record.key, described(&fault))),
        }
    }
}

/// The service's sentence, with the metadata key that it is about.
fn described(fault: &MetadataFault) -> String {
    match fault {
        MetadataFault::ValueType { key }
        | MetadataFault::ArrayType { key }
        | MetadataFault::EmptyArray { key }
        | MetadataFault::NumberRange { key } => format!("metadata {key:?}: {fault}"),
        _ => fault.to_string(),
    }
}

/// Merges members (JSON text without braces) into an object's JSON text, empty for none. Members come last: of a name
/// that both have, the member's value stays.
pub(crate) fn merge(object: &str, members: &str) -> String {
    if members.is_empty() {
        return object.to_owned();
    }
    let inside = object
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .map(str::trim);
    // What is not legal is left as it is, for `Rules` to say.
    match inside {
        None if object.is_empty() => format!("{{{members}}}"),
        None => object.to_owned(),
        Some("") => format!("{{{members}}}"),
        Some(inside) => {
            let both = format!("{{{inside},{members}}}");
            // Names that both have are written once.
            Metadata::parse(&both).map_or(both, |merged| merged.to_json())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, vector: &[f32], metadata: &str) -> Record {
        Record {
            row: 7,
            key: key.to_owned(),
            vector: vector.to_vec(),
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn bad_records_say_what_is_bad() {
        let rules = Rules {
            dimension: Dimension::new(2).unwrap(),
            metric: DistanceMetric::Cosine,
        };
        assert_eq!(rules.check(&record("a", &[1.0, 0.0], "")), Ok(()));
        assert!(rules.check(&record("a", &[1.0, 0.0], r#"{"n":1e400}"#)).is_err());
        let long = "é".repeat(513);
        for (record, reason) in [
            (
                record("", &[1.0, 0.0], ""),
                "key: length must be between 1 and 1024, but is 0",
            ),
            (record(&long, &[1.0, 0.0], ""), "key: longer than 1024 bytes"),
            (
                record("a", &[1.0], ""),
                "key \"a\": vector must have length 2, but has length 1",
            ),
            (
                record("a", &[1.0, f32::NAN], ""),
                "key \"a\": vector contains NaNs or Infs",
            ),
            (
                record("a", &[0.0, 0.0], ""),
                "key \"a\": cosine distance does not support vectors with zero norm",
            ),
            (
                record("a", &[1.0, 0.0], r#"{"x":null}"#),
                "key \"a\": metadata \"x\": Metadata values must be strings, numbers, booleans, or arrays",
            ),
        ] {
            assert_eq!(rules.check(&record), Err(SourceError::record(7, reason)));
        }
        assert!(rules.check(&record("a", &[1.0, 0.0], "[1]")).is_err());
    }

    #[test]
    fn columns_are_merged_into_the_object() {
        assert_eq!(merge("", ""), "");
        assert_eq!(merge(" {\"a\": 1} ", ""), " {\"a\": 1} ");
        assert_eq!(merge("", "\"b\":2"), "{\"b\":2}");
        assert_eq!(merge("{ }", "\"b\":2"), "{\"b\":2}");
        assert_eq!(merge("[1]", "\"b\":2"), "[1]");
        assert_eq!(merge("{\"a\": 1.50}", "\"b\":2"), "{\"a\":1.50,\"b\":2}");
        assert_eq!(merge("{\"a\": 1}", "\"a\":2"), "{\"a\":2}");
    }

    #[test]
    fn which_columns_are_metadata() {
        let mut mapping = Mapping {
            key: "id".to_owned(),
            vector: "v".to_owned(),
            metadata: None,
        };
        let chosen = |mapping: &Mapping| ["id", "v", "metadata", "x"].map(|name| mapping.is_metadata(name));
        assert_eq!(chosen(&mapping), [false, false, true, true]);
        mapping.metadata = Some(vec!["x".to_owned(), "id".to_owned()]);
        assert_eq!(chosen(&mapping), [true, false, false, true]);
    }
}
