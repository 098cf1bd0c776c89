//! The nearest rows of a snapshot: one page of a query. CPU work, called on the pool.

use engine::search::{SearchAnswer, SearchRequest, ShardView, TailRows, search};
use engine::{Cursor, EngineError, Pool, SearchTuning};
use model::Filter;
use roaring::RoaringBitmap;

use super::snapshot::Snapshot;
use super::tail::TailSlot;

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

/// The `k` nearest rows that pass the filter, by (distance, key).
pub(crate) fn execute(snapshot: &Snapshot, wanted: &Search, pool: &Pool) -> Result<SearchAnswer, EngineError> {
    // I2: the overlay has hidden older versions before the filter is looked at; a newest version that fails the
    // filter still hides the older one. Tail rows are filtered here, by metadata that is parsed once: the search
    // itself would parse every row of the tail for a filter that few pass.
    let selected: Option<Vec<RoaringBitmap>> = wanted.filter.as_ref().map(|filter| {
        let slots = snapshot.tail.slots().iter();
        slots.map(|slot| select(slot, filter)).collect()
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
    search(&request, &views, &tail, pool)
}

fn select(slot: &TailSlot, filter: &Filter) -> RoaringBitmap {
    slot.live
        .iter()
        .filter(|row| slot.entry.matches(*row, filter))
        .collect()
}
