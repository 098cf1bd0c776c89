//! Rows of a shard without its `rows.parquet`: their vectors and pages of metadata, by ranged reads.
//!
//! Ranges that lie close together are read as one. What is read is checked (vectors by their CRC32C in `keys.bin`, pages
//! by theirs in `head.json`) before anybody sees it; damage names the object, after copies of it on the way have been
//! dropped and it has been read once more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use engine::{PickedVectors, Shard};
use format::manifest::ShardEntry;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::IndexUuid;
use storage::ObjectName;

use super::objects::ReadFault;
use super::shards;
use super::work::WantedRows;
use crate::Context;
use crate::config::RangedConfig;

/// One read is at most this long, unless a single range is longer.
const READ_BYTES: u64 = 4 << 20;

/// What a range is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The vector of a row.
    Vector(u32),
    /// A page of metadata, and the rows of it that are wanted.
    Page(usize, Vec<u32>),
}

/// One ranged read, and what lies in it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    range: Range<u64>,
    parts: Vec<(Range<u64>, Part)>,
}

/// What was read of one shard, checked.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) vectors: PickedVectors,
    pub(super) metadata: Vec<(u32, Option<String>)>,
}

/// Reads the rows; attaches the whole file instead when that is what is wanted or takes less, and then gives nothing.
pub(super) async fn read(
    ctx: &Arc<Context>,
    index: IndexUuid,
    entry: &ShardEntry,
    shard: &Arc<Shard>,
    wanted: WantedRows,
) -> Result<Rows, ReadFault> {
    let name = shards::rows_name(index, entry.id);
    let reads = if wanted.is_whole {
        None
    } else {
        let (shard, config, file_bytes) = (Arc::clone(shard), ctx.config.ranged.clone(), entry.files.rows.size);
        let plan = move || Some(planned(&parts(&shard, &wanted)?, file_bytes, &config));
        let planned = ctx.pool.run_next(plan).await.map_err(ReadFault::Pool)?;
        planned.ok_or_else(|| ReadFault::unreadable(&name, "a row beyond the last one"))?
    };
    let Some(reads) = reads.filter(|reads| shards::is_worth_ranges(ctx, index, entry, length(reads))) else {
        shards::attach(ctx, index, entry.id, shard).await?;
        return Ok(Rows::default());
    };
    let reads = Arc::new(reads);
    // Held until what was read is checked and cut to what was wanted; nothing else is waited for with it but the store.
    let permits = ctx.config.ranged.permits(length(&reads));
    let _memory = ctx.reads.range_memory.acquire_many(permits).await;
    let mut rows = read_once(ctx, &name, shard, &reads).await;
    let is_unreadable = matches!(rows, Err(ReadFault::Unreadable { .. }));
    if is_unreadable && ctx.ports.objects.invalidate(std::slice::from_ref(&name)).await {
        rows = read_once(ctx, &name, shard, &reads).await;
    }
    if rows.is_ok() {
        shards::read_ahead(ctx, index, entry, shard);
    }
    rows
}

/// The ranges of what is wanted; `None` when a row does not exist.
fn parts(shard: &Shard, wanted: &WantedRows) -> Option<Vec<(Range<u64>, Part)>> {
    let mut parts = Vec::with_capacity(wanted.vectors.len() + wanted.metadata.len());
    for row in &wanted.vectors {
        parts.push((shard.vector_range(*row)?, Part::Vector(*row)));
    }
    let mut pages: BTreeMap<usize, (Range<u64>, Vec<u32>)> = BTreeMap::new();
    for row in &wanted.metadata {
        let (page, range) = shard.metadata_page(*row)?;
        pages.entry(page).or_insert_with(|| (range, Vec::new())).1.push(*row);
    }
    parts.extend(
        pages
            .into_iter()
            .map(|(page, (range, rows))| (range, Part::Page(page, rows))),
    );
    Some(parts)
}

/// Few long reads instead of many short ones: ranges at most `gap` apart are read together.
fn coalesce(mut parts: Vec<(Range<u64>, Part)>, gap: u64) -> Vec<Read> {
    parts.sort_by_key(|(range, _)| (range.start, range.end));
    let mut reads: Vec<Read> = Vec::new();
    for (range, part) in parts {
        match reads.last_mut() {
            Some(last)
                if range.start <= last.range.end.saturating_add(gap)
                    && range.end.saturating_sub(last.range.start) <= READ_BYTES =>
            {
                last.range.end = last.range.end.max(range.end);
                last.parts.push((range, part));
            }
            _ => reads.push(Read {
                range: range.clone(),
                parts: vec![(range, part)],
            }),
        }
    }
    reads
}

/// The reads, with as few bytes between the ranges as it takes; `None` when the whole file of this length is had for less.
fn planned(parts: &[(Range<u64>, Part)], file_bytes: u64, config: &RangedConfig) -> Option<Vec<Read>> {
    let gaps = [config.gap_bytes, config.gap_bytes / 4, config.gap_bytes / 16];
    let mut plans = gaps.into_iter().map(|gap| coalesce(parts.to_vec(), gap));
    plans.find(|reads| {
        let bytes = length(reads);
        let cost = (reads.len() as u64)
            .saturating_mul(config.read_cost_bytes)
            .saturating_add(bytes);
        bytes <= config.most_bytes && cost <= file_bytes
    })
}

fn length(reads: &[Read]) -> u64 {
    reads.iter().map(|read| read.range.end - read.range.start).sum()
}

async fn read_once(
    ctx: &Context,
    name: &ObjectName,
    shard: &Arc<Shard>,
    reads: &Arc<Vec<Read>>,
) -> Result<Rows, ReadFault> {
    let fetches: Vec<_> = reads.iter().map(|read| fetch(ctx, name, read.range.clone())).collect();
    let fetched: Vec<Bytes> = stream::iter(fetches)
        .buffered(ctx.config.ranged.reads.max(1))
        .try_collect()
        .await?;
    let checked = {
        let (shard, reads) = (Arc::clone(shard), Arc::clone(reads));
        ctx.pool.run_next(move || check(&shard, &reads, fetched)).await
    };
    let checked = checked.map_err(ReadFault::Pool)?;
    checked.map_err(|reason| ReadFault::unreadable(name, reason))
}

async fn fetch(ctx: &Context, name: &ObjectName, range: Range<u64>) -> Result<Bytes, ReadFault> {
    let _turn = ctx.reads.range_reads.acquire().await;
    let length = range.end - range.start;
    let fetched = ctx.ports.objects.get_range(name, range.clone()).await;
    let bytes = fetched.map_err(|error| ReadFault::store(name, error))?;
    ctx.metrics.ranged_reads.add(1);
    ctx.metrics.ranged_bytes.add(bytes.len() as u64);
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        let reason = format!("{} bytes instead of {length} at {range:?}", bytes.len());
        Err(ReadFault::unreadable(name, reason))
    }
}

/// What the bytes say, if they are what they must be. CPU work.
fn check(shard: &Shard, reads: &[Read], fetched: Vec<Bytes>) -> Result<Rows, String> {
    let (mut vectors, mut metadata) = (Vec::new(), Vec::new());
    for (read, bytes) in reads.iter().zip(fetched) {
        for (range, part) in &read.parts {
            let place = |at: u64| usize::try_from(at - read.range.start).unwrap_or(usize::MAX);
            let (start, end) = (place(range.start), place(range.end));
            if end > bytes.len() || start > end {
                return Err(format!("no bytes at {range:?}"));
            }
            let bytes = bytes.slice(start..end);
            match part {
                Part::Vector(row) => vectors.push((*row, bytes)),
                Part::Page(page, rows) => {
                    let texts = shard.page_metadata(*page, bytes, rows);
                    let texts = texts.map_err(|error| format!("page {page} of metadata: {error}"))?;
                    metadata.extend(rows.iter().copied().zip(texts));
                }
            }
        }
    }
    let vectors = PickedVectors::new(shard, vectors).map_err(|error| error.to_string())?;
    Ok(Rows { vectors, metadata })
}

#[cfg(test)]
mod tests;
