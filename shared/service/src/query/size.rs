//! How much an index holds, from its record and manifest alone: no WAL object and no shard is opened.

use format::manifest::{DeadRef, Manifest};
use format::record::IndexRecord;
use model::ApiError;
use storage::IndexPath;

use super::objects::{self, ReadFault};
use super::snapshot::same_content;
use crate::{Context, errors};

/// What an index holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct IndexSize {
    /// Live rows of the shards at the manifest.
    pub vectors: u64,
    /// Rows of the tail's entries.
    pub unindexed: u64,
    /// Bytes of the shards' files and of the tail.
    pub bytes: u64,
    /// Shards of the manifest.
    pub shards: u64,
    /// Rows of shards with an index, dead ones included.
    pub indexed: u64,
    /// Recall@10 and recall@100 that were measured when these were built, by rows; `None` without any.
    pub recall: Option<[f64; 2]>,
}

impl IndexSize {
    fn of(record: &IndexRecord, manifest: &Manifest) -> Self {
        let rows: u64 = manifest.shards.iter().map(|shard| u64::from(shard.rows)).sum();
        let dead: u64 = manifest.dead.values().map(DeadRef::dead).sum();
        let stored: u64 = manifest.shards.iter().map(|shard| shard.files.size()).sum();
        Self {
            vectors: rows.saturating_sub(dead),
            unindexed: record.wal.iter().map(|entry| u64::from(entry.rows)).sum(),
            bytes: stored.saturating_add(record.tail_kib.saturating_mul(1024)),
            shards: manifest.shards.len() as u64,
            indexed: indexed_rows(manifest),
            recall: measured_recall(manifest),
        }
    }
}

fn indexed_rows(manifest: &Manifest) -> u64 {
    let indexed = manifest.shards.iter().filter(|shard| shard.ivf.is_some());
    indexed.map(|shard| u64::from(shard.rows)).sum()
}

fn measured_recall(manifest: &Manifest) -> Option<[f64; 2]> {
    const PARTS: f64 = 10_000.0;
    let rows = indexed_rows(manifest);
    let measured = manifest
        .shards
        .iter()
        .filter_map(|shard| Some((shard.rows, shard.ivf?)));
    let sums = measured.fold([0.0, 0.0], |[ten, hundred], (rows, ivf)| {
        let rows = f64::from(rows) / PARTS;
        [
            ten + rows * f64::from(ivf.recall10),
            hundred + rows * f64::from(ivf.recall100),
        ]
    });
    (rows > 0).then(|| sums.map(|sum| sum / rows as f64))
}

/// The index's record and what it holds as of now, or NotFound.
pub(crate) async fn index_size(ctx: &Context, path: &IndexPath) -> Result<(IndexRecord, IndexSize), ApiError> {
    let mut before: Option<IndexRecord> = None;
    loop {
        let record = ctx
            .ports
            .catalog
            .read_record(path)
            .await
            .map_err(|error| errors::store(&error))?;
        let record = record.ok_or_else(ApiError::not_found_index)?;
        match objects::manifest(ctx, &record).await {
            Ok(manifest) => {
                let size = IndexSize::of(&record, &manifest);
                return Ok((record, size));
            }
            // Replaced and collected meanwhile: the record names another one by now, or the object is lost.
            Err(ReadFault::Missing(_)) if before.as_ref().is_none_or(|before| !same_content(before, &record)) => {
                before = Some(record);
            }
            Err(fault) => return Err(fault.into_api()),
        }
    }
}
