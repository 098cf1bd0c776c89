//! What can go wrong with an import, with the file and the row.

use std::path::Path;

use super::meter::Unit;
use super::record::SourceError;
use crate::client::ClientError;

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file's extension says nothing.
    #[error("{file}: the extension is none of .parquet, .npy, .jsonl; give --format")]
    Format { file: String },
    /// A file cannot be read or written.
    #[error("{file}: cannot {action}: {reason}")]
    File {
        file: String,
        action: &'static str,
        reason: String,
    },
    /// A file is not what it should be.
    #[error("{file}: {reason}")]
    Content { file: String, reason: String },
    /// One record is not legal.
    #[error("{file}, {place}: {reason}")]
    Record {
        file: String,
        place: String,
        reason: String,
    },
    /// The bucket or the index is not as it should be.
    #[error("{0}")]
    Target(String),
    /// A call failed.
    #[error(transparent)]
    Client(ClientError),
    /// Calls failed in the middle.
    #[error("{source}; {done} rows are in the index, the same command goes on from there")]
    Stopped { source: ClientError, done: u64 },
    /// Somebody wanted it to stop.
    #[error("interrupted; {done} rows are in the index, the same command goes on from there")]
    Interrupted { done: u64 },
}

impl ImportError {
    pub(crate) fn file(file: impl ToString, action: &'static str, error: &std::io::Error) -> Self {
        Self::File {
            file: file.to_string(),
            action,
            reason: error.to_string(),
        }
    }
}

impl SourceError {
    /// Says which file, and where in it.
    pub(crate) fn in_file(self, file: &Path, unit: Unit) -> ImportError {
        let file = file.display().to_string();
        match self {
            Self::File { reason } => ImportError::Content { file, reason },
            Self::Record { row, reason } => ImportError::Record {
                file,
                place: unit.place(row),
                reason,
            },
        }
    }
}

/// Why the pipeline stopped.
#[derive(Debug)]
pub(crate) enum StopError {
    /// A record or the file.
    Source(SourceError),
    /// The server refused a batch; which row, if it said so.
    Request { row: Option<u64>, error: ClientError },
    /// What is done could not be remembered.
    Progress(ImportError),
}

impl StopError {
    pub(crate) fn explain(self, file: &Path, unit: Unit, done: u64) -> ImportError {
        match self {
            Self::Source(error) => error.in_file(file, unit),
            Self::Progress(error) => error,
            Self::Request { row: None, error } => ImportError::Stopped { source: error, done },
            Self::Request { row: Some(row), error } => ImportError::Record {
                file: file.display().to_string(),
                place: unit.place(row),
                reason: error.to_string(),
            },
        }
    }
}
