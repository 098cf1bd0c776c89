//! How well an index finds what the exact scan finds: rows of the shard serve as queries, each without itself.
//!
//! Rows at the same distance as the k-th true answer count as true answers too: duplicates have no order.

use format::{RecallCurve, RecallPoint};
use rayon::prelude::*;

use super::Space;
use super::sample::spread;
use super::truth::{self, Asked};
use crate::distance::PreparedQuery;
use crate::error::EngineError;
use crate::ivfpq::Index;

/// A curve that is measured.
struct Curve {
    /// Answers that are wanted.
    k: usize,
    /// Candidates that its points compare.
    depths: &'static [usize],
    /// So many queries are enough: where each has many answers, fewer tell as much.
    enough: usize,
}

impl Curve {
    /// One in so many of `queries` queries is asked: spread over all, for they stand in the order of the lists.
    fn every(&self, queries: usize) -> usize {
        (queries / self.enough).max(1)
    }
}

const CURVES: [Curve; 2] = [
    Curve {
        k: 10,
        depths: &[10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640],
        enough: usize::MAX,
    },
    Curve {
        k: 100,
        depths: &[100, 150, 200, 300, 400, 600, 800, 1200, 1600],
        enough: 128,
    },
];
/// Multiplications that finding the true answers may cost; fewer queries serve for larger shards. With 69 queries, on a
/// million rows, the points that were chosen were off by more than a percent.
const TRUTH_WORK: u64 = 40_000_000_000;
/// No fewer queries than this, whatever they cost.
const LEAST_QUERIES: u64 = 128;
/// Once there are enough candidates, so many times fewer are asked for at first.
const LATER: usize = 6;
/// From here on more lists cannot find anything that matters.
const ENOUGH: f64 = 0.9995;

/// An index and the rows behind it.
pub(super) struct Subject<'a, V> {
    pub(super) index: &'a Index,
    pub(super) space: Space,
    pub(super) rows: u32,
    /// The vector of a row, little-endian.
    pub(super) vector: V,
}

struct Query {
    row: u32,
    prepared: PreparedQuery,
    /// As FAISS sees it.
    seen: Vec<f32>,
    /// Lists, nearest first.
    lists: Vec<u32>,
    /// Distances of the nearest others, ascending.
    truth: Vec<f32>,
    /// The best candidates of the first `visited` lists, best first.
    candidates: Vec<Candidate>,
    visited: usize,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// What its code tells.
    estimate: f32,
    distance: f32,
}

impl<'a, V: Fn(u32) -> &'a [u8] + Sync> Subject<'a, V> {
    /// Measures with at most `queries` rows, visiting more and more of the lists.
    pub(super) fn curves(&self, queries: usize, seed: u64) -> Result<Vec<RecallCurve>, EngineError> {
        let mut queries = self.queries(queries, seed)?;
        let measured: Vec<_> = CURVES.iter().filter(|curve| curve.k < self.rows as usize).collect();
        let mut curves: Vec<RecallCurve> = measured
            .iter()
            .map(|curve| RecallCurve {
                k: u32::try_from(curve.k).unwrap_or(u32::MAX),
                queries: u32::try_from(queries.len().div_ceil(curve.every(queries.len()))).unwrap_or(u32::MAX),
                points: Vec::new(),
            })
            .collect();
        for nprobe in steps(self.index.shape().nlist) {
            let found = self.found_by_all(&mut queries, nprobe, &measured)?;
            let mut enough = true;
            let mut found = found.into_iter();
            for (curve, Curve { depths, .. }) in curves.iter_mut().zip(&measured) {
                for (depth, found) in depths.iter().zip(found.by_ref()) {
                    curve.points.push(RecallPoint {
                        nprobe: u32::try_from(nprobe).unwrap_or(u32::MAX),
                        depth: u32::try_from(*depth).unwrap_or(u32::MAX),
                        found,
                    });
                }
                enough &= curve.points.last().is_some_and(|point| curve.recall(point) >= ENOUGH);
            }
            if enough {
                break;
            }
        }
        Ok(curves)
    }

    /// How many candidates the first curve needs for `recall` when every list is visited: what the code alone is
    /// worth. `None` when no measured number is enough.
    pub(super) fn depth_of_code(&self, recall: f64, queries: usize, seed: u64) -> Result<Option<u32>, EngineError> {
        let mut queries = self.queries(queries, seed)?;
        let Some(first) = CURVES.first().filter(|curve| curve.k < self.rows as usize) else {
            return Ok(Some(0));
        };
        let found = self.found_by_all(&mut queries, self.index.shape().nlist, &[first])?;
        let wanted = queries.len() as f64 * first.k as f64 * recall;
        let depth = first
            .depths
            .iter()
            .zip(found)
            .find(|(_, found)| f64::from(*found) >= wanted);
        Ok(depth.map(|(depth, _)| u32::try_from(*depth).unwrap_or(u32::MAX)))
    }

    fn queries(&self, most: usize, seed: u64) -> Result<Vec<Query>, EngineError> {
        let each = u64::from(self.rows)
            .saturating_mul(self.space.dimension() as u64)
            .max(1);
        let affordable = (TRUTH_WORK / each).max(LEAST_QUERIES);
        let count = most.min(usize::try_from(affordable).unwrap_or(usize::MAX));
        let rows = spread(u64::from(self.rows), count, seed ^ 0x5155_4552_5953);
        let mut queries: Vec<Query> = rows
            .into_par_iter()
            .map(|row| self.query(u32::try_from(row).unwrap_or(u32::MAX)))
            .collect::<Result<_, _>>()?;
        let most_k = CURVES.iter().map(|curve| curve.k).max().unwrap_or(0);
        let asked: Vec<Asked<'_>> = queries
            .iter()
            .map(|query| Asked {
                row: query.row,
                prepared: &query.prepared,
                seen: &query.seen,
            })
            .collect();
        let truths = truth::nearest(self.space, self.rows, &self.vector, &asked, most_k);
        for (query, truth) in queries.iter_mut().zip(truths) {
            query.truth = truth;
        }
        Ok(queries)
    }

    fn query(&self, row: u32) -> Result<Query, EngineError> {
        let bytes = (self.vector)(row);
        let values: Vec<f32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect();
        let seen = self.space.query(&values);
        let mut distances = Vec::new();
        self.index.coarse_distances(&seen, &mut distances)?;
        let mut lists: Vec<u32> = (0..).take(distances.len()).collect();
        let distance = |list: &u32| distances.get(*list as usize).copied().unwrap_or(f32::MAX);
        lists.sort_by(|left, right| distance(left).total_cmp(&distance(right)));
        Ok(Query {
            row,
            prepared: PreparedQuery::new(&values, self.space.metric()),
            seen,
            lists,
            truth: Vec::new(),
            candidates: Vec::new(),
            visited: 0,
        })
    }

    /// For each curve and depth, how many true answers are among the candidates of the nearest `nprobe` lists, over all
    /// queries.
    fn found_by_all(&self, queries: &mut [Query], nprobe: usize, curves: &[&Curve]) -> Result<Vec<u32>, EngineError> {
        let count = queries.len();
        queries
            .par_iter_mut()
            .enumerate()
            .map(|(number, query)| {
                let asked = |curve: &&&Curve| number.is_multiple_of(curve.every(count));
                let depths = curves.iter().filter(asked).filter_map(|curve| curve.depths.last());
                self.visit(query, nprobe, depths.max().copied().unwrap_or(0))?;
                let found = curves.iter().map(|curve| query.found(curve, asked(&curve)));
                Ok(found.flatten().collect())
            })
            .try_reduce(Vec::new, |left, right| Ok(add(left, right)))
    }

    /// Visits the lists up to the nearest `nprobe`, from where the query stands, and keeps the `deepest` best candidates
    /// of all that it has visited: each list and each candidate is looked at once, however many steps there are.
    fn visit(&self, query: &mut Query, nprobe: usize, deepest: usize) -> Result<(), EngineError> {
        let until = nprobe.min(query.lists.len());
        let lists = query.lists.get(query.visited..until).unwrap_or_default();
        let worst = query.candidates.get(deepest.saturating_sub(1));
        let worst = worst.map_or(f32::INFINITY, |worst| worst.estimate);
        let mut estimates = Vec::new();
        // One more: the query itself is among them. And first for few: lists farther away have few that are good enough.
        let few = if worst.is_finite() { deepest / LATER } else { deepest };
        let mut rows = self
            .index
            .search_estimating(&query.seen, lists, few + 1, &mut estimates)?;
        if rows.len() > few && few < deepest && estimates.last().is_some_and(|last| *last <= worst) {
            rows = self
                .index
                .search_estimating(&query.seen, lists, deepest + 1, &mut estimates)?;
        }
        query.visited = query.visited.max(until);
        for (row, estimate) in rows.into_iter().zip(estimates) {
            if row != query.row && estimate <= worst {
                let distance = query.prepared.distance((self.vector)(row));
                query.candidates.push(Candidate { estimate, distance });
            }
        }
        // Stable: of equal estimates the nearer list's come first, as in one search.
        query
            .candidates
            .sort_by(|left, right| left.estimate.total_cmp(&right.estimate));
        query.candidates.truncate(deepest);
        Ok(())
    }
}

impl Query {
    /// For each depth of a curve, how many true answers are among the candidates; none where the query is not asked.
    fn found(&self, curve: &Curve, is_asked: bool) -> Vec<u32> {
        if !is_asked {
            return vec![0; curve.depths.len()];
        }
        let farthest = self.truth.get(curve.k - 1).copied().unwrap_or(f32::MAX);
        let found = curve.depths.iter().map(|depth| {
            let candidates = self.candidates.get(..*depth).unwrap_or(&self.candidates);
            let within = candidates.iter().filter(|candidate| candidate.distance <= farthest);
            u32::try_from(within.count().min(curve.k)).unwrap_or(u32::MAX)
        });
        found.collect()
    }
}

fn add(left: Vec<u32>, right: Vec<u32>) -> Vec<u32> {
    if left.is_empty() {
        return right;
    }
    left.iter().zip(&right).map(|(left, right)| left + right).collect()
}

/// Numbers of lists to measure with: from a few in a thousand to all, by about a third more each time.
fn steps(nlist: usize) -> Vec<usize> {
    let mut steps = Vec::new();
    let mut next = (nlist / 256).max(1);
    while next < nlist {
        steps.push(next);
        next = (next * 4).div_ceil(3);
    }
    steps.push(nlist.max(1));
    steps
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn steps_rise_to_all_lists() {
        for nlist in [1, 2, 3, 100, 1024, 16_384] {
            let steps = steps(nlist);
            assert!(steps.is_sorted_by(|left, right| left < right), "{steps:?}");
            assert_eq!(steps.last(), Some(&nlist));
            assert!(steps.len() < 24, "{steps:?}");
        }
    }
}
