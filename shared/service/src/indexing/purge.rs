//! Deletion of everything under a deleted index's uuid.
//!
//! A prefix is purged only for the tombstone that DeleteIndex wrote, never because its uuid is unknown. A writer that
//! was paused through the deletion may still PUT under the old uuid (its commit is refused, I7), so the purge repeats
//! until nothing young turns up.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use model::IndexUuid;
use storage::{Tombstone, paths};
use tokio::sync::Notify;

use super::{IndexingError, collect};
use crate::Context;

/// Deletions remembered for an early purge; beyond, they wait for the next run over all tombstones.
const REMEMBERED: usize = 10_000;

/// Indexes that this process has deleted and not purged yet.
#[derive(Debug, Default)]
pub(crate) struct DeletedIndexes {
    uuids: Mutex<Vec<IndexUuid>>,
    any: Notify,
}

impl DeletedIndexes {
    /// An index whose tombstone was just written.
    pub(crate) fn add(&self, index: IndexUuid) {
        let mut uuids = self.uuids.lock().unwrap_or_else(PoisonError::into_inner);
        if uuids.len() < REMEMBERED {
            uuids.push(index);
        }
        self.any.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub(crate) async fn take(&self) -> Vec<IndexUuid> {
        loop {
            let taken = std::mem::take(&mut *self.uuids.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.any.notified().await;
        }
    }
}

/// One purge of what is under a deleted index's uuid; how many objects went.
///
/// # Errors
/// A later run goes on.
pub(crate) async fn purge_once(ctx: &Context, index: IndexUuid) -> Result<usize, IndexingError> {
    // Files that are still mapped would keep their space.
    ctx.reads.forget(index);
    let names = collect::list_all(ctx, &paths::index_prefix(index)).await?;
    collect::delete(ctx, &names).await?;
    ctx.metrics.collected_objects.add(names.len() as u64);
    Ok(names.len())
}

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
    pub fn run<'a>(&'a mut self, ctx: &'a Arc<Context>) -> BoxFuture<'a, Result<usize, IndexingError>> {
        Box::pin(async move {
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
            failed.map_or(Ok(deleted), Err)
        })
    }

    async fn purge(&mut self, ctx: &Context, tombstone: &Tombstone) -> Result<usize, IndexingError> {
        if self.settled.contains(&tombstone.uuid) {
            return Ok(0);
        }
        let purge_age = u64::try_from(ctx.config.collection.purge_age.as_millis()).unwrap_or(u64::MAX);
        let purged = purge_once(ctx, tombstone.uuid).await?;
        let settled_after_ms = tombstone.deleted_ms.saturating_add(purge_age);
        if purged == 0 && ctx.now_ms() > settled_after_ms {
            self.settled.insert(tombstone.uuid);
        }
        Ok(purged)
    }
}
