//! The exact search over shards and tail rows.
//!
//! A filter becomes one bitmap per shard; dead and overwritten rows are masked before anything is compared, so `k`
//! answers come back whenever `k` live rows match. The rows are cut into pieces of a few megabytes that idle pool
//! threads take; the answer depends on neither the cut nor the threads, because (distance bits, key) is a total order
//! and a piece only ever drops rows that `k` better ones exclude.

mod scan;
#[cfg(test)]
mod tests;

use model::{DistanceMetric, Filter};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use self::scan::{Bound, Live, PIECE_BYTES, Scan};
use crate::distance::PreparedQuery;
use crate::error::EngineError;
use crate::pool::Pool;
use crate::shard::Shard;
use crate::topk::{Cursor, Hit, TopK};

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct SearchRequest<'a> {
    /// The query vector.
    pub vector: &'a [f32],
    /// How to compare.
    pub metric: DistanceMetric,
    /// How many answers.
    pub k: usize,
    /// Only answers strictly after this.
    pub after: Option<&'a Cursor>,
    /// Only rows whose metadata matches.
    pub filter: Option<&'a Filter>,
}

/// One shard as a snapshot sees it.
#[derive(Debug, Clone, Copy)]
pub struct ShardView<'a> {
    /// The shard.
    pub shard: &'a Shard,
    /// Its dead rows and those that the tail overrides.
    pub excluded: &'a RoaringBitmap,
}

/// The live rows of one tail object.
#[derive(Debug, Clone, Copy)]
pub struct TailRows<'a> {
    /// The object.
    pub object: &'a format::WalObject,
    /// Its rows that are the newest version of their key, all of them puts. The search applies the filter.
    pub selected: &'a RoaringBitmap,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// At most `k` answers, nearest first, ties by key.
    pub hits: Vec<Hit>,
    /// How many live rows were looked at.
    pub scanned_rows: u64,
    /// How.
    pub plan: PlanSummary,
}

/// How a search went about it, for logs and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct PlanSummary {
    /// Live (and matching) shard rows compared exactly.
    pub flat_rows: u64,
    /// Live tail rows.
    pub tail_rows: u64,
    /// Live shard rows that the filter selected, when there was one.
    pub filter_selected: Option<u64>,
    /// Pieces of work that threads could share.
    pub pieces: usize,
}

/// Finds the `k` nearest rows. Runs on `pool` with as many threads as are idle; called on the pool it is a plain call.
///
/// # Errors
/// When a stored vector has another dimension than the query, or stored bytes cannot be read.
pub fn search(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    pool: &Pool,
) -> Result<SearchAnswer, EngineError> {
    check(request, shards, tail)?;
    pool.scope(|| run(request, shards, tail, PIECE_BYTES))
}

fn run(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    piece_bytes: usize,
) -> Result<SearchAnswer, EngineError> {
    let live = shards
        .par_iter()
        .map(|view| live_rows(view, request.filter))
        .collect::<Result<Vec<_>, _>>()?;
    let scan = Scan {
        query: PreparedQuery::new(request.vector, request.metric),
        filter: request.filter,
        bound: Bound::new(),
        shards,
        live: &live,
        tail,
    };
    let pieces = scan.pieces(piece_bytes);
    let top = || TopK::new(request.k, request.after);
    let found = pieces
        .par_iter()
        .try_fold(top, |top, piece| scan.piece(piece, top))
        .try_reduce(top, |left, right| Ok(left.merge(right)))?;

    let flat_rows = shards
        .iter()
        .zip(&live)
        .map(|(view, live)| live.count(view.shard.rows()))
        .sum();
    let tail_rows = tail.iter().map(|rows| rows.selected.len()).sum();
    let filter_selected = request.filter.is_some().then_some(flat_rows);
    let plan = PlanSummary {
        flat_rows,
        tail_rows,
        filter_selected,
        pieces: pieces.len(),
    };
    Ok(SearchAnswer {
        hits: found.into_sorted(),
        scanned_rows: flat_rows + tail_rows,
        plan,
    })
}

fn live_rows<'a>(view: &ShardView<'a>, filter: Option<&Filter>) -> Result<Live<'a>, EngineError> {
    match filter {
        None => Ok(Live::AllBut(view.excluded)),
        Some(filter) => {
            let mut selected = view.shard.select(filter)?;
            selected -= view.excluded;
            Ok(Live::Only(selected))
        }
    }
}

fn check(request: &SearchRequest<'_>, shards: &[ShardView<'_>], tail: &[TailRows<'_>]) -> Result<(), EngineError> {
    let expected = request.vector.len();
    let shards = shards.iter().map(|view| view.shard.dimension());
    let tails = tail.iter().map(|rows| rows.object.dimension().get());
    if let Some(actual) = shards.chain(tails).find(|dimension| *dimension != expected) {
        return Err(EngineError::Dimension { expected, actual });
    }
    for TailRows { object, selected } in tail {
        if selected.max().is_some_and(|row| row as usize >= object.rows()) {
            let what = format!(
                "row {:?} was selected of a tail object of {} rows",
                selected.max(),
                object.rows()
            );
            return Err(EngineError::Corrupt { what });
        }
    }
    Ok(())
}
