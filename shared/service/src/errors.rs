//! The one conversion from the lower rooms' errors to what a client may see.
//!
//! Causes are logged here, never sent: a client learns the kind of the failure and whether to try again.

use engine::EngineError;
use engine::pool::PoolError;
use format::FormatError;
use model::ApiError;
use storage::StoreError;

/// What a write that found the disk full answers.
const STORAGE_FULL: &str = "Currently unable to handle the request: the storage is full";
const UNAVAILABLE: &str = "Currently unable to handle the request";
const INTERNAL: &str = "An internal error occurred; the server's log has the details";

/// An error below the API: anything but a well-understood refusal.
pub fn store(error: &StoreError) -> ApiError {
    match error {
        StoreError::Full { .. } => {
            tracing::warn!(%error, "storage is full");
            unavailable(STORAGE_FULL)
        }
        StoreError::Throttled { .. } | StoreError::Unknown { .. } | StoreError::Conflict { .. } => {
            tracing::warn!(%error, "storage is unavailable");
            unavailable(UNAVAILABLE)
        }
        StoreError::NotFound { .. } | StoreError::Corrupt { .. } | StoreError::Other { .. } => {
            tracing::error!(%error, "storage failed");
            internal()
        }
    }
}

/// Bytes that are not what they should be.
pub fn format(error: &FormatError) -> ApiError {
    tracing::error!(%error, "stored object is unreadable");
    internal()
}

/// A failed search or build.
pub fn engine(error: &EngineError) -> ApiError {
    tracing::error!(%error, "engine failed");
    internal()
}

/// The CPU pool refused or lost a piece of work.
pub fn pool(error: &PoolError) -> ApiError {
    match error {
        PoolError::Busy { .. } => unavailable(UNAVAILABLE),
        PoolError::Panicked { .. } | PoolError::Unavailable { .. } => {
            tracing::error!(%error, "work on the CPU pool was lost");
            internal()
        }
    }
}

/// 503: the client's SDK tries again by itself.
pub fn unavailable(message: &str) -> ApiError {
    ApiError::ServiceUnavailable {
        message: message.to_owned(),
        retry_after_s: Some(1),
    }
}

/// 500 without details.
pub fn internal() -> ApiError {
    ApiError::Internal {
        message: INTERNAL.to_owned(),
    }
}
