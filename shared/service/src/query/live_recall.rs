//! Live recall: a share of the queries is run again exactly, in the background, and compared.
//!
//! One at a time and only while a permit is free, so that measuring never costs more than one scan beside the queries.

use std::sync::Arc;

use engine::Hit;

use super::Snapshot;
use super::execute::{Search, execute_whole};
use crate::Context;

/// A query that was answered, to be measured.
#[derive(Debug)]
pub(crate) struct Sample {
    search: Search,
    /// Distances of its answers.
    found: Vec<f32>,
}

impl Sample {
    /// Takes a sample of a query's first page, as often as configured.
    pub(crate) fn take(ctx: &Context, search: &Search, hits: &[Hit]) -> Option<Self> {
        let share = ctx.config.recall_sample;
        if share <= 0.0 || search.after.is_some() || hits.is_empty() {
            return None;
        }
        let drawn = ctx.ids.nonce() as f64 / u64::MAX as f64;
        (drawn < share).then(|| Self {
            search: search.exactly(),
            found: hits.iter().map(|hit| hit.distance).collect(),
        })
    }

    /// Runs the query exactly and counts what the answer had of it. Skipped when another one is running, and while a
    /// shard is without its rows: measuring does not fetch them.
    pub(crate) async fn measure(self, ctx: Arc<Context>, snapshot: Arc<Snapshot>) {
        let Ok(_permit) = ctx.recall_permit.try_acquire() else {
            return;
        };
        if !snapshot.shards.iter().all(|shard| shard.has_rows()) {
            return;
        }
        let exact = {
            let ctx = Arc::clone(&ctx);
            let Self { search, found } = self;
            move || execute_whole(&snapshot, &search, &ctx.pool).map(|answer| (answer.hits, found))
        };
        let (truth, found) = match ctx.pool.run(exact).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return tracing::warn!(%error, "live recall was not measured"),
            // A busy pool has better things to do.
            Err(error) => return tracing::debug!(%error, "live recall was not measured"),
        };
        let Some(farthest) = truth.last().map(|hit| hit.distance) else {
            return;
        };
        let within = found.iter().filter(|distance| **distance <= farthest).count();
        ctx.metrics.recall.samples.add(1);
        ctx.metrics.recall.wanted.add(truth.len() as u64);
        ctx.metrics.recall.found.add(within.min(truth.len()) as u64);
    }
}
