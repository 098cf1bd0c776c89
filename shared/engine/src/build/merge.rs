//! Several shards, and rows that are newer than all of them, to one shard in key order.

use format::{EncodedShard, ShardRow};
use model::IndexConfig;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{RowMap, ShardBuilder, encode};
use crate::error::EngineError;
#[cfg(feature = "ivfpq")]
use crate::ivf::{
    IvfConfig, TrainedGeneration,
    assemble::{Assembled, Quality, arrange, assemble},
};
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
    /// How well the shard can be searched by its index; `None` for a flat one.
    #[cfg(feature = "ivfpq")]
    pub quality: Option<Quality>,
}

/// What a merge needs to give its shard an `index.faiss`.
#[cfg(feature = "ivfpq")]
#[derive(Debug, Clone, Copy)]
pub struct IvfBuild<'a> {
    /// Coarse quantizer and codebooks.
    pub generation: &'a TrainedGeneration,
    /// Batch size, and how recall is measured.
    pub config: &'a IvfConfig,
}

/// Where a row comes from: the number of the merged shard (one past the last: it is new), and its row there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: u32,
    pub(crate) row: u32,
}

/// A row to come, known by its key.
struct Slot<'a> {
    key: &'a str,
    origin: Origin,
}

/// Merges the live rows of `sources` with `newer` rows, which replace source rows of the same key (a fold that absorbs
/// small shards; a plain compaction has none), to a flat shard. Call it on the [`crate::Pool`].
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
    let texts = Texts::read(sources)?;
    let newer: Vec<ShardRow<'_>> = newer.into_iter().flat_map(ShardBuilder::iter).collect();
    let (rows, origins) = in_key_order(sources, &texts, &newer)?;
    Ok(Merged {
        shard: encode(config, &rows, None)?,
        maps: maps(sources, &origins),
        #[cfg(feature = "ivfpq")]
        quality: None,
    })
}

/// [`merge`] to a shard with an `index.faiss`. Rows of sources of the same generation keep their codes.
///
/// Memory: as [`merge`], plus three times the codes, plus one batch of rows for each thread.
///
/// # Errors
/// As [`merge`], and when FAISS fails.
#[cfg(feature = "ivfpq")]
pub fn merge_ivf(
    config: &IndexConfig,
    sources: &[MergeSource<'_>],
    build: &IvfBuild<'_>,
) -> Result<Merged, EngineError> {
    check_dimensions(config, sources, None)?;
    let texts = Texts::read(sources)?;
    let (rows, origins) = in_key_order(sources, &texts, &[])?;
    if rows.is_empty() {
        return Ok(Merged {
            shard: None,
            maps: maps(sources, &origins),
            quality: None,
        });
    }
    let arranged = arrange(build.generation, build.config, sources, &rows, &origins)?;
    let at = |row: &u32| {
        rows.get(*row as usize)
            .copied()
            .zip(origins.get(*row as usize).copied())
    };
    let (rows, origins): (Vec<ShardRow<'_>>, Vec<Origin>) = arranged.rows.iter().filter_map(at).unzip();
    let Assembled { encoded, quality } = assemble(build.generation, build.config, &arranged, &rows)?;
    Ok(Merged {
        shard: encode(config, &rows, Some(encoded))?,
        maps: maps(sources, &origins),
        quality: Some(quality),
    })
}

/// The live rows of the sources, and their metadata.
struct Texts {
    live: Vec<Vec<u32>>,
    metadata: Vec<Vec<Option<String>>>,
}

impl Texts {
    fn read(sources: &[MergeSource<'_>]) -> Result<Self, EngineError> {
        let live = sources.iter().map(live_rows).collect::<Vec<_>>();
        let metadata = sources
            .par_iter()
            .zip(&live)
            .map(|(source, rows)| source.shard.metadata(rows))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { live, metadata })
    }

    /// The metadata of a live row.
    fn of(&self, origin: Origin) -> Option<Option<&str>> {
        let source = origin.source as usize;
        let place = self.live.get(source)?.binary_search(&origin.row).ok()?;
        self.metadata.get(source)?.get(place).map(Option::as_deref)
    }
}

/// All rows in key order, and where each comes from.
fn in_key_order<'a>(
    sources: &[MergeSource<'a>],
    texts: &'a Texts,
    newer: &[ShardRow<'a>],
) -> Result<(Vec<ShardRow<'a>>, Vec<Origin>), EngineError> {
    let slots = slots_in_key_order(sources, &texts.live, newer)?;
    let mut rows = Vec::with_capacity(slots.len());
    let mut origins = Vec::with_capacity(slots.len());
    for Slot { key, origin } in slots {
        let row = match sources.get(origin.source as usize) {
            None => newer.get(origin.row as usize).copied(),
            Some(source) => texts.of(origin).map(|metadata| ShardRow {
                key,
                vector: source.shard.vector_bytes(origin.row),
                metadata,
            }),
        };
        if let Some(row) = row {
            rows.push(row);
            origins.push(origin);
        }
    }
    Ok((rows, origins))
}

/// Where the rows of each source went: `origins` in the order of the new rows.
fn maps(sources: &[MergeSource<'_>], origins: &[Origin]) -> Vec<RowMap> {
    let mut maps: Vec<RowMap> = sources.iter().map(|source| RowMap::new(source.shard.rows())).collect();
    for (new_row, origin) in (0_u32..).zip(origins) {
        if let Some(map) = maps.get_mut(origin.source as usize) {
            map.set(origin.row, new_row);
        }
    }
    maps
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
            origin: Origin {
                source: number,
                row: *row,
            },
        }));
    }
    let newest = sources.len() as u32;
    slots.extend((0..).zip(newer).map(|(row, newer)| Slot {
        key: newer.key,
        origin: Origin { source: newest, row },
    }));
    slots.sort_by(|left, right| left.key.cmp(right.key));

    let mut two_alive = false;
    slots.dedup_by(|later, earlier| {
        let same = later.key == earlier.key;
        if same {
            two_alive |= later.origin.source != newest;
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
