//! Garbage collection of one index: what neither its tail nor its manifest reaches is listed, and deleted by a later
//! run that finds the same.
//!
//! It is safe under any clock and any pause, because the floor is raised in the same update that reads the record:
//! no commit can introduce an object below the floor any more (I4). Ages only decide when.

use std::collections::HashSet;
use std::sync::Arc;

use format::gc::{COLLECTION_SCHEMA, CollectionList};
use format::manifest::{DeadRef, Manifest};
use format::record::IndexRecord;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use model::{CollectionId, IndexUuid, Ulid};
use storage::paths::{self, ObjectKind, ShardFile};
use storage::{IndexPath, ObjectName, StoreError};

use super::IndexingError;
use super::purge::Purger;
use crate::Context;
use crate::query::objects;

/// Names per LIST call.
const LIST_PAGE: usize = 1000;
/// Indexes that are collected at a time: nearly all of it is waiting.
const AT_ONCE: usize = 8;
/// Names per DELETE call.
const DELETE_BATCH: usize = 1000;

/// What one run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Unreachable objects put on a list.
    pub listed: usize,
    /// Objects of older lists that were deleted.
    pub deleted: usize,
}

/// One run over one index.
///
/// # Errors
/// Nothing that is reachable was touched; a later run starts over.
pub fn collect_once<'a>(
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
    index: IndexUuid,
) -> BoxFuture<'a, Result<Collected, IndexingError>> {
    Box::pin(async move {
        // (1) LIST first: what appears later is not looked at.
        let names = list_all(ctx, &paths::index_prefix(index)).await?;
        // (2) The floor rises and the record is read in one update.
        let now_ms = ctx.now_ms();
        let floor_age = u64::try_from(ctx.config.collection.floor_age.as_millis()).unwrap_or(u64::MAX);
        let floor = Ulid::from_parts(now_ms.saturating_sub(floor_age), 0);
        let raised = ctx.ports.catalog.raise_floor(path, index, floor).await?;
        let Some(record) = raised.filter(|record| record.uuid == index) else {
            return Ok(Collected::default());
        };
        let manifest = objects::manifest(ctx, &record).await?;
        let reachable = reachable(&record, &manifest);
        let is_garbage = |name: &ObjectName, kind: &ObjectKind| {
            kind.ulid() < record.floor && !reachable.contains(name) && !matches!(kind, ObjectKind::Collection(_))
        };
        // (4) What an old enough list names, and is unreachable still, is deleted; then the list itself.
        let mut collected = Collected::default();
        let mut waiting: HashSet<ObjectName> = HashSet::new();
        for name in &names {
            let Some(ObjectKind::Collection(_)) = paths::parse(name) else {
                continue;
            };
            let Some(list) = read_list(ctx, name).await? else {
                continue;
            };
            let named: HashSet<&str> = list.names.iter().map(String::as_str).collect();
            let garbage: Vec<ObjectName> = names
                .iter()
                .filter(|name| named.contains(name.as_str()))
                .filter(|name| paths::parse(name).is_some_and(|kind| is_garbage(name, &kind)))
                .cloned()
                .collect();
            let list_age = u64::try_from(ctx.config.collection.list_age.as_millis()).unwrap_or(u64::MAX);
            if list.created_ms.saturating_add(list_age) > now_ms {
                waiting.extend(garbage);
                continue;
            }
            collected.deleted = collected.deleted.saturating_add(garbage.len());
            delete(ctx, &garbage).await?;
            waiting.extend(garbage);
            delete(ctx, std::slice::from_ref(name)).await?;
        }
        // (3) New findings go to a list of their own.
        let found: Vec<String> = names
            .iter()
            .filter(|name| !waiting.contains(*name))
            .filter(|name| paths::parse(name).is_some_and(|kind| is_garbage(name, &kind)))
            .map(ToString::to_string)
            .collect();
        collected.listed = found.len();
        write_list(ctx, &record, now_ms, found).await?;
        ctx.metrics.collected_objects.add(collected.deleted as u64);
        Ok(collected)
    })
}

/// One run over every index and every deleted one. An index that fails does not keep the others.
///
/// # Errors
/// The indexes cannot be listed, or a deleted one was not purged; a later run starts over.
pub fn collect_all<'a>(ctx: &'a Arc<Context>, purger: &'a mut Purger) -> BoxFuture<'a, Result<(), IndexingError>> {
    Box::pin(async move {
        let mut indexes = ctx.ports.catalog.list_all_indexes().await?;
        // A run that time runs out for begins elsewhere the next time, so that each index has its turn.
        let count = u64::try_from(indexes.len()).unwrap_or(u64::MAX).max(1);
        indexes.rotate_left(usize::try_from(ctx.ids.nonce() % count).unwrap_or(0));
        let mut works: Vec<BoxFuture<'a, ()>> = Vec::with_capacity(indexes.len());
        for (path, index) in indexes {
            works.push(collect_or_warn(ctx, path, index));
        }
        let collections = stream::iter(works).buffer_unordered(AT_ONCE).collect::<()>();
        // Beside each other: neither keeps the other from its turn.
        let ((), purged) = futures::join!(collections, purger.run(ctx));
        purged.map(|_| ())
    })
}

fn collect_or_warn(ctx: &Arc<Context>, path: IndexPath, index: IndexUuid) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        if let Err(error) = collect_once(ctx, &path, index).await {
            tracing::warn!(%error, bucket = %path.bucket, index = %path.index, "garbage collection failed");
        }
    })
}

/// Every object that the record reaches (I4).
fn reachable(record: &IndexRecord, manifest: &Manifest) -> HashSet<ObjectName> {
    let index = record.uuid;
    let mut names: HashSet<ObjectName> = record.wal.iter().map(|entry| paths::wal(index, entry.id)).collect();
    if let Some(reference) = &record.manifest {
        names.insert(paths::manifest(index, reference));
    }
    for shard in &manifest.shards {
        names.extend(ShardFile::ALL.map(|file| paths::shard_file(index, shard.id, file)));
    }
    for (shard, dead) in &manifest.dead {
        if let DeadRef::Object { id, .. } = dead {
            names.insert(paths::dead(index, *shard, *id));
        }
    }
    if let Some(train) = &manifest.train {
        names.insert(paths::train(index, train.id));
    }
    names
}

/// The list, or `None` when another collector has deleted it meanwhile.
async fn read_list(ctx: &Context, name: &ObjectName) -> Result<Option<CollectionList>, IndexingError> {
    match ctx.ports.objects.get(name).await {
        Ok(bytes) => Ok(Some(CollectionList::decode(&bytes)?)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn write_list(ctx: &Context, record: &IndexRecord, now_ms: u64, names: Vec<String>) -> Result<(), IndexingError> {
    if names.is_empty() {
        return Ok(());
    }
    let id = CollectionId(ctx.ids.ulid(record.floor));
    let list = CollectionList {
        schema: COLLECTION_SCHEMA,
        index: record.uuid,
        id,
        created_ms: now_ms,
        floor: record.floor,
        names,
    };
    let name = paths::collection(record.uuid, id);
    ctx.ports.objects.put(&name, list.encode()?).await?;
    Ok(())
}

/// Every name under a prefix.
pub(super) async fn list_all(ctx: &Context, prefix: &str) -> Result<Vec<ObjectName>, StoreError> {
    let mut names: Vec<ObjectName> = Vec::new();
    loop {
        let page = ctx.ports.objects.list(prefix, names.last(), LIST_PAGE).await?;
        let is_last = page.len() < LIST_PAGE;
        names.extend(page.into_iter().map(|object| object.name));
        if is_last {
            return Ok(names);
        }
    }
}

pub(super) async fn delete(ctx: &Context, names: &[ObjectName]) -> Result<(), StoreError> {
    for batch in names.chunks(DELETE_BATCH) {
        ctx.ports.objects.delete(batch).await?;
    }
    Ok(())
}
