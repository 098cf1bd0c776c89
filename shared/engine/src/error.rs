//! What can go wrong on this side of the bytes.

use format::FormatError;
use model::ShardId;

/// A failure of the engine. All of them mean that stored bytes or the caller are wrong: none is worth a retry.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file of a shard does not say what its manifest or its format promise.
    #[error("shard {shard}: {source}")]
    Shard {
        /// The shard.
        shard: ShardId,
        /// Which file, and what is wrong with it.
        source: FormatError,
    },
    /// Rows were to be read of a shard whose `rows.parquet` nobody has attached, and that nobody has fetched.
    #[error("shard {shard}: its rows are not there")]
    NoRows {
        /// The shard.
        shard: ShardId,
    },
    /// A shard could not be encoded.
    #[error("building a shard: {0}")]
    Encode(#[source] FormatError),
    /// Vectors of different lengths met.
    #[error("a vector of {actual} values met an index of dimension {expected}")]
    Dimension {
        /// What it should be.
        expected: usize,
        /// What it is.
        actual: usize,
    },
    /// FAISS refused or failed.
    #[cfg(feature = "ivfpq")]
    #[error("faiss: {0}")]
    Faiss(#[from] crate::ivfpq::IvfError),
    /// Parts that contradict each other although each is well-formed.
    #[error("{what}")]
    Corrupt {
        /// What contradicts what.
        what: String,
    },
}
