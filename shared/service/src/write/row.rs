//! One row of a write, and the rules that an index's configuration sets for it.

use model::{ApiError, IndexConfig, Metadata, MetadataLimits, VectorFault, check_vector};

use crate::errors;

/// A vector to be stored.
#[derive(Debug, Clone)]
pub(crate) struct PutRow {
    /// The vector's key.
    pub key: String,
    /// Its values.
    pub vector: Vec<f32>,
    /// Its metadata as compact JSON; `None` when there is none or an empty object, which reads the same.
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

/// The rules for the vector of the `at`-th record, of whose values `sent` were sent; a broken one is named with the
/// record's key.
pub(crate) fn check_vector_of(at: usize, row: &PutRow, sent: usize, config: &IndexConfig) -> Result<(), ApiError> {
    let judged = if sent == row.vector.len() {
        check_vector(&row.vector, config.dimension, config.metric)
    } else {
        // Longer than any index takes, and not kept whole.
        Err(VectorFault::Length {
            expected: config.dimension.get(),
            actual: sent,
        })
    };
    judged.map_err(|fault| ApiError::invalid_record_vector(at, &row.key, fault))
}

/// The rules for the metadata of the `at`-th record.
pub(crate) fn check_metadata_of(at: usize, row: &PutRow, config: &IndexConfig) -> Result<(), ApiError> {
    let Some(json) = &row.metadata else {
        return Ok(());
    };
    // Our own normal form: it parsed before.
    let metadata = Metadata::parse(json).map_err(|_| errors::internal())?;
    metadata
        .check(config.non_filterable(), &MetadataLimits::default())
        .map_err(|fault| ApiError::invalid_record_metadata(at, &row.key, &fault))
}
