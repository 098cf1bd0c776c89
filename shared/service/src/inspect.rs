//! What an index is made of, for its operator: record, tail, manifest, shards, generations, measured recall.
//!
//! Reads the record, the manifest and each shard's head; with `verify` every object that the record reaches is read
//! and its checksum compared, and each one that is wrong is named.

use std::sync::Arc;

use engine::ivf::operating_point::{Costs, choose};
use format::manifest::{DeadRef, ShardEntry, TrainRef};
use format::record::IndexRecord;
use format::{FileKind, IvfHead, ShardHead};
use futures::future::BoxFuture;
use model::ApiError;
use serde_json::{Value, json};
use storage::IndexPath;
use storage::paths::{self, ShardFile};

use crate::indexing::IndexingError;
use crate::query::objects::{self, ReadFault};
use crate::query::shards;
use crate::{Context, errors};

/// Everything about one index, as a JSON object.
///
/// # Errors
/// NotFound, or what a reader of the index would see.
pub fn inspect<'a>(ctx: &'a Arc<Context>, path: &'a IndexPath, verify: bool) -> BoxFuture<'a, Result<Value, ApiError>> {
    Box::pin(async move {
        let record = ctx.ports.catalog.read_record(path).await;
        let record = record
            .map_err(|error| errors::store(&error))?
            .ok_or_else(ApiError::not_found_index)?;
        let manifest = objects::manifest(ctx, &record).await.map_err(ReadFault::into_api)?;
        let mut shards = Vec::with_capacity(manifest.shards.len());
        let mut wrong: Vec<String> = Vec::new();
        for entry in &manifest.shards {
            let dead = manifest.dead.get(&entry.id).map_or(0, DeadRef::dead);
            match head(ctx, &record, entry).await {
                Ok(head) => shards.push(shard_json(ctx, entry, &head, dead)),
                Err(reason) => {
                    wrong.push(reason);
                    shards.push(json!({"id": entry.id.to_string(), "rows": entry.rows, "dead": dead}));
                }
            }
        }
        if verify {
            wrong.extend(damage(ctx, &record, &manifest).await);
        }
        let live: u64 = manifest.shards.iter().map(|shard| u64::from(shard.rows)).sum();
        let dead: u64 = manifest.dead.values().map(DeadRef::dead).sum();
        let bytes: u64 = manifest.shards.iter().map(|shard| shard.files.size()).sum();
        Ok(json!({
            "vectorBucketName": record.bucket.as_str(),
            "indexName": record.index.as_str(),
            "uuid": record.uuid.to_string(),
            "dimension": record.config.dimension.get(),
            "distanceMetric": record.config.metric.as_str(),
            "manifestVersion": manifest.version.0,
            "liveRows": live.saturating_sub(dead),
            "deadRows": dead,
            "bytes": bytes,
            "tail": {
                "entries": record.wal.len(),
                "rows": record.wal.iter().map(|entry| u64::from(entry.rows)).sum::<u64>(),
                "kib": record.tail_kib,
            },
            "quarantined": manifest.quarantined.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "generation": manifest.train.as_ref().map(generation_json),
            "shards": shards,
            "verified": verify,
            "damage": wrong,
        }))
    })
}

fn generation_json(train: &TrainRef) -> Value {
    json!({"id": train.id.to_string(), "bytes": train.size, "rowsWhenTrained": train.rows})
}

async fn head(ctx: &Context, record: &IndexRecord, entry: &ShardEntry) -> Result<ShardHead, String> {
    let name = paths::shard_file(record.uuid, entry.id, ShardFile::Head);
    let bytes = ctx
        .ports
        .objects
        .get(&name)
        .await
        .map_err(|error| format!("{name}: {error}"))?;
    let checked = format::verify(FileKind::Head, &entry.files.head, &bytes).and_then(|()| ShardHead::decode(&bytes));
    checked.map_err(|error| format!("{name}: {error}"))
}

fn shard_json(ctx: &Context, entry: &ShardEntry, head: &ShardHead, dead: u64) -> Value {
    let files = &entry.files;
    json!({
        "id": entry.id.to_string(),
        "rows": entry.rows,
        "dead": dead,
        "minKey": entry.min_key,
        "maxKey": entry.max_key,
        "bytes": {
            "rows.parquet": files.rows.size,
            "keys.bin": files.keys.size,
            "keys.fst": files.fst.size,
            "attributes.bin": files.attributes.size,
            "head.json": files.head.size,
            "index.faiss": files.index.map(|index| index.size),
        },
        "bytesPerRow": files.size() as f64 / f64::from(entry.rows.max(1)),
        "index": head.ivf.as_ref().map(|ivf| ivf_json(ctx, entry, ivf)),
    })
}

fn ivf_json(ctx: &Context, entry: &ShardEntry, ivf: &IvfHead) -> Value {
    let mut lists: Vec<usize> = (0..ivf.nlist()).map(|list| ivf.rows_of(list).len()).collect();
    lists.sort_unstable();
    let at = |share: usize| lists.get(lists.len() * share / 100).or(lists.last()).copied();
    let (rows, row_bytes) = (u64::from(entry.rows), entry.dimension.get() * size_of::<f32>());
    let curves: Vec<Value> = ivf
        .curves
        .iter()
        .map(|curve| {
            let k = curve.k as usize;
            let point = choose(ivf, &ctx.config.search, &Costs::default(), rows, rows, row_bytes, k);
            let points: Vec<Value> = curve
                .points
                .iter()
                .map(|point| json!([point.nprobe, point.depth, curve.recall(point)]))
                .collect();
            json!({
                "k": curve.k,
                "queries": curve.queries,
                "chosen": point.map(|point| json!({"nprobe": point.nprobe, "depth": point.depth})),
                "points": points,
            })
        })
        .collect();
    let summary = entry.ivf.as_ref();
    json!({
        "generation": ivf.generation.to_string(),
        "nlist": ivf.nlist(),
        "code": ivf.code,
        "lists": {
            "empty": lists.iter().filter(|rows| **rows == 0).count(),
            "median": at(50),
            "p99": at(99),
            "largest": lists.last(),
        },
        "recallAt10": summary.map(|summary| f64::from(summary.recall10) / 10_000.0),
        "recallAt100": summary.map(|summary| f64::from(summary.recall100) / 10_000.0),
        "curves": curves,
    })
}

/// Reads everything that the record reaches; names what is wrong.
async fn damage(ctx: &Arc<Context>, record: &IndexRecord, manifest: &format::Manifest) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in &record.wal {
        if let Err(fault) = objects::wal(ctx, record.uuid, entry.id).await {
            wrong.push(IndexingError::from(fault).to_string());
        }
    }
    for entry in &manifest.shards {
        if let Err(fault) = shards::whole_shard(ctx, record.uuid, entry).await {
            wrong.push(IndexingError::from(fault).to_string());
        }
        let dead = manifest.dead.get(&entry.id);
        if let Err(fault) = objects::dead(ctx, record.uuid, entry.id, dead).await {
            wrong.push(IndexingError::from(fault).to_string());
        }
    }
    if let Some(train) = &manifest.train {
        let name = paths::train(record.uuid, train.id);
        let entry = format::FileEntry {
            size: train.size,
            crc32c: train.crc32c,
        };
        let checked = match ctx.ports.objects.get(&name).await {
            Ok(bytes) => format::verify(FileKind::Index, &entry, &bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = checked {
            wrong.push(format!("{name}: {reason}"));
        }
    }
    wrong
}
