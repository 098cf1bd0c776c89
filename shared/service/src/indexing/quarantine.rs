//! The operator's way past a WAL entry that cannot be read: it is folded with no rows, and its ULID is kept in the
//! manifest's `folded` and `quarantined`. Until then reads of the index say so (500).

use std::error::Error as _;
use std::sync::Arc;

use format::record::WalEntry;
use futures::future::BoxFuture;
use model::WalId;
use storage::{IndexPath, StoreError};

use super::change::Change;
use super::publish::Publisher;
use super::{IndexingError, Outcome, fold, lease};
use crate::Context;
use crate::query::objects::{self, ReadFault};

/// Whether a WAL entry can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Readable,
    /// It never will be: its object is gone, or its bytes are not what was written.
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// Its object could not be looked at; another attempt may succeed.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// Entries of a tail, the oldest first, and how each is.
pub type Examined = Vec<(WalEntry, Health)>;

/// The tail of the index at `path`, oldest entry first, each entry with its health. `None`: there is no such index.
///
/// # Errors
/// The record cannot be read, or the CPU pool failed.
pub fn examine<'a>(
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
) -> BoxFuture<'a, Result<Option<Examined>, IndexingError>> {
    Box::pin(async move {
        let Some(record) = ctx.ports.catalog.read_record(path).await? else {
            return Ok(None);
        };
        let mut examined = Vec::with_capacity(record.wal.len());
        for entry in &record.wal {
            let health = match objects::wal(ctx, record.uuid, entry.id).await {
                Ok(_) => Health::Readable,
                Err(fault) => health(fault)?,
            };
            examined.push((*entry, health));
        }
        // Another process may have folded some meanwhile, and a collector may have taken their objects.
        let current = ctx.ports.catalog.read_record(path).await?;
        let Some(current) = current.filter(|current| current.uuid == record.uuid) else {
            return Ok(None);
        };
        examined.retain(|(entry, _)| current.wal.contains(entry));
        Ok(Some(examined))
    })
}

fn health(fault: ReadFault) -> Result<Health, IndexingError> {
    match fault {
        ReadFault::Missing(_) => Ok(Health::Unreadable {
            reason: "its object does not exist".to_owned(),
        }),
        ReadFault::Unreadable { reason, .. } => Ok(Health::Unreadable { reason }),
        ReadFault::Store(error) => Ok(Health::Unknown { reason: causes(&error) }),
        ReadFault::Pool(error) => Err(error.into()),
    }
}

/// What failed and why: the operator has to tell a bad disk from a missing permission.
fn causes(error: &StoreError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Ordinary folds of everything older than `entry`, which is then the oldest of the tail. Whether it is.
///
/// # Errors
/// A fold failed; those before it stay.
pub fn fold_older<'a>(
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
    entry: WalId,
) -> BoxFuture<'a, Result<bool, IndexingError>> {
    Box::pin(async move {
        loop {
            let Some(record) = ctx.ports.catalog.read_record(path).await? else {
                return Ok(false);
            };
            match record.wal.iter().position(|older| older.id == entry) {
                None => return Ok(false),
                Some(0) => return Ok(true),
                // Dropped means that somebody else has folded: the position says how far.
                Some(older) => fold::fold_once(ctx, path, older).await?,
            };
        }
    })
}

/// Gives up exactly the oldest entry of the tail, if it is `expected`.
///
/// # Errors
/// Nothing was given up.
pub fn quarantine<'a>(
    ctx: &'a Arc<Context>,
    path: &'a IndexPath,
    expected: WalId,
) -> BoxFuture<'a, Result<Outcome, IndexingError>> {
    Box::pin(async move {
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
        let outcome = Publisher::new(ctx, path, record.uuid, manifest.id, &change)
            .run(record)
            .await?;
        // The failures that the entry caused are no reason to wait any longer.
        lease::forget_failures(ctx, path, "quarantine").await;
        Ok(outcome)
    })
}
