//! Compaction: several shards become one, dead rows left behind.

use std::sync::Arc;

use engine::compaction_policy::{self, ShardStat};
use engine::{MergeSource, Shard};
use format::manifest::Manifest;
use model::ShardId;
use roaring::RoaringBitmap;
use storage::IndexPath;

use super::change::{Change, Input};
use super::publish::Publisher;
use super::{IndexingError, Outcome, upload};
use crate::Context;
use crate::query::objects;

/// Merges the shards that the policy names, once.
///
/// # Errors
/// The compaction left only garbage and may be tried again.
pub async fn compact_once(ctx: &Arc<Context>, path: &IndexPath) -> Result<Outcome, IndexingError> {
    let Some(record) = ctx.ports.catalog.read_record(path).await? else {
        return Ok(Outcome::Gone);
    };
    let manifest = objects::manifest(ctx, &record).await?;
    let Some(plan) = compaction_policy::plan(&stats(&manifest), &ctx.config.compaction) else {
        return Ok(Outcome::Nothing);
    };
    let mut sources = Vec::with_capacity(plan.inputs.len());
    for id in plan.inputs {
        let Some(entry) = manifest.shard(id) else {
            continue;
        };
        let shard = objects::shard(ctx, manifest.index, entry).await?;
        let dead = objects::dead(ctx, manifest.index, id, manifest.dead.get(&id)).await?;
        let dead = dead.as_ref().clone();
        sources.push(Source { id, shard, dead });
    }
    let config = record.config.clone();
    let (encoded, inputs) = ctx.pool.run(move || merge(&config, sources)).await??;
    let output = match encoded {
        None => None,
        Some(encoded) => {
            let id = ShardId(ctx.ids.ulid(record.floor));
            Some(upload::shard(ctx, record.uuid, id, encoded).await?)
        }
    };
    let change = Change {
        inputs,
        output,
        ..Change::default()
    };
    let outcome = Publisher::new(ctx, path, record.uuid, manifest.id, &change)
        .run(record)
        .await?;
    if let Outcome::Committed { rows } = outcome {
        ctx.metrics.compactions.add(1);
        ctx.metrics.compacted_rows.add(rows);
    }
    Ok(outcome)
}

/// Does the policy want to merge shards of this manifest?
pub(super) fn is_due(ctx: &Context, manifest: &Manifest) -> bool {
    compaction_policy::plan(&stats(manifest), &ctx.config.compaction).is_some()
}

/// What the policy judges by.
pub(super) fn stats(manifest: &Manifest) -> Vec<ShardStat> {
    manifest
        .shards
        .iter()
        .map(|shard| ShardStat {
            id: shard.id,
            rows: u64::from(shard.rows),
            dead: manifest.dead.get(&shard.id).map_or(0, |dead| dead.dead()),
            bytes: shard.files.size(),
        })
        .collect()
}

struct Source {
    id: ShardId,
    shard: Arc<Shard>,
    dead: RoaringBitmap,
}

type MergedShard = (Option<format::shard::EncodedShard>, Vec<Input>);

fn merge(config: &model::IndexConfig, sources: Vec<Source>) -> Result<MergedShard, IndexingError> {
    let borrowed: Vec<MergeSource<'_>> = sources
        .iter()
        .map(|source| MergeSource {
            shard: &source.shard,
            dead: &source.dead,
        })
        .collect();
    let merged = engine::merge(config, &borrowed, None)?;
    let maps = merged.maps;
    let inputs = sources
        .into_iter()
        .zip(maps)
        .map(|(source, rows)| Input {
            id: source.id,
            dead: source.dead,
            rows,
        })
        .collect();
    Ok((merged.shard, inputs))
}
