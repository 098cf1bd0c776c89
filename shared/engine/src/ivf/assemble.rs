//! Rows and a generation to the order of the rows, their codes, and `index.faiss`.
//!
//! Rows of shards of the same generation keep their list and code: nothing is encoded twice in a generation's life.

use bytes::Bytes;
use format::{EncodedIvf, IvfHead, IvfSummary, ShardRow};
use rayon::prelude::*;

use super::operating_point::{Costs, expected_recall};
use super::recall::Subject;
use super::{IvfConfig, SearchTuning, TrainedGeneration, operating_point};
use crate::build::{MergeSource, Origin};
use crate::error::EngineError;
use crate::shard::Shard;

/// Where rows go: `rows[new] = old`.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) rows: Vec<u32>,
    pub(super) list_starts: Vec<u32>,
}

/// Rows ordered by list; inside a list the order stays.
pub(super) fn by_list(lists: &[u32], nlist: usize) -> Order {
    let mut list_starts = vec![0_u32; nlist + 1];
    for list in lists {
        if let Some(count) = list_starts.get_mut(*list as usize + 1) {
            *count += 1;
        }
    }
    let mut total = 0;
    for start in &mut list_starts {
        total += *start;
        *start = total;
    }
    let mut next = list_starts.clone();
    let mut rows = vec![0_u32; lists.len()];
    for (row, list) in (0_u32..).zip(lists) {
        let Some(place) = next.get_mut(*list as usize) else {
            continue;
        };
        if let Some(slot) = rows.get_mut(*place as usize) {
            *slot = row;
        }
        *place += 1;
    }
    Order { rows, list_starts }
}

/// Fixed-width records in another order.
pub(super) fn permuted(records: &[u8], width: usize, order: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len());
    for row in order {
        let start = *row as usize * width;
        out.extend_from_slice(records.get(start..start + width).unwrap_or_default());
    }
    out
}

/// The rows of a shard to be, arranged.
pub(crate) struct Arranged {
    /// `rows[new] = old`
    pub(crate) rows: Vec<u32>,
    list_starts: Vec<u32>,
    codes: Vec<u8>,
}

/// Puts rows into the order of `generation`'s lists. `origins` has one element for each row.
pub(crate) fn arrange(
    generation: &TrainedGeneration,
    ivf: &IvfConfig,
    sources: &[MergeSource<'_>],
    rows: &[ShardRow<'_>],
    origins: &[Origin],
) -> Result<Arranged, EngineError> {
    let faiss = &generation.faiss;
    let width = faiss.code_size();
    let mut lists = vec![0_u32; rows.len()];
    let mut codes = vec![0_u8; rows.len() * width];
    let stored = sources
        .par_iter()
        .map(|source| StoredCodes::read(generation, source.shard))
        .collect::<Result<Vec<_>, _>>()?;
    let mut fresh: Vec<u32> = Vec::new();
    for (row, origin) in (0_u32..).zip(origins) {
        let stored = stored.get(origin.source as usize).and_then(Option::as_ref);
        match stored.and_then(|stored| stored.of(origin.row)) {
            Some((list, code)) => put(&mut lists, &mut codes, width, row, list, code),
            None => fresh.push(row),
        }
    }
    let batches: Vec<(&[u32], Vec<u32>, Vec<u8>)> = fresh
        .par_chunks(ivf.batch_size.max(1))
        .map(|batch| {
            let (lists, codes) = encode(generation, rows, batch)?;
            Ok::<_, EngineError>((batch, lists, codes))
        })
        .collect::<Result<_, _>>()?;
    for (batch, batch_lists, batch_codes) in batches {
        for ((row, list), code) in batch.iter().zip(batch_lists).zip(batch_codes.chunks_exact(width)) {
            put(&mut lists, &mut codes, width, *row, list, code);
        }
    }
    let Order { rows, list_starts } = by_list(&lists, faiss.shape().nlist);
    let codes = permuted(&codes, width, &rows);
    Ok(Arranged {
        rows,
        list_starts,
        codes,
    })
}

fn put(lists: &mut [u32], codes: &mut [u8], width: usize, row: u32, list: u32, code: &[u8]) {
    let row = row as usize;
    if let (Some(place), Some(bytes)) = (lists.get_mut(row), codes.get_mut(row * width..(row + 1) * width)) {
        *place = list;
        bytes.copy_from_slice(code);
    }
}

/// List and code of every row of a shard, in row order.
struct StoredCodes {
    lists: Vec<u32>,
    codes: Vec<u8>,
    width: usize,
}

impl StoredCodes {
    /// `None` when the shard is flat or of another generation.
    fn read(generation: &TrainedGeneration, shard: &Shard) -> Result<Option<Self>, EngineError> {
        let (Some(head), Some(searchable)) = (&shard.head().ivf, shard.ivf()) else {
            return Ok(None);
        };
        if head.generation != generation.id {
            return Ok(None);
        }
        let width = generation.faiss.code_size();
        let rows = shard.rows() as usize;
        let mut lists = Vec::with_capacity(rows);
        let mut codes = Vec::with_capacity(rows * width);
        for list in 0..head.nlist() {
            let number = u32::try_from(list).unwrap_or(u32::MAX);
            lists.resize(lists.len() + head.rows_of(list).len(), number);
            codes.extend_from_slice(&searchable.index.list_codes(number)?);
        }
        if lists.len() != rows || codes.len() != rows * width {
            let what = format!("shard {}: its lists do not hold its rows", shard.id());
            return Err(EngineError::Corrupt { what });
        }
        Ok(Some(Self { lists, codes, width }))
    }

    fn of(&self, row: u32) -> Option<(u32, &[u8])> {
        let start = row as usize * self.width;
        Some((
            *self.lists.get(row as usize)?,
            self.codes.get(start..start + self.width)?,
        ))
    }
}

fn encode(
    generation: &TrainedGeneration,
    rows: &[ShardRow<'_>],
    batch: &[u32],
) -> Result<(Vec<u32>, Vec<u8>), EngineError> {
    let mut seen = Vec::with_capacity(batch.len() * generation.space.padded());
    for row in batch.iter().filter_map(|row| rows.get(*row as usize)) {
        generation.space.append(row.vector, &mut seen);
    }
    let lists = generation.faiss.assign(&seen)?;
    let codes = generation.faiss.encode_assigned(&seen, &lists)?;
    Ok((lists, codes))
}

/// A shard's search structure and how good it is.
pub(crate) struct Assembled {
    pub(crate) encoded: EncodedIvf,
    pub(crate) quality: Quality,
}

/// What a search of the new shard costs at the default target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Its cost as a share of the exact scan's; 1 when no measured point reaches the target.
    pub cost: f64,
    /// The largest list, in multiples of the average.
    pub imbalance: f64,
}

/// Builds `index.faiss` for rows that stand in `arranged`'s order, and measures it.
pub(crate) fn assemble(
    generation: &TrainedGeneration,
    ivf: &IvfConfig,
    arranged: &Arranged,
    rows: &[ShardRow<'_>],
) -> Result<Assembled, EngineError> {
    let index = generation.faiss.assemble(&arranged.list_starts, &arranged.codes)?;
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let subject = Subject {
        index: &index,
        space: generation.space,
        rows: count,
        vector: |row: u32| rows.get(row as usize).map_or(&[] as &[u8], |row| row.vector),
    };
    let curves = subject.curves(ivf.recall_queries, u64::from(count))?;
    let head = IvfHead {
        generation: generation.id,
        metric: generation.space.metric(),
        dimension: u32::try_from(generation.space.padded()).unwrap_or(u32::MAX),
        exponent: generation.space.exponent(),
        code: generation.code,
        list_starts: arranged.list_starts.clone(),
        curves,
    };
    let row_bytes = generation.space.dimension() * size_of::<f32>();
    let quality = quality(&head, count, row_bytes);
    let recall = |k| expected_recall(&head, &Costs::default(), u64::from(count), row_bytes, k);
    let summary = IvfSummary {
        generation: generation.id,
        nlist: u32::try_from(head.nlist()).unwrap_or(u32::MAX),
        recall10: recall(10),
        recall100: recall(100),
    };
    let index: Bytes = index.to_bytes().into();
    Ok(Assembled {
        encoded: EncodedIvf { index, head, summary },
        quality,
    })
}

fn quality(head: &IvfHead, rows: u32, row_bytes: usize) -> Quality {
    let (costs, tuning, rows) = (Costs::default(), SearchTuning::default(), u64::from(rows));
    let scan = costs.scan(rows, rows, row_bytes);
    let point = operating_point::choose(head, &tuning, &costs, rows, rows, row_bytes, 10);
    let cost = point.map_or(1.0, |point| costs.ivf(head, rows, row_bytes, &point) / scan.max(1.0));
    let largest = (0..head.nlist())
        .map(|list| head.rows_of(list).len())
        .max()
        .unwrap_or(0);
    let average = rows as f64 / head.nlist().max(1) as f64;
    Quality {
        cost: cost.min(1.0),
        imbalance: largest as f64 / average.max(1.0),
    }
}
