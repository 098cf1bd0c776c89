//! One row of a write, and the rules that an index's configuration sets for it.

use model::{ApiError, IndexConfig, Metadata, MetadataLimits, check_vector};

/// A vector to be stored.
#[derive(Debug, Clone)]
pub(crate) struct PutRow {
    /// The vector's key.
    pub key: String,
    /// Its values.
    pub vector: Vec<f32>,
    /// Its metadata as compact JSON; `None` when there is none, or none left (`{}`).
    pub metadata: Option<String>,
}

/// One row of a WAL object.
#[derive(Debug, Clone)]
pub(crate) enum WriteRow {
    /// Stores a vector, whole: an earlier version's data and metadata do not survive.
    Put(PutRow),
    /// Removes a key, present or not.
    Delete(String),
}

impl WriteRow {
    /// Roughly what the row adds to a WAL object.
    pub(crate) fn approx_bytes(&self) -> usize {
        const OFFSETS: usize = 13;
        OFFSETS
            + match self {
                Self::Put(row) => row.key.len() + row.vector.len() * 4 + row.metadata.as_ref().map_or(0, String::len),
                Self::Delete(key) => key.len(),
            }
    }
}

/// The rules for the `at`-th record of a request; the first broken one is named with the record's key.
pub(crate) fn check_put(
    at: usize,
    key: &str,
    vector: &[f32],
    metadata: Option<&Metadata>,
    config: &IndexConfig,
) -> Result<(), ApiError> {
    check_vector(vector, config.dimension, config.metric)
        .map_err(|fault| ApiError::invalid_record_vector(at, key, fault))?;
    let Some(metadata) = metadata else {
        return Ok(());
    };
    metadata
        .check(config.non_filterable(), &MetadataLimits::default())
        .map_err(|fault| ApiError::invalid_record_metadata(at, key, &fault))
}

/// The form in which metadata is stored; an empty object is stored as none, which reads the same.
pub(crate) fn compact_metadata(metadata: Option<&Metadata>) -> Option<String> {
    metadata.filter(|metadata| !metadata.is_empty()).map(Metadata::to_json)
}
