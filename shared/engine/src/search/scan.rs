//! One piece of the exact comparison: rows of one run of a shard, rows that an index selected, or rows of one tail
//! object.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use model::{Filter, Metadata};
use roaring::RoaringBitmap;

use super::{PickedVectors, ShardView, TailRows};
use crate::distance::PreparedQuery;
use crate::error::EngineError;
use crate::topk::{Place, TopK};

/// About how many bytes of vectors make one piece: small enough to share evenly, big enough that handing it out costs
/// nothing.
pub(super) const PIECE_BYTES: usize = 1 << 20;
/// Rows that are decided on together: one word of the live mask.
const WORD_ROWS: usize = u64::BITS as usize;
/// Selected rows that make one piece.
const CANDIDATES_PER_PIECE: usize = 1024;
/// Below this many live rows in a word they are visited one by one; from here on the whole word is computed, because
/// reading on is faster than jumping.
const DENSE_WORD: u32 = 24;

/// Which rows of a shard may be answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Live<'a> {
    /// No filter: all but the dead and overwritten ones.
    AllBut(&'a RoaringBitmap),
    /// The rows that the filter selected, less the dead and overwritten ones.
    Only(&'a RoaringBitmap),
}

impl Live<'_> {
    /// How many of a shard's `rows`.
    pub(super) fn count(&self, rows: u32) -> u64 {
        match self {
            Self::AllBut(excluded) => u64::from(rows) - excluded.range_cardinality(..rows),
            Self::Only(selected) => selected.range_cardinality(..rows),
        }
    }

    pub(super) fn count_in(&self, rows: &Range<u32>) -> u64 {
        match self {
            Self::AllBut(excluded) => u64::from(rows.end - rows.start) - excluded.range_cardinality(rows.clone()),
            Self::Only(selected) => selected.range_cardinality(rows.clone()),
        }
    }

    /// Sets the bits of the live rows among `rows`; bit n of `bits`, the lowest first, is row n.
    #[cfg(feature = "ivfpq")]
    pub(super) fn mark(&self, rows: Range<u32>, bits: &mut [u8]) {
        let mut flip = |row: u32| {
            if let Some(byte) = bits.get_mut(row as usize / 8) {
                *byte ^= 1 << (row % 8);
            }
        };
        match self {
            Self::AllBut(excluded) => {
                rows.clone().for_each(&mut flip);
                excluded.range(rows).for_each(flip);
            }
            Self::Only(selected) => selected.range(rows).for_each(flip),
        }
    }

    /// The rows, ascending.
    pub(super) fn rows(&self, rows: u32) -> Vec<u32> {
        match self {
            Self::AllBut(excluded) => {
                let mut excluded = excluded.iter().peekable();
                let mut is_live = |row: &u32| {
                    while excluded.next_if(|dead| dead < row).is_some() {}
                    excluded.peek() != Some(row)
                };
                (0..rows).filter(|row| is_live(row)).collect()
            }
            Self::Only(selected) => selected.range(..rows).collect(),
        }
    }

    /// One bit per row of `rows`, 64 rows to a word.
    fn mask(&self, rows: Range<u32>) -> Vec<u64> {
        let count = (rows.end - rows.start) as usize;
        let (fill, flips) = match self {
            Self::AllBut(excluded) => (u64::MAX, excluded.range(rows.clone())),
            Self::Only(selected) => (0, selected.range(rows.clone())),
        };
        let mut mask = vec![fill; count.div_ceil(WORD_ROWS)];
        for row in flips {
            let place = (row - rows.start) as usize;
            if let Some(word) = mask.get_mut(place / WORD_ROWS) {
                *word ^= 1 << (place % WORD_ROWS);
            }
        }
        let last_rows = count % WORD_ROWS;
        if let Some(last) = mask.last_mut()
            && last_rows > 0
        {
            *last &= (1 << last_rows) - 1;
        }
        mask
    }
}

/// The smallest distance that some piece has found `k` answers within: no piece needs to keep what lies beyond it.
/// It only ever drops rows that cannot be answers, so how late a thread sees it does not change the answer.
pub(super) struct Bound(AtomicU32);

impl Bound {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(f32::INFINITY.to_bits()))
    }

    /// Lowers the bound to `found`'s and returns what holds now.
    fn lower(&self, found: &TopK<'_>) -> f32 {
        let shared = f32::from_bits(self.0.load(Ordering::Relaxed));
        match found.bound() {
            // Written only when it says something new: otherwise all threads would fight over one cache line.
            Some(own) if own < shared => {
                // Distances are not negative, so their bits order as they do.
                self.0.fetch_min(own.to_bits(), Ordering::Relaxed);
                own
            }
            _ => shared,
        }
    }
}

/// A share of the work.
pub(super) enum Piece<'a> {
    Shard {
        shard: usize,
        first_row: u32,
        bytes: &'a [u8],
    },
    /// Rows that an index has selected.
    Rows {
        shard: usize,
        rows: &'a [u32],
    },
    Tail {
        entry: usize,
        rows: Range<u32>,
    },
}

/// What all pieces of one search share.
pub(super) struct Scan<'s, 'a> {
    pub(super) query: PreparedQuery,
    pub(super) filter: Option<&'a Filter>,
    pub(super) bound: Bound,
    pub(super) shards: &'a [ShardView<'a>],
    pub(super) live: &'s [Live<'a>],
    /// Rows to compare, by shard; `None`: every live row.
    pub(super) candidates: &'a [Option<Vec<u32>>],
    /// Vectors of shards without their `rows.parquet`, by shard; may be shorter.
    pub(super) picked: &'a [PickedVectors],
    pub(super) tail: &'a [TailRows<'a>],
}

impl<'a> Scan<'_, 'a> {
    /// The work, cut up; pieces without a live row are left out.
    pub(super) fn pieces(&self, piece_bytes: usize) -> Result<Vec<Piece<'a>>, EngineError> {
        let row_bytes = self.query.row_bytes().max(1);
        let piece_rows = (piece_bytes / row_bytes).next_multiple_of(WORD_ROWS).max(WORD_ROWS);
        let mut pieces = Vec::new();
        for (shard, (view, live)) in self.shards.iter().zip(self.live).enumerate() {
            if let Some(rows) = self.candidates.get(shard).and_then(Option::as_deref) {
                let rows = rows.chunks(CANDIDATES_PER_PIECE);
                pieces.extend(rows.map(|rows| Piece::Rows { shard, rows }));
                continue;
            }
            if !view.shard.has_rows() {
                return Err(EngineError::NoRows { shard: view.shard.id() });
            }
            for (run_start, run) in view.shard.vector_runs() {
                let starts = (run_start..).step_by(piece_rows);
                for (first_row, bytes) in starts.zip(run.chunks(piece_rows * row_bytes)) {
                    if live.count_in(&(first_row..first_row + (bytes.len() / row_bytes) as u32)) > 0 {
                        pieces.push(Piece::Shard {
                            shard,
                            first_row,
                            bytes,
                        });
                    }
                }
            }
        }
        for (entry, rows) in self.tail.iter().enumerate() {
            let count = rows.object.rows() as u32;
            for start in (0..count).step_by(piece_rows) {
                let rows_of_piece = start..count.min(start.saturating_add(piece_rows as u32));
                if rows.selected.range_cardinality(rows_of_piece.clone()) > 0 {
                    pieces.push(Piece::Tail {
                        entry,
                        rows: rows_of_piece,
                    });
                }
            }
        }
        Ok(pieces)
    }

    /// Offers the rows of one piece.
    pub(super) fn piece(&self, piece: &Piece<'a>, mut top: TopK<'a>) -> Result<TopK<'a>, EngineError> {
        match piece {
            Piece::Shard {
                shard,
                first_row,
                bytes,
            } => self.shard_piece(*shard, *first_row, bytes, &mut top),
            Piece::Rows { shard, rows } => self.candidates_piece(*shard, rows, &mut top)?,
            Piece::Tail { entry, rows } => self.tail_piece(*entry, rows.clone(), &mut top)?,
        }
        Ok(top)
    }

    fn shard_piece(&self, shard: usize, first_row: u32, bytes: &'a [u8], top: &mut TopK<'a>) {
        let (Some(view), Some(live)) = (self.shards.get(shard), self.live.get(shard)) else {
            return;
        };
        let view: &'a ShardView<'a> = view;
        let row_bytes = self.query.row_bytes().max(1);
        let mask = live.mask(first_row..first_row + (bytes.len() / row_bytes) as u32);
        let words = bytes
            .chunks(WORD_ROWS * row_bytes)
            .zip(mask)
            .zip((first_row..).step_by(WORD_ROWS));
        let mut distances = [0.0; WORD_ROWS];
        for ((rows, live), word_row) in words {
            if live == 0 {
                continue;
            }
            if live.count_ones() >= DENSE_WORD {
                self.query.distances(rows, &mut distances);
            } else {
                let places = distances.iter_mut().zip(rows.chunks_exact(row_bytes)).enumerate();
                for (_, (distance, row)) in places.filter(|(place, _)| live >> place & 1 == 1) {
                    *distance = self.query.distance(row);
                }
            }
            let bound = self.bound.lower(top);
            let near = within(&distances, bound) & live;
            for place in ones(near) {
                let row = word_row + place;
                let distance = distances.get(place as usize).copied().unwrap_or(f32::MAX);
                top.offer(distance, Place::Shard { shard, row }, || view.shard.key(row));
            }
        }
    }

    fn candidates_piece(&self, shard: usize, rows: &[u32], top: &mut TopK<'a>) -> Result<(), EngineError> {
        let Some(view) = self.shards.get(shard) else {
            return Ok(());
        };
        let view: &'a ShardView<'a> = view;
        if let Some(file) = view.shard.rows_file() {
            for row in rows.iter().copied() {
                let distance = self.query.distance(file.vector_bytes(row));
                top.offer(distance, Place::Shard { shard, row }, || view.shard.key(row));
            }
            return Ok(());
        }
        let picked = self.picked.get(shard);
        for row in rows.iter().copied() {
            let vector = picked.and_then(|picked| picked.get(row));
            let vector = vector.ok_or(EngineError::NoRows { shard: view.shard.id() })?;
            let distance = self.query.distance(vector);
            top.offer(distance, Place::Shard { shard, row }, || view.shard.key(row));
        }
        Ok(())
    }

    fn tail_piece(&self, entry: usize, rows: Range<u32>, top: &mut TopK<'a>) -> Result<(), EngineError> {
        let Some(tail) = self.tail.get(entry) else {
            return Ok(());
        };
        let tail: &'a TailRows<'a> = tail;
        for row in tail.selected.range(rows) {
            let number = row as usize;
            let distance = self.query.distance(tail.object.vector_bytes(number));
            // Metadata is parsed only for rows that are near enough to matter.
            if distance <= self.bound.lower(top) && self.matches(tail.object.metadata(number))? {
                top.offer(distance, Place::Tail { entry, row }, || tail.object.key(number));
            }
        }
        Ok(())
    }

    fn matches(&self, metadata: Option<&str>) -> Result<bool, EngineError> {
        let Some(filter) = self.filter else { return Ok(true) };
        let metadata = metadata.map_or_else(|| Ok(Metadata::default()), Metadata::parse);
        let corrupt = |fault| EngineError::Corrupt {
            what: format!("stored metadata of the tail: {fault}"),
        };
        metadata.map(|metadata| filter.matches(&metadata)).map_err(corrupt)
    }
}

/// One bit per distance that is no farther than `bound`. Written so that the compiler makes it a few vector compares.
fn within(distances: &[f32; WORD_ROWS], bound: f32) -> u64 {
    if !distances.iter().fold(false, |any, distance| any | (*distance <= bound)) {
        return 0;
    }
    let bits = distances.iter().enumerate();
    bits.fold(0, |near, (place, distance)| {
        near | u64::from(*distance <= bound) << place
    })
}

/// The places of the ones in a word, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (place < u64::BITS).then_some(place)
    })
}
