//! Compaction to a shard with an index: which training generation it uses, and when a new one is trained.
//!
//! A generation is shared by the shards of an index, so that merging them encodes nothing again. A new one is trained
//! when there is none, when the index has grown several times since, or when the current one serves a new shard badly.

use std::sync::Arc;

use engine::IvfBuild;
use engine::ivf::TrainedGeneration;
use engine::ivf::assemble::Quality;
use format::FileEntry;
use format::manifest::{Manifest, TrainRef};
use format::record::IndexRecord;
use model::TrainId;
use storage::{StoreError, paths};

use super::IndexingError;
use super::compact::{MergedSources, Source, borrowed};
use crate::Context;

/// A shard that costs more than this share of the exact scan, or whose largest list is this many times the average,
/// is served badly ...
const POOR_COST: f64 = 0.3;
const POOR_IMBALANCE: f64 = 16.0;
/// ... which is worth a training if the index has grown by half since the last one.
const RETRAIN_PERCENT: u64 = 150;

/// Merges the sources to one shard with an index.
pub(super) async fn merge(
    ctx: &Arc<Context>,
    record: &IndexRecord,
    manifest: &Manifest,
    sources: Vec<Source>,
) -> Result<MergedSources, IndexingError> {
    let rows = live_rows(manifest);
    let current = match manifest.train {
        Some(train) if rows < train.rows.saturating_mul(ctx.config.ivf.retrain_growth) => Some(train),
        _ => None,
    };
    let Some(train) = current else {
        return with_new_generation(ctx, record, rows, sources).await;
    };
    let generation = read(ctx, record, &train).await?;
    let (merged, sources, quality) = build(ctx, record, generation, sources).await?;
    let has_grown = rows.saturating_mul(100) >= train.rows.saturating_mul(RETRAIN_PERCENT);
    if has_grown && quality.is_some_and(is_poor) {
        tracing::info!(index = %record.uuid, ?quality, "the training generation serves badly");
        return with_new_generation(ctx, record, rows, sources).await;
    }
    Ok(MergedSources::new(merged, sources, None))
}

fn is_poor(quality: Quality) -> bool {
    quality.cost > POOR_COST || quality.imbalance > POOR_IMBALANCE
}

fn live_rows(manifest: &Manifest) -> u64 {
    let rows: u64 = manifest.shards.iter().map(|shard| u64::from(shard.rows)).sum();
    let dead: u64 = manifest.dead.values().map(|dead| dead.dead()).sum();
    rows.saturating_sub(dead)
}

async fn with_new_generation(
    ctx: &Arc<Context>,
    record: &IndexRecord,
    index_rows: u64,
    sources: Vec<Source>,
) -> Result<MergedSources, IndexingError> {
    let id = TrainId(ctx.ids.ulid(record.floor));
    let (config, ivf) = (record.config.clone(), ctx.config.ivf.clone());
    let trained = ctx.pool.run_next(move || {
        let generation = TrainedGeneration::train(&config, &ivf, &borrowed(&sources), index_rows, id)?;
        let bytes = generation.to_bytes()?;
        Ok::<_, IndexingError>((generation, bytes, sources))
    });
    let (generation, bytes, sources) = trained.await??;
    tracing::info!(index = %record.uuid, generation = %id, rows = index_rows, "a training generation was made");
    let FileEntry { size, crc32c } = FileEntry::of(&bytes);
    let train = TrainRef {
        id,
        size,
        crc32c,
        rows: index_rows,
        exponent: generation.exponent(),
    };
    ctx.ports.objects.put(&paths::train(record.uuid, id), bytes).await?;
    ctx.metrics.trainings.add(1);
    let (merged, sources, _) = build(ctx, record, generation, sources).await?;
    Ok(MergedSources::new(merged, sources, Some(train)))
}

async fn build(
    ctx: &Arc<Context>,
    record: &IndexRecord,
    generation: TrainedGeneration,
    sources: Vec<Source>,
) -> Result<(engine::Merged, Vec<Source>, Option<Quality>), IndexingError> {
    let (config, ivf) = (record.config.clone(), ctx.config.ivf.clone());
    let built = ctx.pool.run_next(move || {
        let build = IvfBuild {
            generation: &generation,
            config: &ivf,
        };
        let merged = engine::merge_ivf(&config, &borrowed(&sources), &build)?;
        let quality = merged.quality;
        Ok::<_, IndexingError>((merged, sources, quality))
    });
    built.await?
}

/// The manifest's training generation.
async fn read(ctx: &Arc<Context>, record: &IndexRecord, train: &TrainRef) -> Result<TrainedGeneration, IndexingError> {
    let name = paths::train(record.uuid, train.id);
    let unreadable = |reason: String| IndexingError::Unreadable {
        what: name.to_string(),
        reason,
    };
    let bytes = match ctx.ports.objects.get(&name).await {
        Ok(bytes) => bytes,
        Err(StoreError::Corrupt { reason, .. }) => return Err(unreadable(reason)),
        Err(error) => return Err(error.into()),
    };
    let entry = FileEntry {
        size: train.size,
        crc32c: train.crc32c,
    };
    format::verify(format::FileKind::Index, &entry, &bytes).map_err(|error| unreadable(error.to_string()))?;
    let (id, exponent, config) = (train.id, train.exponent, record.config.clone());
    let opened = ctx
        .pool
        .run_next(move || TrainedGeneration::open(id, &bytes, &config, exponent));
    opened.await?.map_err(|error| unreadable(error.to_string()))
}
