//! The write path: rows that passed validation become one WAL object and one conditional append.
//!
//! | module | what it holds |
//! |---|---|
//! | [`known`] | what this process knows about indexes: uuid and configuration by path, validation against them |
//! | [`row`] | one row of a write and the rules it must satisfy |
//! | [`group`] | concurrent writes to one index share one WAL object and one commit |
//! | [`matched`] | deleting what matched a filter: a commit that depends on what the index holds |
//! | [`commit`] | the write protocol of DESIGN section 4 |
//! | [`decide`] | what a record says about an attempt: pure |
//!
//! I1: a write is acknowledged only after the append that makes it durable and visible. I2: an append carries the
//! `wal_base` it was prepared for, so that a late or repeated one cannot take effect after its entry was folded.

mod commit;
mod decide;
mod group;
mod known;
mod matched;
mod row;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::ApiError;
use storage::IndexPath;

use crate::Context;
use crate::access::Permission;
use crate::query::matched::Matched;

pub(crate) use group::WriteGroups;
pub(crate) use known::{Judge, Known, appeal, invalidate, known_index, remember};
pub(crate) use row::{PutRow, WriteRow, check_metadata_of, check_vector_of};

/// Commits rows that were checked against `known`, once their permission is there. Returns once they are durable and
/// visible to every reader (I1).
///
/// The commit itself belongs to a task that outlives this future: a cancelled request never tears a commit.
pub(crate) async fn write(
    ctx: &Arc<Context>,
    path: &IndexPath,
    known: Arc<Known>,
    rows: Vec<WriteRow>,
    permission: Permission,
    deadline_ms: u64,
) -> Result<(), ApiError> {
    if rows.is_empty() {
        let mut permission = permission;
        return permission.arrive().await;
    }
    group::submit(ctx, path, known, rows, permission, deadline_ms).await
}

/// Deletes those of the keys whose newest version still matches when the deletion takes effect (I1); answers how many.
pub(crate) async fn delete_matched(
    ctx: &Arc<Context>,
    path: &IndexPath,
    matched: Matched,
    deadline_ms: u64,
) -> Result<u64, ApiError> {
    if matched.keys().is_empty() {
        return Ok(0);
    }
    group::submit_matched(ctx, path, matched, deadline_ms).await
}
