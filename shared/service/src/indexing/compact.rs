//! Compaction: several shards become one, dead rows left behind. From a threshold on the one gets an index.

use std::sync::Arc;

use engine::compaction_policy::{self, PolicyConfig, ShardStat};
use engine::{MergeSource, Merged, RowMap, Shard};
use format::manifest::{Manifest, TrainRef};
use format::record::IndexRecord;
use format::shard::EncodedShard;
use futures::future::BoxFuture;
use model::ShardId;
use roaring::RoaringBitmap;
use storage::IndexPath;
use tokio::sync::OwnedSemaphorePermit;

use super::change::{Change, Input};
use super::publish::Publisher;
use super::{IndexingError, Outcome, upload};
use crate::Context;
use crate::query::{objects, shards};

/// When the next compaction is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// At this time (milliseconds since the epoch), if nothing is folded until then.
    At(u64),
    /// Not before something changes.
    Never,
}

/// Merges the shards that the policy names, once.
///
/// # Errors
/// The compaction left only garbage and may be tried again.
pub fn compact_once<'a>(ctx: &'a Arc<Context>, path: &'a IndexPath) -> BoxFuture<'a, Result<Outcome, IndexingError>> {
    Box::pin(async move {
        let Some(record) = ctx.ports.catalog.read_record(path).await? else {
            return Ok(Outcome::Gone);
        };
        let manifest = objects::manifest(ctx, &record).await?;
        let settled = record.wal.is_empty() && settled_at(ctx, &manifest) <= ctx.now_ms();
        let Some(plan) = compaction_policy::plan(&stats(&manifest), &policy(ctx), settled) else {
            return Ok(Outcome::Nothing);
        };
        let alone = Arc::new(Arc::clone(&ctx.merging).acquire_owned().await.ok());
        let mut sources = Vec::with_capacity(plan.inputs.len());
        for id in plan.inputs {
            let Some(entry) = manifest.shard(id) else {
                continue;
            };
            let shard = shards::whole_shard(ctx, manifest.index, entry).await?;
            let dead = objects::dead(ctx, manifest.index, id, manifest.dead.get(&id)).await?;
            let dead = dead.as_ref().clone();
            let _alone = Arc::clone(&alone);
            sources.push(Source {
                id,
                shard,
                dead,
                _alone,
            });
        }
        let merged = merge(ctx, &record, &manifest, sources).await?;
        let output = match merged.shard {
            None => None,
            Some(encoded) => {
                let id = ShardId(ctx.ids.ulid(record.floor));
                Some(upload::shard(ctx, record.uuid, id, encoded).await?)
            }
        };
        let change = Change {
            inputs: merged.inputs,
            output,
            train: merged.train,
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
    })
}

/// When the policy wants to merge shards of this manifest. `has_tail`: there is something to fold first.
pub fn due(ctx: &Context, manifest: &Manifest, has_tail: bool) -> Due {
    let (stats, policy) = (stats(manifest), policy(ctx));
    if compaction_policy::plan(&stats, &policy, false).is_some() {
        return Due::Now;
    }
    if compaction_policy::plan(&stats, &policy, true).is_none() {
        return Due::Never;
    }
    let settled_at = settled_at(ctx, manifest);
    match (has_tail, settled_at <= ctx.now_ms()) {
        (false, true) => Due::Now,
        (false, false) => Due::At(settled_at),
        // The fold to come moves that time.
        (true, _) => Due::At(ctx.now_ms().saturating_add(millis(ctx.config.settle))),
    }
}

/// When the index counts as settled, if nothing is folded until then.
fn settled_at(ctx: &Context, manifest: &Manifest) -> u64 {
    let last_fold = manifest.folded.last().map_or(0, |wal| wal.0.timestamp_ms());
    last_fold.saturating_add(millis(ctx.config.settle))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The configured policy; without FAISS no shard can get an index, so flat ones are never merged for the sake of it.
pub(super) fn policy(ctx: &Context) -> PolicyConfig {
    let mut policy = ctx.config.compaction;
    if !cfg!(feature = "ivfpq") {
        policy.flat_threshold = u64::MAX;
    }
    policy
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
            is_flat: shard.files.index.is_none(),
        })
        .collect()
}

/// A shard to merge, with its dead rows.
pub(super) struct Source {
    pub(super) id: ShardId,
    pub(super) shard: Arc<Shard>,
    pub(super) dead: RoaringBitmap,
    /// No other merge reads its sources as long as these are held: also not when time ran out for whoever waited for
    /// this one, which goes on with them on the pool. The memory for two may not be there.
    _alone: Arc<Option<OwnedSemaphorePermit>>,
}

/// What became of the sources.
pub(super) struct MergedSources {
    /// `None` when no row was left alive.
    pub(super) shard: Option<EncodedShard>,
    /// The sources, as the commit wants them.
    pub(super) inputs: Vec<Input>,
    /// A generation that was trained for it.
    pub(super) train: Option<TrainRef>,
}

impl MergedSources {
    pub(super) fn new(merged: Merged, sources: Vec<Source>, train: Option<TrainRef>) -> Self {
        let input = |(source, rows): (Source, RowMap)| Input {
            id: source.id,
            dead: source.dead,
            rows,
        };
        Self {
            shard: merged.shard,
            inputs: sources.into_iter().zip(merged.maps).map(input).collect(),
            train,
        }
    }
}

/// The sources as the engine wants them.
pub(super) fn borrowed(sources: &[Source]) -> Vec<MergeSource<'_>> {
    let mut borrowed = Vec::with_capacity(sources.len());
    for Source { shard, dead, .. } in sources {
        borrowed.push(MergeSource { shard, dead });
    }
    borrowed
}

async fn merge(
    ctx: &Arc<Context>,
    record: &IndexRecord,
    manifest: &Manifest,
    sources: Vec<Source>,
) -> Result<MergedSources, IndexingError> {
    #[cfg(feature = "ivfpq")]
    {
        let live: u64 = sources
            .iter()
            .map(|source| u64::from(source.shard.rows()).saturating_sub(source.dead.len()))
            .sum();
        if live >= policy(ctx).flat_threshold {
            return super::generation::merge(ctx, record, manifest, sources).await;
        }
    }
    let config = record.config.clone();
    tracing::debug!(index = %manifest.index, shards = sources.len(), "merging to a flat shard");
    let merged = ctx.pool.run_next(move || {
        let merged = engine::merge(&config, &borrowed(&sources), None)?;
        Ok::<_, IndexingError>(MergedSources::new(merged, sources, None))
    });
    merged.await?
}
