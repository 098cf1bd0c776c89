//! Deletion of everything under a deleted index's uuid.
//!
//! A prefix is purged only for the tombstone that DeleteIndex wrote, never because its uuid is unknown. A writer that
//! was paused through the deletion may still PUT under the old uuid (its commit is refused, I7), so the purge repeats
//! until nothing young turns up.

use std::collections::HashSet;
use std::sync::Arc;

use model::IndexUuid;
use storage::{Tombstone, paths};

use super::{IndexingError, collect};
use crate::Context;

/// Purges deleted indexes; remembers which ones are done.
#[derive(Debug, Default)]
pub struct Purger {
    settled: HashSet<IndexUuid>,
}

impl Purger {
    /// One run over all tombstones; how many objects went. One that fails does not keep the others.
    ///
    /// # Errors
    /// The last failure; a later run goes on.
    pub async fn run(&mut self, ctx: &Arc<Context>) -> Result<usize, IndexingError> {
        let mut deleted = 0_usize;
        let mut failed = None;
        for tombstone in ctx.ports.catalog.list_tombstones().await? {
            match self.purge(ctx, &tombstone).await {
                Ok(objects) => deleted = deleted.saturating_add(objects),
                Err(error) => {
                    tracing::warn!(%error, index = %tombstone.uuid, "a deleted index is not purged yet");
                    failed = Some(error);
                }
            }
        }
        ctx.metrics.collected_objects.add(deleted as u64);
        failed.map_or(Ok(deleted), Err)
    }

    async fn purge(&mut self, ctx: &Arc<Context>, tombstone: &Tombstone) -> Result<usize, IndexingError> {
        if self.settled.contains(&tombstone.uuid) {
            return Ok(0);
        }
        let purge_age = u64::try_from(ctx.config.collection.purge_age.as_millis()).unwrap_or(u64::MAX);
        let names = collect::list_all(ctx, &paths::index_prefix(tombstone.uuid)).await?;
        let settled_after_ms = tombstone.deleted_ms.saturating_add(purge_age);
        if names.is_empty() && ctx.now_ms() > settled_after_ms {
            self.settled.insert(tombstone.uuid);
            return Ok(0);
        }
        collect::delete(ctx, &names).await?;
        Ok(names.len())
    }
}
