//! The candidates of one shard's index.
//!
//! Rows lie in the order of the lists, so one bitmap of rows says how many of a list's rows may be answers: lists
//! without any are passed over, however near they are, and more lists are visited until they hold enough of them.
//! What is dead, overwritten or filtered out is never selected (DESIGN section 5).

use format::IvfHead;
use rayon::prelude::*;

use super::SearchRequest;
use super::scan::Live;
use crate::error::EngineError;
use crate::ivf::OperatingPoint;
use crate::shard::{Searchable, Shard};

/// The lists that are visited hold this many times the candidates at least, if so many rows may be answers.
const SLACK: u64 = 2;
/// Lists with more rows than this are shared among idle threads.
const ROWS_PER_THREAD: u64 = 128 * 1024;
const BITS: u32 = u8::BITS;

/// What an index selected.
pub(super) struct Selection {
    pub(super) rows: Vec<u32>,
    /// Lists visited.
    pub(super) lists: usize,
    /// Fewer rows than there should be: the 4-bit codes cannot tell some rows apart (FAISS.md, traps).
    pub(super) is_short: bool,
}

/// Asks the shard's index for candidates among the live rows.
pub(super) fn select(
    request: &SearchRequest<'_>,
    shard: &Shard,
    live: &Live<'_>,
    point: &OperatingPoint,
) -> Result<Selection, EngineError> {
    let (Some(searchable), Some(head)) = (shard.ivf(), &shard.head().ivf) else {
        return Ok(Selection {
            rows: Vec::new(),
            lists: 0,
            is_short: true,
        });
    };
    let query = searchable.space.query(request.vector);
    let live_rows = live.count(shard.rows());
    let depth = u64::try_from(point.depth).unwrap_or(u64::MAX).min(live_rows);
    let probed = lists(
        searchable,
        head,
        live,
        &query,
        point.nprobe,
        live_rows.min(depth * SLACK),
    )?;
    let selector = selector(live, head, &probed.numbers, shard.rows());
    let k = usize::try_from(depth).unwrap_or(usize::MAX);
    let threads = (probed.rows / ROWS_PER_THREAD + 1).min(rayon::current_num_threads() as u64);
    let share = probed
        .numbers
        .len()
        .div_ceil(usize::try_from(threads).unwrap_or(1))
        .max(1);
    let found: Vec<Vec<u32>> = probed
        .numbers
        .par_chunks(share)
        .map(|lists| searchable.index.search(&query, lists, k, selector.as_deref()))
        .collect::<Result<_, _>>()?;
    let rows = found.concat();
    Ok(Selection {
        is_short: rows.len() < k,
        lists: probed.numbers.len(),
        rows,
    })
}

struct Probed {
    numbers: Vec<u32>,
    /// Their rows, dead or alive: what the scan of the codes costs.
    rows: u64,
}

/// The nearest `nprobe` lists that hold live rows, and more of them until they hold `wanted` live rows.
fn lists(
    searchable: &Searchable,
    head: &IvfHead,
    live: &Live<'_>,
    query: &[f32],
    nprobe: usize,
    wanted: u64,
) -> Result<Probed, EngineError> {
    let mut distances = Vec::new();
    searchable.index.coarse_distances(query, &mut distances)?;
    let mut order: Vec<(f32, u32)> = distances.into_iter().zip(0..).collect();
    let mut rest = order.as_mut_slice();
    let mut probed = Probed {
        numbers: Vec::with_capacity(nprobe),
        rows: 0,
    };
    let mut held = 0;
    while !rest.is_empty() && (probed.numbers.len() < nprobe || held < wanted) {
        // The nearest lists that are left, as many as are missing or a few: sorting all of them would cost more than
        // visiting some.
        let missing = nprobe.saturating_sub(probed.numbers.len()).max(8).min(rest.len());
        if missing < rest.len() {
            rest.select_nth_unstable_by(missing, |left, right| left.0.total_cmp(&right.0));
        }
        let (nearest, others) = rest.split_at_mut(missing);
        rest = others;
        for (_, list) in nearest {
            let rows = head.rows_of(*list as usize);
            let in_list = live.count_in(&rows);
            if in_list > 0 {
                held += in_list;
                probed.rows += rows.len() as u64;
                probed.numbers.push(*list);
            }
        }
    }
    Ok(probed)
}

/// One bit per row, set for the live rows of the lists; `None` when all rows are alive.
fn selector(live: &Live<'_>, head: &IvfHead, lists: &[u32], rows: u32) -> Option<Vec<u8>> {
    if live.count(rows) == u64::from(rows) {
        return None;
    }
    let mut bits = vec![0_u8; rows.div_ceil(BITS) as usize];
    for list in lists {
        live.mark(head.rows_of(*list as usize), &mut bits);
    }
    Some(bits)
}
