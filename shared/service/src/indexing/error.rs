//! Why a fold, a compaction or a collection failed.

use engine::EngineError;
use engine::pool::PoolError;
use format::FormatError;
use storage::StoreError;

use crate::query::objects::ReadFault;

/// A failed piece of indexing. It leaves only garbage behind and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum IndexingError {
    /// A port failed.
    #[error("storage: {0}")]
    Store(#[from] StoreError),
    /// A stored object is not what it must be: named, and never worked around silently.
    #[error("{what} is unreadable: {reason}")]
    Unreadable {
        /// The object.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something could not be written in its stored form.
    #[error("format: {0}")]
    Format(#[from] FormatError),
    /// A shard could not be opened or built.
    #[error("engine: {0}")]
    Engine(#[from] EngineError),
    /// The CPU pool refused or lost the work.
    #[error("cpu pool: {0}")]
    Pool(#[from] PoolError),
    /// The commit was contended for too long.
    #[error("the commit was refused {0} times")]
    Contended(usize),
}

impl IndexingError {
    /// Whether the index's own data made the work fail: then a smaller piece of it may succeed, and trying at the
    /// same pace for ever is a waste. Everything else (a busy pool, throttling, contention, a full disk) passes by
    /// itself and says nothing about the index.
    pub fn is_of_the_index(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::Format(_) | Self::Engine(_) => true,
            Self::Store(error) => matches!(
                error,
                StoreError::NotFound { .. } | StoreError::Corrupt { .. } | StoreError::Other { .. }
            ),
            Self::Pool(error) => matches!(error, PoolError::Panicked { .. }),
            Self::Contended(_) => false,
        }
    }
}

impl From<ReadFault> for IndexingError {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Missing(name) => Self::Store(StoreError::NotFound { name: name.to_string() }),
            ReadFault::Unreadable { name, reason } => Self::Unreadable {
                what: name.to_string(),
                reason,
            },
            ReadFault::Store(error) => Self::Store(error),
            ReadFault::Pool(error) => Self::Pool(error),
        }
    }
}
