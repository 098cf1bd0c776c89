//! The read protocol of DESIGN section 4: one strong read of the record, then its manifest and the WAL objects that
//! are not known yet in parallel, then shards and deletion vectors. Everything but the record is immutable.
//!
//! The newest snapshot of each index is kept and extended: a read after k new commits costs those k commits. A kept
//! snapshot that is newer than the record just read serves as well: its record was current at some moment during
//! this request.

use std::sync::Arc;

use format::manifest::{Manifest, ShardEntry};
use format::record::{IndexRecord, WalEntry};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{ApiError, BucketUuid, IndexConfig, IndexUuid};
use roaring::RoaringBitmap;
use storage::{IndexPath, ObjectName};

use engine::shard::Shard;

use super::entry::TailEntry;
use super::objects::{self, ReadFault};
use super::shards;
use super::tail::TailView;
use crate::write::{invalidate, remember};
use crate::{Context, errors};

/// Shards that one read opens at a time.
const SHARD_FETCHES: usize = 8;

/// One index at one moment: what its record reached, opened and laid over each other.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The index's life.
    pub uuid: IndexUuid,
    /// The bucket that it is in.
    pub bucket: BucketUuid,
    /// What CreateIndex fixed.
    pub config: IndexConfig,
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// The manifest's shards, in its order.
    pub shards: Vec<Arc<Shard>>,
    /// The tail over them.
    pub tail: TailView,
}

impl Snapshot {
    /// Sequence number after the last entry of the tail.
    pub(crate) fn end(&self) -> u64 {
        self.manifest.wal_base.saturating_add(self.tail.slots().len() as u64)
    }

    /// Whether this snapshot's record was the given one or a later one: both numbers only rise.
    fn is_at_least(&self, record: &IndexRecord) -> bool {
        let version = record.manifest.map_or(0, |manifest| manifest.version.0);
        self.uuid == record.uuid && self.manifest.version.0 >= version && self.end() >= record.end()
    }

    /// How many of the record's entries this snapshot holds, when the record only appended to it.
    fn is_prefix_of(&self, record: &IndexRecord) -> Option<usize> {
        let same_manifest = match record.manifest {
            Some(manifest) => manifest.id == self.manifest.id,
            None => self.manifest.version.0 == 0,
        };
        let ours = self.tail.slots().iter().map(|slot| slot.id.id);
        let theirs = record.wal.iter().map(|entry| entry.id);
        let held = self.tail.slots().len();
        let extends = self.uuid == record.uuid && same_manifest && held <= record.wal.len();
        (extends && ours.eq(theirs.take(held))).then_some(held)
    }

    /// Bytes that keeping it keeps alive.
    pub(super) fn weight(&self) -> usize {
        let tail: usize = self.tail.slots().iter().map(|slot| slot.entry.weight()).sum();
        let shards: usize = self
            .shards
            .iter()
            .map(|shard| usize::try_from(shard.size_bytes()).unwrap_or(0))
            .sum();
        tail.saturating_add(shards)
    }
}

/// The index at `path` as of now: every write that was acknowledged before this call is in it (I1).
pub(crate) async fn read(ctx: &Context, path: &IndexPath, deadline_ms: u64) -> Result<Arc<Snapshot>, ApiError> {
    let mut before: Option<(IndexRecord, ObjectName)> = None;
    loop {
        let record = ctx
            .ports
            .catalog
            .read_record(path)
            .await
            .map_err(|error| errors::store(&error))?;
        let Some(record) = record else {
            invalidate(ctx, path);
            return Err(ApiError::not_found_index());
        };
        remember(ctx, path, &record);
        if let Some((seen, name)) = before
            && same_content(&seen, &record)
        {
            // Nothing has replaced it: the object is lost.
            return Err(ReadFault::Missing(name).into_api());
        }
        match open(ctx, &record).await {
            Ok(snapshot) => return Ok(snapshot),
            Err(ReadFault::Missing(name)) => {
                tracing::debug!(object = %name, "an object was collected while it was read");
                before = Some((record, name));
            }
            Err(fault) => return Err(fault.into_api()),
        }
        if ctx.now_ms() >= deadline_ms {
            return Err(ApiError::request_timeout());
        }
    }
}

pub(super) fn same_content(a: &IndexRecord, b: &IndexRecord) -> bool {
    a.uuid == b.uuid && a.manifest == b.manifest && a.wal_base == b.wal_base && a.wal == b.wal
}

/// What the record reaches, as a snapshot; from the kept one when that is as new, or by extending it.
async fn open(ctx: &Context, record: &IndexRecord) -> Result<Arc<Snapshot>, ReadFault> {
    if let Some(kept) = kept(ctx, record) {
        return Ok(kept);
    }
    let builder = ctx.reads.builder(record.uuid);
    let _turn = builder.lock().await;
    // Whoever had the turn before may have built it.
    if let Some(kept) = kept(ctx, record) {
        return Ok(kept);
    }
    let base = ctx.reads.snapshots.get(&record.uuid);
    let base = base.and_then(|kept| kept.is_prefix_of(record).map(|held| (kept, held)));
    let snapshot = match base {
        Some((kept, held)) => extend(ctx, &kept, record.wal.get(held..).unwrap_or_default()).await?,
        None => build(ctx, record).await?,
    };
    let snapshot = Arc::new(snapshot);
    ctx.reads
        .snapshots
        .insert(&record.uuid, Arc::clone(&snapshot), snapshot.weight());
    Ok(snapshot)
}

fn kept(ctx: &Context, record: &IndexRecord) -> Option<Arc<Snapshot>> {
    ctx.reads
        .snapshots
        .get(&record.uuid)
        .filter(|kept| kept.is_at_least(record))
}

async fn extend(ctx: &Context, base: &Snapshot, new: &[WalEntry]) -> Result<Snapshot, ReadFault> {
    let entries = fetch_entries(ctx, base.uuid, new).await?;
    let bare = Snapshot {
        uuid: base.uuid,
        bucket: base.bucket,
        config: base.config.clone(),
        manifest: Arc::clone(&base.manifest),
        shards: base.shards.clone(),
        tail: base.tail.clone(),
    };
    lay_over(ctx, bare, entries).await
}

async fn build(ctx: &Context, record: &IndexRecord) -> Result<Snapshot, ReadFault> {
    let (manifest, entries) = futures::try_join!(
        objects::manifest(ctx, record),
        fetch_entries(ctx, record.uuid, &record.wal)
    )?;
    let loads: Vec<_> = manifest
        .shards
        .iter()
        .map(|entry| open_shard(ctx, &manifest, entry))
        .collect();
    let opened: Vec<_> = stream::iter(loads).buffered(SHARD_FETCHES).try_collect().await?;
    let (shards, dead): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
    let bare = Snapshot {
        uuid: record.uuid,
        bucket: record.bucket_uuid,
        config: record.config.clone(),
        manifest,
        shards,
        tail: TailView::over(dead),
    };
    lay_over(ctx, bare, entries).await
}

async fn open_shard(
    ctx: &Context,
    manifest: &Manifest,
    entry: &ShardEntry,
) -> Result<(Arc<Shard>, Arc<RoaringBitmap>), ReadFault> {
    let dead = manifest.dead.get(&entry.id);
    futures::try_join!(
        shards::shard(ctx, manifest.index, entry),
        objects::dead(ctx, manifest.index, entry.id, dead)
    )
}

async fn fetch_entries(
    ctx: &Context,
    index: IndexUuid,
    entries: &[WalEntry],
) -> Result<Vec<(WalEntry, Arc<TailEntry>)>, ReadFault> {
    let loaded = objects::wals(ctx, index, entries).await?;
    Ok(entries.iter().copied().zip(loaded).collect())
}

/// Lays the entries over the snapshot, oldest first.
async fn lay_over(
    ctx: &Context,
    mut snapshot: Snapshot,
    entries: Vec<(WalEntry, Arc<TailEntry>)>,
) -> Result<Snapshot, ReadFault> {
    if entries.is_empty() {
        return Ok(snapshot);
    }
    let laid = ctx.pool.run(move || {
        for (id, entry) in entries {
            snapshot.tail.push(id, entry, &snapshot.shards);
        }
        snapshot
    });
    laid.await.map_err(ReadFault::Pool)
}
