//! The compactor: the same commit as a fold's with k = 0, so all of it but the plan is `indexer.rs` and `commit.rs`.

use crate::catalog::Seen;
use crate::commit::Plan;
use crate::state::{Manifest, NotFound, World};

/// Replaces all shards of the manifest by one with their live rows.
pub fn plan(seen: &Seen, current: &Manifest, world: &World) -> Result<Plan, NotFound> {
    let inputs = current.shards.iter().map(|shard| shard.ulid).collect();
    let mut plan = Plan {
        entries: Vec::new(),
        touched: Vec::new(),
        inputs,
        rows: Vec::new(),
    };
    plan.take_live_rows(seen.record.uuid, current, world)?;
    Ok(plan)
}
