//! Several shards, and rows that are newer than all of them, to one shard in key order.

use format::{EncodedShard, ShardRow};
use model::IndexConfig;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{RowMap, ShardBuilder, encode};
use crate::error::EngineError;
use crate::shard::Shard;

/// One shard to merge.
#[derive(Debug, Clone, Copy)]
pub struct MergeSource<'a> {
    /// The shard.
    pub shard: &'a Shard,
    /// Its rows that must not come along.
    pub dead: &'a RoaringBitmap,
}

/// What a merge made.
#[derive(Debug)]
pub struct Merged {
    /// The new shard; `None` when no row was left alive.
    pub shard: Option<EncodedShard>,
    /// For each source, in order, where its rows went.
    pub maps: Vec<RowMap>,
}

/// A row to come, known by its key.
struct Slot<'a> {
    key: &'a str,
    source: u32,
    row: u32,
}

/// Merges the live rows of `sources` with `newer` rows, which replace source rows of the same key (a fold that absorbs
/// small shards; a plain compaction has none). Call it on the [`crate::Pool`].
///
/// Memory: vectors and keys stay where they are (memory maps, the builder); the metadata texts of all live rows are
/// decoded, plus 90 bytes a row, plus what the encoder needs (about the output's bytes). The same input gives the same
/// bytes.
///
/// # Errors
/// When two sources both hold a live row of one key (I3), a source has another dimension, its bytes cannot be read, or
/// the rows do not fit one shard.
pub fn merge(
    config: &IndexConfig,
    sources: &[MergeSource<'_>],
    newer: Option<&ShardBuilder>,
) -> Result<Merged, EngineError> {
    check_dimensions(config, sources, newer)?;
    let live = sources.iter().map(live_rows).collect::<Vec<_>>();
    let metadata = sources
        .par_iter()
        .zip(&live)
        .map(|(source, rows)| source.shard.metadata(rows));
    let metadata = metadata.collect::<Result<Vec<_>, _>>()?;
    let newer: Vec<ShardRow<'_>> = newer.into_iter().flat_map(ShardBuilder::iter).collect();

    let slots = slots_in_key_order(sources, &live, &newer)?;
    let mut maps: Vec<RowMap> = sources.iter().map(|source| RowMap::new(source.shard.rows())).collect();
    let mut rows = Vec::with_capacity(slots.len());
    for (new_row, slot) in (0_u32..).zip(&slots) {
        let row = match sources.get(slot.source as usize) {
            None => newer.get(slot.row as usize).copied(),
            Some(source) => {
                let place = slot.source as usize;
                if let Some(map) = maps.get_mut(place) {
                    map.set(slot.row, new_row);
                }
                let number = live.get(place).and_then(|rows| rows.binary_search(&slot.row).ok());
                let text = metadata
                    .get(place)
                    .zip(number)
                    .and_then(|(texts, number)| texts.get(number));
                let vector = source.shard.vector_bytes(slot.row);
                text.map(|text| ShardRow {
                    key: slot.key,
                    vector,
                    metadata: text.as_deref(),
                })
            }
        };
        rows.extend(row);
    }
    let shard = if rows.is_empty() {
        None
    } else {
        Some(encode(config, &rows)?)
    };
    Ok(Merged { shard, maps })
}

fn live_rows(source: &MergeSource<'_>) -> Vec<u32> {
    (0..source.shard.rows())
        .filter(|row| !source.dead.contains(*row))
        .collect()
}

/// Flat sources are in key order already, so the sort finds sorted runs and merges them; it is stable, which makes the
/// last of several rows with one key the newest.
fn slots_in_key_order<'a>(
    sources: &[MergeSource<'a>],
    live: &[Vec<u32>],
    newer: &[ShardRow<'a>],
) -> Result<Vec<Slot<'a>>, EngineError> {
    let rows = live.iter().map(Vec::len).sum::<usize>() + newer.len();
    let mut slots = Vec::with_capacity(rows);
    for (number, (source, live)) in (0_u32..).zip(sources.iter().zip(live)) {
        let shard = source.shard;
        slots.extend(live.iter().map(|row| Slot {
            key: shard.key(*row),
            source: number,
            row: *row,
        }));
    }
    let newest = sources.len() as u32;
    slots.extend((0..).zip(newer).map(|(row, newer)| Slot {
        key: newer.key,
        source: newest,
        row,
    }));
    slots.sort_by(|left, right| left.key.cmp(right.key));

    let mut two_alive = false;
    slots.dedup_by(|later, earlier| {
        let same = later.key == earlier.key;
        if same {
            two_alive |= later.source != newest;
            std::mem::swap(later, earlier);
        }
        same
    });
    if two_alive {
        let ids: Vec<String> = sources.iter().map(|source| source.shard.id().to_string()).collect();
        let what = format!("two live rows of the shards {} share a key", ids.join(", "));
        return Err(EngineError::Corrupt { what });
    }
    Ok(slots)
}

fn check_dimensions(
    config: &IndexConfig,
    sources: &[MergeSource<'_>],
    newer: Option<&ShardBuilder>,
) -> Result<(), EngineError> {
    let expected = config.dimension.get();
    let of_sources = sources.iter().map(|source| source.shard.dimension());
    let all = of_sources.chain(newer.map(|newer| newer.dimension.get()));
    match all.into_iter().find(|dimension| *dimension != expected) {
        Some(actual) => Err(EngineError::Dimension { expected, actual }),
        None => Ok(()),
    }
}
