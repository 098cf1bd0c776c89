//! Opened shards: fetched and checked once, whole or without their `rows.parquet`.
//!
//! A large `rows.parquet` of a shard with an index is left in the store when a `get` would transfer it: a query needs a
//! few hundred of its rows, and reads those (`ranges`). Whoever needs the whole file attaches it to the open shard, and
//! so does the background once somebody has read ranges, where the file is kept on the way.

use std::sync::Arc;

use engine::shard::{Shard, ShardBytes};
use format::manifest::ShardEntry;
use model::{IndexUuid, ShardId};
use storage::paths::{self, ShardFile};
use storage::{ObjectName, Reach};

use super::objects::ReadFault;
use crate::Context;

/// An opened shard, every file verified that was fetched for it (S4). It may be without its `rows.parquet`.
pub(crate) async fn shard(ctx: &Context, index: IndexUuid, entry: &ShardEntry) -> Result<Arc<Shard>, ReadFault> {
    let key = (index, entry.id);
    if let Some(shard) = ctx.reads.shards.get(&key) {
        ctx.metrics.cache_hits.add(1);
        return Ok(shard);
    }
    ctx.reads.shards.get_or_load(&key, open(ctx, index, entry)).await
}

/// An opened shard with all of its files.
pub(crate) async fn whole_shard(ctx: &Context, index: IndexUuid, entry: &ShardEntry) -> Result<Arc<Shard>, ReadFault> {
    let shard = shard(ctx, index, entry).await?;
    attach(ctx, index, entry.id, &shard).await?;
    Ok(shard)
}

async fn open(ctx: &Context, index: IndexUuid, entry: &ShardEntry) -> Result<(Arc<Shard>, usize), ReadFault> {
    let opened = open_once(ctx, index, entry).await;
    if matches!(opened, Err(ReadFault::Unreadable { .. })) {
        let files = ShardFile::ALL.map(|file| paths::shard_file(index, entry.id, file));
        if ctx.ports.objects.invalidate(&files).await {
            return open_once(ctx, index, entry).await;
        }
    }
    opened
}

async fn open_once(ctx: &Context, index: IndexUuid, entry: &ShardEntry) -> Result<(Arc<Shard>, usize), ReadFault> {
    ctx.metrics.cache_misses.add(1);
    let get = async |file: ShardFile| {
        let name = paths::shard_file(index, entry.id, file);
        let fetched = ctx.ports.objects.get(&name).await;
        fetched.map_err(|error| ReadFault::store(&name, error))
    };
    let get_if = async |file: ShardFile, is_wanted: bool| if is_wanted { get(file).await.map(Some) } else { Ok(None) };
    let (rows, keys, fst, attributes, head, faiss) = futures::try_join!(
        get_if(ShardFile::Rows, !stays_in_store(ctx, index, entry)),
        get(ShardFile::Keys),
        get(ShardFile::Fst),
        get(ShardFile::Attributes),
        get(ShardFile::Head),
        get_if(ShardFile::Index, entry.files.index.is_some()),
    )?;
    let bytes = ShardBytes {
        rows,
        keys,
        fst,
        attributes,
        head,
        index: faiss,
    };
    let entry = entry.clone();
    let id = entry.id;
    let opened = ctx
        .pool
        .run_next(move || Shard::open(&entry, bytes))
        .await
        .map_err(ReadFault::Pool)?;
    let shard = opened.map_err(|error| {
        // The error names the file; the head is as good a name for the whole shard as any.
        ReadFault::unreadable(&paths::shard_file(index, id, ShardFile::Head), error)
    })?;
    let size = weight(&shard);
    Ok((Arc::new(shard), size))
}

fn weight(shard: &Shard) -> usize {
    usize::try_from(shard.size_bytes()).unwrap_or(usize::MAX)
}

/// Whether ranges of `rows.parquet` are read instead of all of it.
fn stays_in_store(ctx: &Context, index: IndexUuid, entry: &ShardEntry) -> bool {
    let size = entry.files.rows.size;
    let is_large = entry.files.index.is_some() && size >= ctx.config.ranged.from_bytes;
    is_large && ctx.ports.objects.reach(&rows_name(index, entry.id), size) != Reach::AtHand
}

/// The object that holds a shard's rows.
pub(super) fn rows_name(index: IndexUuid, shard: ShardId) -> ObjectName {
    paths::shard_file(index, shard, ShardFile::Rows)
}

/// Fetches all of `rows.parquet` for a shard that is without it; once for all who want it at the same time.
pub(super) async fn attach(ctx: &Context, index: IndexUuid, id: ShardId, shard: &Arc<Shard>) -> Result<(), ReadFault> {
    if shard.has_rows() {
        return Ok(());
    }
    let turn = ctx.reads.attaching.lock((index, id));
    let _turn = turn.lock().await;
    if shard.has_rows() {
        return Ok(());
    }
    let attached = attach_once(ctx, index, id, shard).await;
    let name = rows_name(index, id);
    let is_unreadable = matches!(attached, Err(ReadFault::Unreadable { .. }));
    if is_unreadable && ctx.ports.objects.invalidate(std::slice::from_ref(&name)).await {
        return attach_once(ctx, index, id, shard).await;
    }
    attached
}

async fn attach_once(ctx: &Context, index: IndexUuid, id: ShardId, shard: &Arc<Shard>) -> Result<(), ReadFault> {
    ctx.metrics.cache_misses.add(1);
    let name = rows_name(index, id);
    let fetched = ctx.ports.objects.get(&name).await;
    let bytes = fetched.map_err(|error| ReadFault::store(&name, error))?;
    let opened = {
        let shard = Arc::clone(shard);
        ctx.pool.run_next(move || shard.attach_rows(bytes)).await
    };
    opened
        .map_err(ReadFault::Pool)?
        .map_err(|error| ReadFault::unreadable(&name, error))?;
    ctx.reads.attaching.forget_spent((index, id));
    // It has become heavier, and so has whatever keeps it.
    ctx.reads.shards.reweigh(&(index, id), |shard| weight(shard));
    ctx.reads.snapshots.reweigh(&index, |snapshot| snapshot.weight());
    Ok(())
}

/// Whether so many bytes are read by ranges once more. Where the file would be kept on a disk, it is fetched instead once
/// ranges have cost as much as it: by whoever asks next, for there may be no background.
pub(super) fn is_worth_ranges(ctx: &Context, index: IndexUuid, entry: &ShardEntry, bytes: u64) -> bool {
    let (key, size) = ((index, entry.id), entry.files.rows.size);
    let spent = ctx.reads.attaching.spend(key, bytes);
    spent <= size
        || ctx.reads.attaching.is_left(key, ctx.now_ms())
        || ctx.ports.objects.reach(&rows_name(index, entry.id), size) == Reach::Remote
}

/// After ranges were read: fetches the whole file in the background, if it will be kept on the disk and configuration
/// wants that; one file at a time. A file that could not be fetched or kept is left alone for a while.
pub(super) fn read_ahead(ctx: &Arc<Context>, index: IndexUuid, entry: &ShardEntry, shard: &Arc<Shard>) {
    let (name, size) = (rows_name(index, entry.id), entry.files.rows.size);
    let is_wanted = ctx.config.ranged.read_ahead && !ctx.reads.attaching.is_left((index, entry.id), ctx.now_ms());
    if !is_wanted || ctx.ports.objects.reach(&name, size) == Reach::Remote {
        return;
    }
    let Ok(permit) = Arc::clone(&ctx.reads.ahead).try_acquire_owned() else {
        return;
    };
    let (ctx, shard, id) = (Arc::clone(ctx), Arc::clone(shard), entry.id);
    tokio::spawn(async move {
        let _permit = permit;
        // Without looking at the bytes: whoever keeps them makes them a view, which is then attached.
        let outcome = match ctx.ports.objects.get(&name).await {
            Err(error) => Err(ReadFault::store(&name, error)),
            Ok(_) if ctx.ports.objects.reach(&name, size) != Reach::AtHand => {
                ctx.reads.attaching.leave((index, id), ctx.now_ms());
                return tracing::debug!(object = %name, "a file was not kept: ranges of it are read on");
            }
            Ok(_) => attach(&ctx, index, id, &shard).await,
        };
        let Err(fault) = outcome else {
            return;
        };
        ctx.reads.attaching.leave((index, id), ctx.now_ms());
        match fault {
            // Collected: the shard has been replaced.
            ReadFault::Missing(_) => tracing::debug!(object = %name, "a file was collected before it was read ahead"),
            ReadFault::Unreadable { reason, .. } => {
                tracing::error!(object = %name, reason, "a stored object is unreadable");
            }
            fault => tracing::warn!(object = %name, ?fault, "reading ahead failed"),
        }
    });
}
