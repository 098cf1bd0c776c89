//! The true answers that a recall is measured against: the distances of each query's nearest other rows.
//!
//! To compare every query with every row exactly would cost more than the searches that are measured. So a matrix
//! product comes first, of rows and queries as FAISS sees them: |r|^2 + |q|^2 - 2 r.q is the squared distance up to an
//! error with a known bound, and only rows that are near enough within that bound are compared exactly. Where rows are
//! so alike that the error hides their order, all of them are: slower, never wrong.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use model::DistanceMetric;
use rayon::prelude::*;

use super::Space;
use crate::distance::PreparedQuery;
use crate::ivfpq::products;

/// Rows of one matrix product.
const BLOCK_ROWS: usize = 256;
/// Rows that one thread takes at a time.
const TASK_ROWS: usize = 8 * 1024;
/// For the rounding of bounds. (The exact distance's own error grows with the dimension, as the product's does: `error`
/// has room for both.)
const SLACK: f64 = 1.0 / (1 << 20) as f64;
/// Below this, products may have underflowed.
const LEAST_SQUARE: f64 = 1e-30;

/// A row that serves as a query.
pub(super) struct Asked<'a> {
    /// Itself, which is no answer.
    pub(super) row: u32,
    pub(super) prepared: &'a PreparedQuery,
    /// As FAISS sees it.
    pub(super) seen: &'a [f32],
}

/// For each query the distances of its `k` nearest others among `rows` rows, ascending. `vector` gives a row's bytes.
pub(super) fn nearest<'a>(
    space: Space,
    rows: u32,
    vector: &(impl Fn(u32) -> &'a [u8] + Sync),
    queries: &[Asked<'_>],
    k: usize,
) -> Vec<Vec<f32>> {
    let scan = Scan::new(space, vector, queries, k);
    let starts: Vec<u32> = (0..rows).step_by(TASK_ROWS).collect();
    let empty = || vec![BinaryHeap::with_capacity(k + 1); queries.len()];
    let nearest = starts
        .into_par_iter()
        .fold(empty, |mut nearest, start| {
            scan.offer(start..rows.min(start.saturating_add(TASK_ROWS as u32)), &mut nearest);
            nearest
        })
        .reduce(empty, |mut left, right| {
            for (left, right) in left.iter_mut().zip(right) {
                right.into_iter().for_each(|bits| keep(left, bits, k));
            }
            left
        });
    let distances = |nearest: BinaryHeap<u32>| nearest.into_sorted_vec().into_iter().map(f32::from_bits);
    nearest
        .into_iter()
        .map(|nearest| distances(nearest).collect())
        .collect()
}

struct Scan<'q, 'v, V> {
    space: Space,
    vector: &'v V,
    queries: &'q [Asked<'q>],
    k: usize,
    /// All queries as FAISS sees them, one behind the other.
    seen: Vec<f32>,
    /// Their squared lengths.
    squares: Vec<f64>,
    /// The bits of a distance that `k` other rows of each query do not exceed, as far as any thread knows.
    farthest: Vec<AtomicU32>,
    /// A distance times this is one of FAISS's space, or more.
    scale: f64,
    /// The most that a squared distance by products is off, as a share of the two squared lengths.
    error: f64,
}

impl<'a, V: Fn(u32) -> &'a [u8]> Scan<'_, '_, V> {
    fn new<'q, 'v>(space: Space, vector: &'v V, queries: &'q [Asked<'q>], k: usize) -> Scan<'q, 'v, V> {
        let seen: Vec<f32> = queries.iter().flat_map(|query| query.seen).copied().collect();
        Scan {
            space,
            vector,
            queries,
            k,
            squares: seen.chunks_exact(space.padded()).map(square).collect(),
            seen,
            farthest: queries.iter().map(|_| AtomicU32::new(f32::MAX.to_bits())).collect(),
            // Of vectors of length one the squared distance is 2 - 2 cos. Values that the space limits only come nearer.
            scale: match space.metric() {
                DistanceMetric::Cosine => 2.0,
                DistanceMetric::Euclidean => f64::from(2 * space.exponent()).exp2(),
            },
            // A chain of n products and sums has n roundings of 2^-24, and the product counts twice: 2^-23 n at most. Twice
            // as much leaves room for the exact distance, which is off by less.
            error: SLACK + (space.padded() + 16) as f64 * 2.0_f64.powi(-22),
        }
    }

    /// Offers rows to every query.
    fn offer(&self, rows: Range<u32>, nearest: &mut [BinaryHeap<u32>]) {
        let mut seen = Vec::new();
        let mut halves = Vec::new();
        let mut out = vec![0.0; BLOCK_ROWS * self.queries.len()];
        for start in rows.clone().step_by(BLOCK_ROWS) {
            let block = start..rows.end.min(start.saturating_add(BLOCK_ROWS as u32));
            seen.clear();
            block
                .clone()
                .for_each(|row| self.space.append((self.vector)(row), &mut seen));
            halves.clear();
            halves.extend(
                seen.chunks_exact(self.space.padded())
                    .map(|row| self.least_half(square(row)) as f32),
            );
            products(self.space.padded(), &self.seen, &seen, &mut out);
            for ((number, products), nearest) in out.chunks_exact(halves.len().max(1)).enumerate().zip(&mut *nearest) {
                let least = self.least_product(number);
                for ((row, half), product) in block.clone().zip(&halves).zip(products) {
                    if *product >= least + half {
                        self.compare(number, row, nearest);
                    }
                }
            }
        }
    }

    /// Half of a squared length, less its part of the error.
    fn least_half(&self, square: f64) -> f64 {
        square * (1.0 - self.error) / 2.0
    }

    /// The query's product with a row less the row's [`Self::least_half`], if the row is to be near enough.
    fn least_product(&self, query: usize) -> f32 {
        let farthest = self
            .farthest
            .get(query)
            .map_or(f32::MAX, |bits| f32::from_bits(bits.load(Ordering::Relaxed)));
        if farthest == f32::MAX {
            // No k rows yet, or distances beyond f32, which are all the same.
            return f32::NEG_INFINITY;
        }
        let square = self.squares.get(query).copied().unwrap_or(0.0);
        let farthest = f64::from(farthest) * self.scale * (1.0 + SLACK);
        (self.least_half(square) - farthest / 2.0 - LEAST_SQUARE) as f32
    }

    fn compare(&self, query: usize, row: u32, nearest: &mut BinaryHeap<u32>) {
        let (Some(asked), Some(farthest)) = (self.queries.get(query), self.farthest.get(query)) else {
            return;
        };
        if row == asked.row {
            return;
        }
        let distance = asked.prepared.distance((self.vector)(row));
        keep(nearest, distance.to_bits(), self.k);
        if let (true, Some(worst)) = (nearest.len() == self.k, nearest.peek()) {
            farthest.fetch_min(*worst, Ordering::Relaxed);
        }
    }
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum()
}

/// Keeps the `k` smallest; distances are not negative, so their bits order as they do.
fn keep(nearest: &mut BinaryHeap<u32>, bits: u32, k: usize) {
    if nearest.len() < k {
        nearest.push(bits);
    } else if let Some(mut worst) = nearest.peek_mut()
        && bits < *worst
    {
        *worst = bits;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const QUERIES: u32 = 7;

    /// Rows around `offset`, `spread` wide; every third one is a copy of an earlier one.
    fn rows(count: usize, width: usize, offset: f32, spread: f32, seed: u64) -> Vec<Vec<u8>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut rows: Vec<Vec<u8>> = Vec::new();
        for number in 0..count {
            let fresh = (0..width).flat_map(|_| (offset + spread * random.random_range(-1.0_f32..1.0)).to_le_bytes());
            let row = if number % 3 == 2 {
                rows[number / 2].clone()
            } else {
                fresh.collect()
            };
            rows.push(row);
        }
        rows
    }

    fn values(row: &[u8]) -> Vec<f32> {
        row.as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    }

    fn one_by_one(rows: &[Vec<u8>], query: usize, prepared: &PreparedQuery, k: usize) -> Vec<f32> {
        let others = rows.iter().enumerate().filter(|(row, _)| *row != query);
        let mut all: Vec<f32> = others.map(|(_, row)| prepared.distance(row)).collect();
        all.sort_by(f32::total_cmp);
        all.truncate(k);
        all
    }

    fn check(rows: &[Vec<u8>], width: usize, metric: DistanceMetric, k: usize) {
        let exponent = Space::exponent_for(rows.iter().map(Vec::as_slice));
        let space = Space::new(metric, width, width.next_multiple_of(4), exponent);
        let picked: Vec<u32> = (0..QUERIES).filter(|row| (*row as usize) < rows.len()).collect();
        let prepared: Vec<_> = picked.iter().map(|row| values(&rows[*row as usize])).collect();
        let prepared: Vec<_> = prepared
            .iter()
            .map(|row| (PreparedQuery::new(row, metric), space.query(row)))
            .collect();
        let asked: Vec<_> = picked
            .iter()
            .zip(&prepared)
            .map(|(row, (prepared, seen))| Asked {
                row: *row,
                prepared,
                seen,
            })
            .collect();
        let found = nearest(
            space,
            rows.len() as u32,
            &|row| rows[row as usize].as_slice(),
            &asked,
            k,
        );
        for (asked, found) in asked.iter().zip(found) {
            assert_eq!(
                found,
                one_by_one(rows, asked.row as usize, asked.prepared, k),
                "query {}",
                asked.row
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn nothing_is_missed(
            (count, width, k) in (0_usize..1500, 1_usize..70, 1_usize..120),
            offset in prop_oneof![Just(0.0_f32), Just(1.0), Just(1000.0), Just(1e30)],
            spread in prop_oneof![Just(0.0_f32), Just(1e-5), Just(1.0), Just(1e-20), Just(1e37)],
            metric in prop_oneof![Just(DistanceMetric::Cosine), Just(DistanceMetric::Euclidean)],
            seed: u64,
        ) {
            check(&rows(count, width, offset, spread, seed), width, metric, k);
        }
    }

    #[test]
    fn more_rows_than_one_task_has() {
        let rows = rows(3 * TASK_ROWS / 2, 5, 0.5, 1.0, 9);
        check(&rows, 5, DistanceMetric::Euclidean, 100);
        check(&rows, 5, DistanceMetric::Cosine, 100);
    }
}
