//! The port that wakes the indexer. A ring carries no state: losing or repeating one is harmless, because the sweep
//! finds every dirty index again.

use std::fmt::Debug;

use async_trait::async_trait;
use model::IndexUuid;
use serde::{Deserialize, Serialize};

use crate::catalog::IndexPath;
use crate::error::StoreError;

/// What an index has work for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Its tail wants folding.
    Fold,
    /// Its shards want compacting; a queue of its own, since it takes long.
    Compact,
}

/// "This index has work."
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ring {
    /// The index.
    pub path: IndexPath,
    /// The life of the index that has work.
    pub uuid: IndexUuid,
    /// Which work.
    pub kind: Work,
}

/// Rings the indexer.
#[async_trait]
pub trait Doorbell: Send + Sync + Debug {
    /// Says that an index has work. A failed ring is logged by the caller, never returned to a client.
    async fn ring(&self, ring: &Ring) -> Result<(), StoreError>;
}
