//! The nearest rows of a snapshot: one page of a query. CPU work, called on the pool.

use engine::search::{Missing, SearchAnswer, SearchRequest, Selection, ShardView, TailRows, compare, search, select};
use engine::{Cursor, EngineError, Pool, SearchTuning};
use model::Filter;
use roaring::RoaringBitmap;

use super::snapshot::Snapshot;
use super::tail::TailSlot;
use super::work::{Fetched, Pause, Wanted};

/// What is searched for.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The query vector, judged.
    pub vector: Vec<f32>,
    /// How many rows.
    pub k: usize,
    /// Only rows strictly after this.
    pub after: Option<Cursor>,
    /// Only rows whose metadata passes this.
    pub filter: Option<Filter>,
    /// How many rows all pages together.
    pub reach: usize,
    /// The recall to aim for.
    pub tuning: SearchTuning,
}

impl Search {
    /// The same search, to be run exactly.
    pub(crate) fn exactly(&self) -> Self {
        let mut exact = self.clone();
        exact.tuning.exact = true;
        exact
    }
}

/// The `k` nearest rows that pass the filter, by (distance, key). Pauses for rows of shards that are without their
/// `rows.parquet`; `selected` carries what was selected over that pause.
pub(crate) fn execute(
    snapshot: &Snapshot,
    wanted: &Search,
    pool: &Pool,
    fetched: &Fetched,
    selected: &mut Option<Selection>,
) -> Result<SearchAnswer, Pause> {
    if selected.is_none() && snapshot.shards.iter().all(|shard| shard.has_rows()) {
        return Ok(with_views(snapshot, wanted, |request, shards, tail| {
            search(request, shards, tail, pool)
        })?);
    }
    with_views(snapshot, wanted, |request, shards, tail| {
        let selection = match selected {
            Some(selection) => selection,
            None => selected.insert(select(request, shards, tail, pool)?),
        };
        let missing = missing(snapshot, selection, fetched);
        if !missing.is_empty() {
            return Err(Pause::Missing(missing));
        }
        Ok(compare(request, shards, tail, selection, fetched.vectors(), pool)?)
    })
}

/// The same when every shard has its `rows.parquet`; an error otherwise.
pub(crate) fn execute_whole(snapshot: &Snapshot, wanted: &Search, pool: &Pool) -> Result<SearchAnswer, EngineError> {
    with_views(snapshot, wanted, |request, shards, tail| {
        search(request, shards, tail, pool)
    })
}

/// What the comparison needs and is not there.
fn missing(snapshot: &Snapshot, selection: &Selection, fetched: &Fetched) -> Wanted {
    let mut wanted = Wanted::default();
    for (position, shard) in snapshot.shards.iter().enumerate() {
        match selection.missing(position, shard) {
            Missing::Nothing => {}
            Missing::File => wanted.of(position).is_whole = true,
            Missing::Vectors(rows) => {
                let is_missing = |row: &u32| fetched.vector(position, *row).is_none();
                let rows: Vec<u32> = rows.iter().copied().filter(is_missing).collect();
                if !rows.is_empty() {
                    wanted.of(position).vectors = rows;
                }
            }
        }
    }
    wanted
}

fn with_views<T>(
    snapshot: &Snapshot,
    wanted: &Search,
    work: impl FnOnce(&SearchRequest<'_>, &[ShardView<'_>], &[TailRows<'_>]) -> T,
) -> T {
    // I2: the overlay has hidden older versions before the filter is looked at; a newest version that fails the
    // filter still hides the older one. Tail rows are filtered here, by metadata that is parsed once: the search
    // itself would parse every row of the tail for a filter that few pass.
    let selected: Option<Vec<RoaringBitmap>> = wanted.filter.as_ref().map(|filter| {
        let slots = snapshot.tail.slots().iter();
        slots.map(|slot| matching(slot, filter)).collect()
    });
    let views: Vec<ShardView<'_>> = snapshot
        .shards
        .iter()
        .zip(snapshot.tail.excluded())
        .map(|(shard, excluded)| ShardView { shard, excluded })
        .collect();
    let slots = snapshot.tail.slots().iter().enumerate();
    let tail: Vec<TailRows<'_>> = slots
        .map(|(position, slot)| TailRows {
            object: slot.entry.object(),
            selected: selected
                .as_ref()
                .and_then(|selected| selected.get(position))
                .unwrap_or(&slot.live),
        })
        .collect();
    let request = SearchRequest {
        vector: &wanted.vector,
        metric: snapshot.config.metric,
        k: wanted.k,
        after: wanted.after.as_ref(),
        filter: wanted.filter.as_ref(),
        reach: wanted.reach,
        tuning: wanted.tuning,
    };
    work(&request, &views, &tail)
}

fn matching(slot: &TailSlot, filter: &Filter) -> RoaringBitmap {
    slot.live
        .iter()
        .filter(|row| slot.entry.matches(*row, filter))
        .collect()
}
