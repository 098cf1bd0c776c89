//! Immutable objects of an index, fetched and checked once, then shared.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use engine::pool::PoolError;
use engine::shard::Shard;
use format::manifest::{DeadRef, Manifest};
use format::record::{IndexRecord, WalEntry};
use format::wal::WalObject;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{ApiError, DeadId, IndexUuid, ManifestId, ShardId, WalId};
use roaring::RoaringBitmap;
use storage::paths::{self, ObjectKind};
use storage::{ObjectName, StoreError};

use tokio::sync::Semaphore;

use super::attaching::Attaching;
use super::cache::ByteCache;
use super::entry::TailEntry;
use super::snapshot::Snapshot;
use crate::config::{CacheConfig, RangedConfig};
use crate::{Context, errors};

const UNREADABLE: &str = "Stored data of this index cannot be read; the server's log names the object";
/// Objects up to this are decoded where they arrive: it takes less than handing them to the pool is worth.
const INLINE_BYTES: usize = 64 * 1024;
/// WAL objects fetched at a time for one index: each may become a job of the pool, whose queue is bounded.
const WAL_FETCHES: usize = 16;
/// Builders remembered before unused ones are dropped.
const BUILDERS: usize = 1024;

/// Why something that the record reaches could not be had.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// It does not exist (any more): read the record again.
    Missing(ObjectName),
    /// Its bytes are not what they must be.
    Unreadable {
        /// The object.
        name: ObjectName,
        /// What is wrong.
        reason: String,
    },
    /// The store failed.
    Store(StoreError),
    /// The CPU pool failed.
    Pool(PoolError),
}

impl ReadFault {
    pub(super) fn store(name: &ObjectName, error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::Missing(name.clone()),
            StoreError::Corrupt { reason, .. } => Self::unreadable(name, reason),
            other => Self::Store(other),
        }
    }

    pub(super) fn unreadable(name: &ObjectName, reason: impl Display) -> Self {
        Self::Unreadable {
            name: name.clone(),
            reason: reason.to_string(),
        }
    }

    /// What the client sees. The log names the object; the client learns no more than which write to tell the operator
    /// of.
    pub(crate) fn into_api(self) -> ApiError {
        match self {
            Self::Missing(name) => {
                tracing::error!(object = %name, "an object that the record reaches does not exist");
                unreadable(&name)
            }
            Self::Unreadable { name, reason } => {
                tracing::error!(object = %name, reason, "a stored object is unreadable");
                unreadable(&name)
            }
            Self::Store(error) => errors::store(&error),
            Self::Pool(error) => errors::pool(&error),
        }
    }
}

fn unreadable(name: &ObjectName) -> ApiError {
    let message = match paths::parse(name) {
        Some(ObjectKind::Wal(entry)) => format!(
            "Write {entry} of this index cannot be read back; an operator has to repair or quarantine it, the server's \
             log names the object"
        ),
        _ => UNREADABLE.to_owned(),
    };
    ApiError::Internal { message }
}

/// Caches of immutable things, so never stale; and the newest snapshot of each index.
#[derive(Debug)]
pub(crate) struct ReadCaches {
    manifests: ByteCache<(IndexUuid, ManifestId), Arc<Manifest>>,
    wal: ByteCache<(IndexUuid, WalId), Arc<TailEntry>>,
    pub(super) shards: ByteCache<(IndexUuid, ShardId), Arc<Shard>>,
    dead: ByteCache<(IndexUuid, DeadId), Arc<RoaringBitmap>>,
    pub(super) snapshots: ByteCache<IndexUuid, Arc<Snapshot>>,
    builders: Mutex<HashMap<IndexUuid, Arc<tokio::sync::Mutex<()>>>>,
    /// Who fetches the rows of open shards.
    pub(super) attaching: Attaching,
    /// One file is read ahead at a time.
    pub(super) ahead: Arc<Semaphore>,
    /// Ranges read at a time.
    pub(super) range_reads: Semaphore,
    /// KiB of ranges that have been read and not been checked.
    pub(super) range_memory: Semaphore,
}

impl ReadCaches {
    /// Empty caches with these bounds.
    pub(crate) fn new(bounds: &CacheConfig, ranged: &RangedConfig) -> Self {
        let half_manifest = bounds.manifest_bytes / 2;
        Self {
            manifests: ByteCache::new(half_manifest),
            wal: ByteCache::new(bounds.wal_bytes),
            shards: ByteCache::new(bounds.shard_bytes),
            dead: ByteCache::new(half_manifest),
            // A snapshot keeps what it reaches alive, so it is bounded by the same numbers.
            snapshots: ByteCache::new(bounds.wal_bytes.saturating_add(bounds.shard_bytes)),
            builders: Mutex::default(),
            attaching: Attaching::default(),
            ahead: Arc::new(Semaphore::new(1)),
            range_reads: Semaphore::new(ranged.reads.max(1)),
            range_memory: Semaphore::new(ranged.permits(u64::MAX) as usize),
        }
    }

    /// Whoever holds it builds the index's next snapshot; the others wait and then find it.
    pub(super) fn builder(&self, index: IndexUuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut builders = self.builders.lock().unwrap_or_else(PoisonError::into_inner);
        if builders.len() >= BUILDERS {
            builders.retain(|_, builder| Arc::strong_count(builder) > 1);
        }
        Arc::clone(builders.entry(index).or_default())
    }

    /// Drops what is kept of an index that was deleted: open shards hold its files on the disk.
    pub(crate) fn forget(&self, index: IndexUuid) {
        self.snapshots.forget(|key| *key == index);
        self.manifests.forget(|(owner, _)| *owner == index);
        self.wal.forget(|(owner, _)| *owner == index);
        self.shards.forget(|(owner, _)| *owner == index);
        self.dead.forget(|(owner, _)| *owner == index);
    }

    /// Bytes held: WAL objects, manifests with deletion vectors, shards.
    pub(crate) fn bytes(&self) -> [(&'static str, usize); 3] {
        [
            ("wal", self.wal.bytes()),
            ("manifest", self.manifests.bytes() + self.dead.bytes()),
            ("shard", self.shards.bytes()),
        ]
    }
}

/// Fetches `name` and turns its bytes into a value on the pool. A copy that turns out to be damaged on the way here is
/// dropped, and the store asked once more.
async fn load<T: Send + 'static>(
    ctx: &Context,
    name: ObjectName,
    decode: impl Fn(bytes::Bytes) -> Result<(T, usize), String> + Send + Clone + 'static,
) -> Result<(T, usize), ReadFault> {
    let loaded = load_once(ctx, &name, decode.clone()).await;
    let is_unreadable = matches!(loaded, Err(ReadFault::Unreadable { .. }));
    if is_unreadable && ctx.ports.objects.invalidate(std::slice::from_ref(&name)).await {
        return load_once(ctx, &name, decode).await;
    }
    loaded
}

async fn load_once<T: Send + 'static>(
    ctx: &Context,
    name: &ObjectName,
    decode: impl FnOnce(bytes::Bytes) -> Result<(T, usize), String> + Send + 'static,
) -> Result<(T, usize), ReadFault> {
    ctx.metrics.cache_misses.add(1);
    let bytes = ctx
        .ports
        .objects
        .get(name)
        .await
        .map_err(|error| ReadFault::store(name, error))?;
    let decoded = if bytes.len() <= INLINE_BYTES {
        decode(bytes)
    } else {
        ctx.pool
            .run_next(move || decode(bytes))
            .await
            .map_err(ReadFault::Pool)?
    };
    decoded.map_err(|reason| ReadFault::unreadable(name, reason))
}

/// The record's manifest; an empty one before the first fold.
pub(crate) async fn manifest(ctx: &Context, record: &IndexRecord) -> Result<Arc<Manifest>, ReadFault> {
    let Some(reference) = record.manifest else {
        return Ok(Arc::new(Manifest::empty(record.uuid)));
    };
    let name = paths::manifest(record.uuid, &reference);
    let key = (record.uuid, reference.id);
    if let Some(manifest) = ctx.reads.manifests.get(&key) {
        ctx.metrics.cache_hits.add(1);
        return Ok(manifest);
    }
    let decode = |bytes: bytes::Bytes| {
        let manifest = Manifest::decode(&bytes).map_err(|error| error.to_string())?;
        Ok((Arc::new(manifest), bytes.len().saturating_mul(2)))
    };
    ctx.reads.manifests.get_or_load(&key, load(ctx, name, decode)).await
}

/// A WAL object, decoded.
pub(crate) async fn wal(ctx: &Context, index: IndexUuid, id: WalId) -> Result<Arc<TailEntry>, ReadFault> {
    let key = (index, id);
    if let Some(entry) = ctx.reads.wal.get(&key) {
        ctx.metrics.cache_hits.add(1);
        return Ok(entry);
    }
    let decode = |bytes: bytes::Bytes| {
        let object = WalObject::decode(bytes).map_err(|error| error.to_string())?;
        let entry = TailEntry::new(Arc::new(object));
        let weight = entry.weight();
        Ok((Arc::new(entry), weight))
    };
    ctx.reads
        .wal
        .get_or_load(&key, load(ctx, paths::wal(index, id), decode))
        .await
}

/// WAL objects in the order asked, a bounded number at a time.
pub(crate) async fn wals(
    ctx: &Context,
    index: IndexUuid,
    entries: &[WalEntry],
) -> Result<Vec<Arc<TailEntry>>, ReadFault> {
    let loads: Vec<_> = entries.iter().map(|entry| wal(ctx, index, entry.id)).collect();
    stream::iter(loads).buffered(WAL_FETCHES).try_collect().await
}

/// The dead rows of a shard.
pub(crate) async fn dead(
    ctx: &Context,
    index: IndexUuid,
    shard: ShardId,
    reference: Option<&DeadRef>,
) -> Result<Arc<RoaringBitmap>, ReadFault> {
    let (id, size, sum) = match reference {
        None => return Ok(Arc::default()),
        Some(DeadRef::Inline(bitmap)) => return Ok(Arc::new(bitmap.clone())),
        Some(DeadRef::Object { id, size, crc32c, .. }) => (*id, *size, *crc32c),
    };
    let key = (index, id);
    if let Some(dead) = ctx.reads.dead.get(&key) {
        ctx.metrics.cache_hits.add(1);
        return Ok(dead);
    }
    let decode = move |bytes: bytes::Bytes| {
        if bytes.len() as u64 != size || format::crc32c(&bytes) != sum {
            return Err("the deletion vector is not the one that the manifest names".to_owned());
        }
        let dead = format::decode_dead(&bytes).map_err(|error| error.to_string())?;
        Ok((Arc::new(dead), bytes.len()))
    };
    ctx.reads
        .dead
        .get_or_load(&key, load(ctx, paths::dead(index, shard, id), decode))
        .await
}
