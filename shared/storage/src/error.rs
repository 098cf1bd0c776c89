//! What can go wrong below a port: few kinds, each of which a caller acts on differently.

use std::error::Error;

/// The cause below a [`StoreError`], kept for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A failed storage call. Everything but [`StoreError::Unknown`] says that a write had no effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing has this name.
    #[error("{name} does not exist")]
    NotFound {
        /// The object's name.
        name: String,
    },
    /// The condition of a write did not hold; nothing was written.
    #[error("{name} is not what the condition requires")]
    Conflict {
        /// The object's name.
        name: String,
    },
    /// No space left; nothing was written.
    #[error("no space left for {what}")]
    Full {
        /// What was being written.
        what: String,
    },
    /// Refused for now; nothing was written.
    #[error("too many requests: {what}")]
    Throttled {
        /// What was refused.
        what: String,
    },
    /// The effect is unknown: read again and decide.
    #[error("the effect of {what} is unknown")]
    Unknown {
        /// What was being done.
        what: String,
        /// Why the outcome was lost.
        #[source]
        source: Option<Cause>,
    },
    /// The stored bytes are not what they must be.
    #[error("{name} is corrupt: {reason}")]
    Corrupt {
        /// The object's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing that a caller can act on; nothing was written.
    #[error("{what} failed")]
    Other {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
}

impl StoreError {
    /// [`StoreError::NotFound`] of this name.
    pub fn not_found(name: impl ToString) -> Self {
        Self::NotFound { name: name.to_string() }
    }

    /// [`StoreError::Conflict`] on this name.
    pub fn conflict(name: impl ToString) -> Self {
        Self::Conflict { name: name.to_string() }
    }

    /// [`StoreError::Full`] while doing this.
    pub fn full(what: impl ToString) -> Self {
        Self::Full { what: what.to_string() }
    }

    /// [`StoreError::Throttled`] while doing this.
    pub fn throttled(what: impl ToString) -> Self {
        Self::Throttled { what: what.to_string() }
    }

    /// [`StoreError::Unknown`] without a known cause.
    pub fn unknown(what: impl ToString) -> Self {
        Self::Unknown {
            what: what.to_string(),
            source: None,
        }
    }

    /// [`StoreError::Unknown`] with its cause.
    pub fn unknown_because(what: impl ToString, cause: impl Into<Cause>) -> Self {
        Self::Unknown {
            what: what.to_string(),
            source: Some(cause.into()),
        }
    }

    /// [`StoreError::Corrupt`] for this reason.
    pub fn corrupt(name: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt {
            name: name.to_string(),
            reason: reason.to_string(),
        }
    }

    /// [`StoreError::Other`] without a known cause.
    pub fn other(what: impl ToString) -> Self {
        Self::Other {
            what: what.to_string(),
            source: None,
        }
    }

    /// [`StoreError::Other`] with its cause.
    pub fn other_because(what: impl ToString, cause: impl Into<Cause>) -> Self {
        Self::Other {
            what: what.to_string(),
            source: Some(cause.into()),
        }
    }

    /// Whether the write may have happened all the same.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether nothing has the name.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the condition of a write did not hold.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// The same failure for another caller who waited for the same call; its causes become text.
    pub(crate) fn share(&self) -> Self {
        let text = |source: &Option<Cause>| source.as_deref().map(|cause| Cause::from(chain(cause)));
        match self {
            Self::NotFound { name } => Self::not_found(name),
            Self::Conflict { name } => Self::conflict(name),
            Self::Full { what } => Self::full(what),
            Self::Throttled { what } => Self::throttled(what),
            Self::Unknown { what, source } => Self::Unknown {
                what: what.clone(),
                source: text(source),
            },
            Self::Corrupt { name, reason } => Self::corrupt(name, reason),
            Self::Other { what, source } => Self::Other {
                what: what.clone(),
                source: text(source),
            },
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
