//! What this process knows about indexes by path. The uuid and the configuration of an index never change, but the
//! path may have come to name another index: whoever refuses a request by this knowledge asks the record first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use format::record::IndexRecord;
use model::{ApiError, BucketUuid, IndexConfig, IndexUuid, Ulid};
use storage::IndexPath;

use super::row::{WriteRow, check_metadata_of, check_vector_of};
use crate::{Context, errors};

/// Paths remembered; beyond, all are forgotten (each costs one read to learn again).
const REMEMBERED: usize = 16_384;

/// One index as its record showed it once.
#[derive(Debug)]
pub(crate) struct Known {
    /// The index's life.
    pub uuid: IndexUuid,
    /// The bucket that it is in.
    pub bucket: BucketUuid,
    /// What CreateIndex fixed.
    pub config: IndexConfig,
    /// The floor at that time: new ULIDs begin above it.
    pub floor: Ulid,
}

impl Known {
    fn of(record: &IndexRecord) -> Arc<Self> {
        Arc::new(Self {
            uuid: record.uuid,
            bucket: record.bucket_uuid,
            config: record.config.clone(),
            floor: record.floor,
        })
    }
}

/// The knowledge by path.
#[derive(Debug, Default)]
pub(super) struct KnownIndexes(Mutex<HashMap<IndexPath, Arc<Known>>>);

impl KnownIndexes {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<IndexPath, Arc<Known>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An index as a request's rows are judged against it.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The index.
    pub known: Arc<Known>,
    /// Read for this request, not remembered.
    just_read: bool,
}

/// The index at `path`: from memory, else from its record.
pub(crate) async fn known_index(ctx: &Context, path: &IndexPath) -> Result<Judge, ApiError> {
    let remembered = ctx.writes.known.with(|map| map.get(path).cloned());
    match remembered {
        Some(known) => Ok(Judge {
            known,
            just_read: false,
        }),
        None => Ok(Judge {
            known: read_index(ctx, path).await?,
            just_read: true,
        }),
    }
}

/// Another index to judge by after a refusal. A refusal by remembered knowledge is not believed: the path may name a
/// new index that takes these rows (I7), so the record is read.
///
/// # Errors
/// The refusal, when it stands.
pub(crate) async fn appeal(
    ctx: &Context,
    path: &IndexPath,
    judge: Judge,
    refusal: ApiError,
) -> Result<Judge, ApiError> {
    if judge.just_read {
        return Err(refusal);
    }
    let fresh = read_index(ctx, path).await?;
    if fresh.uuid == judge.known.uuid {
        Err(refusal)
    } else {
        Ok(Judge {
            known: fresh,
            just_read: true,
        })
    }
}

/// The index that the record at `path` names now.
pub(super) async fn read_index(ctx: &Context, path: &IndexPath) -> Result<Arc<Known>, ApiError> {
    let record = ctx
        .ports
        .catalog
        .read_record(path)
        .await
        .map_err(|error| errors::store(&error))?;
    match record {
        Some(record) => Ok(remember(ctx, path, &record)),
        None => {
            invalidate(ctx, path);
            Err(ApiError::not_found_index())
        }
    }
}

/// Takes note of a record that was just read.
pub(crate) fn remember(ctx: &Context, path: &IndexPath, record: &IndexRecord) -> Arc<Known> {
    ctx.access.learn(&path.bucket, record.bucket_uuid);
    ctx.writes.known.with(|map| {
        if let Some(known) = map.get(path)
            && known.uuid == record.uuid
            && known.floor >= record.floor
        {
            return Arc::clone(known);
        }
        if map.len() >= REMEMBERED {
            map.clear();
        }
        let known = Known::of(record);
        map.insert(path.clone(), Arc::clone(&known));
        known
    })
}

/// Forgets a path that names nothing any more.
pub(crate) fn invalidate(ctx: &Context, path: &IndexPath) {
    ctx.writes.known.with(|map| map.remove(path));
}

/// Judges rows once more, under another index than they were checked against.
pub(super) fn recheck(rows: &[WriteRow], config: &IndexConfig) -> Result<(), ApiError> {
    for (at, row) in rows.iter().enumerate() {
        if let WriteRow::Put(row) = row {
            check_vector_of(at, row, row.vector.len(), config)?;
            check_metadata_of(at, row, config)?;
        }
    }
    Ok(())
}
