//! Fold: the oldest tail entries become a flat shard, absorbing small flat ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::compaction_policy;
use engine::{MergeSource, Shard, ShardBuilder};
use format::WalObject;
use format::manifest::{Manifest, ShardEntry};
use format::record::{IndexRecord, WalEntry};
use format::shard::EncodedShard;
use futures::future::BoxFuture;
use model::{IndexConfig, ShardId};
use roaring::RoaringBitmap;
use storage::IndexPath;

use super::change::{Change, Input};
use super::publish::Publisher;
use super::{IndexingError, Outcome, upload};
use crate::Context;
use crate::query::{objects, shards};

/// The newest version of every key that a run of WAL entries mentions: entry and row, in key order.
type Newest = BTreeMap<String, (usize, usize)>;

/// Folds up to `most` of the oldest entries once.
///
/// # Errors
/// The fold left only garbage and may be tried again.
pub fn fold_once<'a>(
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
    most: usize,
) -> BoxFuture<'a, Result<Outcome, IndexingError>> {
    Box::pin(async move {
        let Some(record) = ctx.ports.catalog.read_record(path).await? else {
            return Ok(Outcome::Gone);
        };
        let entries = choose(ctx, &record, most);
        if entries.is_empty() {
            return Ok(Outcome::Nothing);
        }
        let manifest = objects::manifest(ctx, &record).await?;
        let change = build(ctx, &record, &manifest, entries).await?;
        let outcome = Publisher::new(ctx, path, record.uuid, manifest.id, &change)
            .run(record)
            .await?;
        if let Outcome::Committed { rows } = outcome {
            ctx.metrics.folds.add(1);
            ctx.metrics.folded_rows.add(rows);
        }
        Ok(outcome)
    })
}

/// The first k entries: bounded in number, rows and bytes, but always one.
fn choose(ctx: &Context, record: &IndexRecord, most: usize) -> Vec<WalEntry> {
    let config = &ctx.config.fold;
    let mut rows = 0_u64;
    let mut kib = 0_u64;
    let mut chosen = Vec::new();
    for entry in record.wal.iter().take(most.clamp(1, config.max_entries)) {
        rows = rows.saturating_add(u64::from(entry.rows));
        kib = kib.saturating_add(u64::from(entry.kib));
        let full = rows > config.max_rows || kib > config.max_kib;
        if full && !chosen.is_empty() {
            break;
        }
        chosen.push(*entry);
    }
    chosen
}

async fn build(
    ctx: &Arc<Context>,
    record: &IndexRecord,
    manifest: &Manifest,
    entries: Vec<WalEntry>,
) -> Result<Change, IndexingError> {
    let loaded = objects::wals(ctx, record.uuid, &entries).await?;
    let objects: Vec<Arc<WalObject>> = loaded.iter().map(|entry| Arc::clone(entry.object())).collect();
    let absorbed = absorb(ctx, manifest, &entries).await?;
    let config = record.config.clone();
    let (newest, encoded, inputs) = ctx
        .pool
        .run_next(move || {
            let newest = newest(&objects);
            let (encoded, inputs) = encode(&config, &objects, &newest, absorbed)?;
            Ok::<_, IndexingError>((newest, encoded, inputs))
        })
        .await??;
    let output = match encoded {
        None => None,
        Some(encoded) => {
            let id = ShardId(ctx.ids.ulid(record.floor));
            Some(upload::shard(ctx, record.uuid, id, encoded).await?)
        }
    };
    Ok(Change {
        fold: entries,
        wal_base: record.wal_base,
        inputs,
        output,
        keys: newest.into_keys().collect(),
        ..Change::default()
    })
}

/// A small flat shard that the fold takes in, with its dead rows.
struct Absorbed {
    id: ShardId,
    shard: Arc<Shard>,
    dead: RoaringBitmap,
}

async fn absorb(ctx: &Arc<Context>, manifest: &Manifest, entries: &[WalEntry]) -> Result<Vec<Absorbed>, IndexingError> {
    let rows: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
    let kib: u64 = entries.iter().map(|entry| u64::from(entry.kib)).sum();
    let stats = super::compact::stats(manifest);
    let bytes = kib.saturating_mul(1024);
    let chosen = compaction_policy::absorb(rows, bytes, &stats, &super::compact::policy(ctx));
    let mut absorbed = Vec::with_capacity(chosen.len());
    for id in chosen {
        let Some(entry) = manifest.shard(id) else {
            continue;
        };
        let shard = shards::whole_shard(ctx, manifest.index, entry).await?;
        let dead = objects::dead(ctx, manifest.index, id, manifest.dead.get(&id)).await?;
        let dead = dead.as_ref().clone();
        absorbed.push(Absorbed { id, shard, dead });
    }
    Ok(absorbed)
}

/// Newest first is decided by position: a later entry, and within one entry a later row, wins.
fn newest(objects: &[Arc<WalObject>]) -> Newest {
    let mut newest = Newest::new();
    for (position, object) in objects.iter().enumerate() {
        for row in 0..object.rows() {
            newest.insert(object.key(row).to_owned(), (position, row));
        }
    }
    newest
}

fn encode(
    config: &IndexConfig,
    objects: &[Arc<WalObject>],
    newest: &Newest,
    absorbed: Vec<Absorbed>,
) -> Result<(Option<EncodedShard>, Vec<Input>), IndexingError> {
    let mut builder = ShardBuilder::new(config.dimension);
    for (key, &(position, row)) in newest {
        let Some(object) = objects.get(position) else {
            continue;
        };
        if !object.is_delete(row) {
            builder.push(key, object.vector_bytes(row), object.metadata(row))?;
        }
    }
    if absorbed.is_empty() {
        return Ok((builder.finish(config)?, Vec::new()));
    }
    // Rows that the fold deletes or replaces stay behind, as the dead ones do.
    let left_behind: Vec<RoaringBitmap> = absorbed
        .iter()
        .map(|part| {
            let overridden = newest.keys().filter_map(|key| part.shard.find(key));
            &part.dead | overridden.collect::<RoaringBitmap>()
        })
        .collect();
    let sources: Vec<MergeSource<'_>> = absorbed
        .iter()
        .zip(&left_behind)
        .map(|(part, dead)| MergeSource {
            shard: &part.shard,
            dead,
        })
        .collect();
    let merged = engine::merge(config, &sources, Some(&builder))?;
    let inputs = absorbed
        .into_iter()
        .zip(merged.maps)
        .map(|(part, rows)| Input {
            id: part.id,
            dead: part.dead,
            rows,
        })
        .collect();
    Ok((merged.shard, inputs))
}

/// The rows of a shard that hold one of these sorted keys.
pub(super) fn rows_of_keys(shard: &Shard, entry: &ShardEntry, keys: &[String]) -> RoaringBitmap {
    let first = keys.partition_point(|key| key.as_str() < entry.min_key.as_str());
    keys.iter()
        .skip(first)
        .take_while(|key| key.as_str() <= entry.max_key.as_str())
        .filter_map(|key| shard.find(key))
        .collect()
}
