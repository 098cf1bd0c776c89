//! The write path: rows that passed validation become one WAL object and one conditional append.
//!
//! | module | what it holds |
//! |---|---|
//! | [`known`] | what this process knows about indexes: uuid and configuration by path, validation against them |
//! | [`row`] | one row of a write and the rules it must satisfy |
//! | [`group`] | concurrent writes to one index share one WAL object and one commit |
//! | [`commit`] | the write protocol of DESIGN section 4 |
//! | [`decide`] | what a record says about an attempt: pure |
//!
//! I1: a write is acknowledged only after the append that makes it durable and visible. I2: an append carries the
//! `wal_base` it was prepared for, so that a late or repeated one cannot take effect after its entry was folded.

mod commit;
mod decide;
mod group;
mod known;
mod row;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::ApiError;
use storage::IndexPath;

use crate::Context;

pub(crate) use group::WriteGroups;
pub(crate) use known::{Known, appeal, invalidate, known_index, remember};
pub(crate) use row::{PutRow, WriteRow, check_put, compact_metadata};

/// Commits rows that were checked against `known`. Returns once they are durable and visible to every reader (I1).
///
/// The commit itself belongs to a task that outlives this future: a cancelled request never tears a commit.
pub(crate) async fn write(
    ctx: &Arc<Context>,
    path: &IndexPath,
    known: Arc<Known>,
    rows: Vec<WriteRow>,
    deadline_ms: u64,
) -> Result<(), ApiError> {
    if rows.is_empty() {
        return Ok(());
    }
    group::submit(ctx, path, known, rows, deadline_ms).await
}
