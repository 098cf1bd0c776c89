//! The search over shards and tail rows. Distances are always exact; what is compared is every live row of flat
//! shards and of the tail, and of a shard with an index the candidates that the index selects.
//!
//! A filter becomes one bitmap per shard; dead and overwritten rows are masked before anything is selected or
//! compared, so `k` answers come back whenever `k` live rows match. The rows are cut into pieces of a few megabytes
//! that idle pool threads take; the answer depends on neither the cut nor the threads, because (distance bits, key) is
//! a total order and a piece only ever drops rows that `k` better ones exclude.
//!
//! A shard may be without its `rows.parquet`. Then the search takes two steps: [`select()`] says which rows are compared,
//! [`Selection::missing`] what must be read for that, and [`compare`] takes what was read. The plan does not depend on
//! where the rows are, and neither do the bits of the answer.
//!
//! | module | what it does |
//! |---|---|
//! | [`plan`] | per shard: the exact scan or the index, from the number of live rows and measured costs |
//! | [`select`] | an index's candidates: which lists, which rows may be answers |
//! | [`scan`] | the exact comparison |
//! | [`picked`] | vectors that were read one by one |

mod picked;
#[cfg(feature = "ivfpq")]
mod plan;
mod scan;
#[cfg(feature = "ivfpq")]
mod select;
#[cfg(test)]
mod tests;

use model::{DistanceMetric, Filter};
use rayon::prelude::*;
use roaring::RoaringBitmap;

pub use self::picked::PickedVectors;
use self::scan::{Bound, Live, PIECE_BYTES, Scan};
use crate::distance::PreparedQuery;
use crate::error::EngineError;
use crate::ivf::SearchTuning;
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
    /// How many answers all pages together may hold: every page selects the same candidates, so that pages
    /// concatenate. At least `k`.
    pub reach: usize,
    /// The recall to aim for, and what overrides it.
    pub tuning: SearchTuning,
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
    /// Live (and matching) rows of shards that were scanned exactly.
    pub flat_rows: u64,
    /// Live tail rows.
    pub tail_rows: u64,
    /// Live shard rows that the filter selected, when there was one.
    pub filter_selected: Option<u64>,
    /// Pieces of work that threads could share.
    pub pieces: usize,
    /// Shards that were searched by their index.
    pub indexed_shards: usize,
    /// Lists of them that were visited.
    pub lists: usize,
    /// Rows that their indexes selected.
    pub candidates: u64,
    /// Shards whose index found too little, and that were scanned after all.
    pub fallbacks: usize,
}

/// Of a shard without its `rows.parquet`, up to this share of the rows are read one by one for an exact scan; for more of
/// them the whole file is wanted.
const PICKED_SHARE: u64 = 8;

/// Which rows a search compares: what [`select()`] found and [`compare`] needs, for the same request and snapshot.
#[derive(Debug, Clone)]
pub struct Selection {
    /// By shard: the rows that the filter selected, less the excluded ones; empty without a filter.
    matching: Vec<RoaringBitmap>,
    /// By shard: the rows to compare; `None`: every live row.
    rows: Vec<Option<Vec<u32>>>,
    plan: PlanSummary,
}

/// What must be read of a shard's `rows.parquet` before its rows can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing<'a> {
    /// Nothing.
    Nothing,
    /// The vectors of these rows.
    Vectors(&'a [u32]),
    /// The whole file.
    File,
}

impl Selection {
    /// What must be read of the shard at this position.
    pub fn missing(&self, position: usize, shard: &Shard) -> Missing<'_> {
        if shard.has_rows() {
            return Missing::Nothing;
        }
        match self.rows.get(position).map(Option::as_deref) {
            None | Some(Some([])) => Missing::Nothing,
            Some(Some(rows)) => Missing::Vectors(rows),
            Some(None) => Missing::File,
        }
    }

    fn live<'a>(&'a self, shards: &[ShardView<'a>]) -> Vec<Live<'a>> {
        let views = shards.iter().enumerate();
        let live = views.map(|(shard, view)| match self.matching.get(shard) {
            Some(matching) => Live::Only(matching),
            None => Live::AllBut(view.excluded),
        });
        live.collect()
    }
}

/// Finds the `k` nearest rows. Runs on `pool` with as many threads as are idle; called on the pool it is a plain call.
///
/// # Errors
/// When a stored vector has another dimension than the query, stored bytes cannot be read, or a shard that has rows to
/// compare is without its `rows.parquet`.
pub fn search(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    pool: &Pool,
) -> Result<SearchAnswer, EngineError> {
    check(request, shards, tail)?;
    pool.scope(|| run(request, shards, tail, PIECE_BYTES))
}

/// The first step of a search: which rows are compared.
///
/// # Errors
/// As [`search`], but no shard needs its `rows.parquet`.
pub fn select(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    pool: &Pool,
) -> Result<Selection, EngineError> {
    check(request, shards, tail)?;
    pool.scope(|| selection(request, shards))
}

/// The second step: the selected rows are compared, with the vectors that were picked for shards without their
/// `rows.parquet` (by position; shards beyond the last element have none).
///
/// # Errors
/// As [`search`]; [`EngineError::NoRows`] when something is missing still.
pub fn compare(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    selection: &Selection,
    picked: &[PickedVectors],
    pool: &Pool,
) -> Result<SearchAnswer, EngineError> {
    check(request, shards, tail)?;
    pool.scope(|| compared(request, shards, tail, selection, picked, PIECE_BYTES))
}

fn run(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    piece_bytes: usize,
) -> Result<SearchAnswer, EngineError> {
    let selection = selection(request, shards)?;
    compared(request, shards, tail, &selection, &[], piece_bytes)
}

fn selection(request: &SearchRequest<'_>, shards: &[ShardView<'_>]) -> Result<Selection, EngineError> {
    let matching = match request.filter {
        None => Vec::new(),
        Some(filter) => shards
            .par_iter()
            .map(|view| matching_rows(view, filter))
            .collect::<Result<_, _>>()?,
    };
    let mut selection = Selection {
        matching,
        rows: Vec::new(),
        plan: PlanSummary::default(),
    };
    let mut plan = PlanSummary::default();
    let live = selection.live(shards);
    let mut rows = candidates(request, shards, &live, &mut plan)?;
    let mut selected = 0;
    for ((view, live), rows) in shards.iter().zip(&live).zip(&mut rows) {
        let (count, all) = (live.count(view.shard.rows()), view.shard.rows());
        selected += count;
        if rows.is_none() {
            plan.flat_rows += count;
            let is_few = count.saturating_mul(PICKED_SHARE) <= u64::from(all);
            // Compared all the same, but they are named so that they can be read one by one.
            *rows = (!view.shard.has_rows() && is_few).then(|| live.rows(all));
        }
    }
    plan.filter_selected = request.filter.is_some().then_some(selected);
    drop(live);
    selection.rows = rows;
    selection.plan = plan;
    Ok(selection)
}

fn compared(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    tail: &[TailRows<'_>],
    selection: &Selection,
    picked: &[PickedVectors],
    piece_bytes: usize,
) -> Result<SearchAnswer, EngineError> {
    let live = selection.live(shards);
    let scan = Scan {
        query: PreparedQuery::new(request.vector, request.metric),
        filter: request.filter,
        bound: Bound::new(),
        shards,
        live: &live,
        candidates: &selection.rows,
        picked,
        tail,
    };
    let pieces = scan.pieces(piece_bytes)?;
    let top = || TopK::new(request.k, request.after);
    let found = pieces
        .par_iter()
        .try_fold(top, |top, piece| scan.piece(piece, top))
        .try_reduce(top, |left, right| Ok(left.merge(right)))?;
    let plan = PlanSummary {
        tail_rows: tail.iter().map(|rows| rows.selected.len()).sum(),
        pieces: pieces.len(),
        ..selection.plan
    };
    Ok(SearchAnswer {
        hits: found.into_sorted(),
        scanned_rows: plan.flat_rows + plan.tail_rows + plan.candidates,
        plan,
    })
}

/// For each shard the rows that its index selects; `None`: all live rows are compared.
#[cfg(feature = "ivfpq")]
fn candidates(
    request: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    live: &[Live<'_>],
    summary: &mut PlanSummary,
) -> Result<Vec<Option<Vec<u32>>>, EngineError> {
    let selections = shards
        .par_iter()
        .zip(live)
        .map(|(view, live)| match plan::point(request, view.shard, live) {
            None => Ok(None),
            Some(point) => select::select(request, view.shard, live, &point).map(Some),
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let mut candidates = Vec::with_capacity(selections.len());
    for selection in selections {
        let Some(selection) = selection else {
            candidates.push(None);
            continue;
        };
        summary.lists += selection.lists;
        if selection.is_short {
            summary.fallbacks += 1;
            candidates.push(None);
            continue;
        }
        summary.indexed_shards += 1;
        summary.candidates += selection.rows.len() as u64;
        candidates.push(Some(selection.rows));
    }
    Ok(candidates)
}

/// Without FAISS every shard is scanned.
#[cfg(not(feature = "ivfpq"))]
fn candidates(
    _: &SearchRequest<'_>,
    shards: &[ShardView<'_>],
    _: &[Live<'_>],
    _: &mut PlanSummary,
) -> Result<Vec<Option<Vec<u32>>>, EngineError> {
    Ok(vec![None; shards.len()])
}

fn matching_rows(view: &ShardView<'_>, filter: &Filter) -> Result<RoaringBitmap, EngineError> {
    let mut selected = view.shard.select(filter)?;
    selected -= view.excluded;
    Ok(selected)
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
