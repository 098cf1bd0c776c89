//! The operator's way past a WAL entry that cannot be read: it is folded with no rows, and its ULID is kept in the
//! manifest's `folded` and `quarantined`. Until then reads of the index say so (500).

use std::sync::Arc;

use model::WalId;
use storage::IndexPath;

use super::change::Change;
use super::publish::Publisher;
use super::{IndexingError, Outcome};
use crate::Context;
use crate::query::objects;

/// Gives up exactly the oldest entry of the tail, if it is `expected`.
///
/// # Errors
/// Nothing was given up.
pub async fn quarantine(ctx: &Arc<Context>, path: &IndexPath, expected: WalId) -> Result<Outcome, IndexingError> {
    let Some(record) = ctx.ports.catalog.read_record(path).await? else {
        return Ok(Outcome::Gone);
    };
    let Some(oldest) = record.wal.first().filter(|entry| entry.id == expected).copied() else {
        return Ok(Outcome::Nothing);
    };
    let manifest = objects::manifest(ctx, &record).await?;
    let change = Change {
        fold: vec![oldest],
        wal_base: record.wal_base,
        quarantined: vec![oldest.id],
        ..Change::default()
    };
    tracing::error!(entry = %oldest.id, rows = oldest.rows, "a WAL entry is given up by the operator");
    Publisher::new(ctx, path, record.uuid, manifest.id, &change)
        .run(record)
        .await
}
