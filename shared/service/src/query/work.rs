//! CPU work over a snapshot that may find rows missing: shards can be without their `rows.parquet`. Then it pauses and
//! says what it needs, that is read, and it goes on. Where all files are mapped nothing is ever missing, and the work is
//! one job of the pool.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::topk::Place;
use engine::{EngineError, PickedVectors};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::ApiError;

use super::objects::ReadFault;
use super::ranges;
use super::snapshot::Snapshot;
use crate::{Context, errors};

/// Shards that one request reads rows of at a time.
const SHARD_READS: usize = 8;

/// Why work has stopped.
#[derive(Debug)]
pub(crate) enum Pause {
    /// It goes on once these rows are there.
    Missing(Wanted),
    /// It has failed.
    Failed(ApiError),
}

impl From<ApiError> for Pause {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<EngineError> for Pause {
    fn from(error: EngineError) -> Self {
        Self::Failed(errors::engine(&error))
    }
}

/// Rows that work needs, by the shard's position in the snapshot.
#[derive(Debug, Default)]
pub(crate) struct Wanted(BTreeMap<usize, WantedRows>);

/// What is needed of one shard's `rows.parquet`.
#[derive(Debug, Default)]
pub(crate) struct WantedRows {
    /// All of it.
    pub is_whole: bool,
    /// The vectors of these rows.
    pub vectors: Vec<u32>,
    /// The metadata of these rows.
    pub metadata: Vec<u32>,
}

impl Wanted {
    /// What is needed of the shard at this position.
    pub(crate) fn of(&mut self, shard: usize) -> &mut WantedRows {
        self.0.entry(shard).or_default()
    }

    /// Whether nothing is needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rows that were read for work, of shards that are without their `rows.parquet`.
#[derive(Debug)]
pub(crate) struct Fetched {
    vectors: Vec<PickedVectors>,
    metadata: HashMap<(usize, u32), Option<String>>,
}

impl Fetched {
    /// Nothing was read yet, of so many shards.
    pub(crate) fn nothing(shards: usize) -> Self {
        Self {
            vectors: vec![PickedVectors::default(); shards],
            metadata: HashMap::new(),
        }
    }

    /// Takes what was read, by the shard's position. Metadata of an earlier pause has been written out by now, and is let
    /// go. CPU work.
    fn take(&mut self, read: Vec<(usize, ranges::Rows)>) {
        self.metadata.clear();
        for (position, rows) in read {
            let metadata = rows.metadata.into_iter().map(|(row, text)| ((position, row), text));
            self.metadata.extend(metadata);
            if let Some(vectors) = self.vectors.get_mut(position) {
                *vectors = std::mem::take(vectors).merge(rows.vectors);
            }
        }
    }

    /// The vectors, by shard.
    pub(crate) fn vectors(&self) -> &[PickedVectors] {
        &self.vectors
    }

    /// The row's vector.
    pub(crate) fn vector(&self, shard: usize, row: u32) -> Option<&[u8]> {
        self.vectors.get(shard)?.get(row)
    }

    /// The row's metadata, which may be none; the outer `None` when it was not read.
    pub(crate) fn metadata(&self, shard: usize, row: u32) -> Option<&Option<String>> {
        self.metadata.get(&(shard, row))
    }
}

/// Runs the work that `begin` makes over the snapshot that `read` takes. When a file has been collected meanwhile,
/// another snapshot is taken and the work begun anew.
pub(crate) async fn run<T, W, R>(
    ctx: &Arc<Context>,
    deadline_ms: u64,
    read: impl Fn() -> R,
    begin: impl Fn() -> W,
) -> Result<(T, Arc<Snapshot>), ApiError>
where
    R: Future<Output = Result<Arc<Snapshot>, ApiError>>,
    T: Send + 'static,
    W: FnMut(&Snapshot, &Fetched) -> Result<T, Pause> + Send + 'static,
{
    let mut before: Option<(Arc<Snapshot>, ReadFault)> = None;
    loop {
        let snapshot = read().await?;
        if let Some((seen, fault)) = before
            && seen.uuid == snapshot.uuid
            && seen.manifest.version == snapshot.manifest.version
        {
            // Nothing has replaced it: the object is lost.
            return Err(fault.into_api());
        }
        match over(ctx, &snapshot, deadline_ms, begin()).await {
            Ok(Ok(answer)) => return Ok((answer, snapshot)),
            Ok(Err(error)) => return Err(error),
            Err(ReadFault::Missing(name)) => {
                tracing::debug!(object = %name, "an object was collected while ranges of it were read");
                before = Some((snapshot, ReadFault::Missing(name)));
            }
            Err(fault) => return Err(fault.into_api()),
        }
        if ctx.now_ms() >= deadline_ms {
            return Err(ApiError::request_timeout());
        }
    }
}

/// Runs the work to its end over one snapshot.
async fn over<T, W>(
    ctx: &Arc<Context>,
    snapshot: &Arc<Snapshot>,
    deadline_ms: u64,
    work: W,
) -> Result<Result<T, ApiError>, ReadFault>
where
    T: Send + 'static,
    W: FnMut(&Snapshot, &Fetched) -> Result<T, Pause> + Send + 'static,
{
    let job = |mut work: W, mut fetched: Fetched, read: Vec<(usize, ranges::Rows)>| {
        let snapshot = Arc::clone(snapshot);
        move || {
            fetched.take(read);
            let outcome = work(&snapshot, &fetched);
            (work, fetched, outcome)
        }
    };
    let first = job(work, Fetched::nothing(snapshot.shards.len()), Vec::new());
    let (mut work, mut fetched, mut outcome) = ctx.pool.run(first).await.map_err(ReadFault::Pool)?;
    loop {
        let wanted = match outcome {
            Ok(answer) => return Ok(Ok(answer)),
            Err(Pause::Failed(error)) => return Ok(Err(error)),
            Err(Pause::Missing(wanted)) => wanted,
        };
        if ctx.now_ms() >= deadline_ms {
            return Ok(Err(ApiError::request_timeout()));
        }
        let read = fetch(ctx, snapshot, wanted).await?;
        let next = job(work, fetched, read);
        (work, fetched, outcome) = ctx.pool.run_next(next).await.map_err(ReadFault::Pool)?;
    }
}

/// Reads what is wanted; by the shard's position.
async fn fetch(
    ctx: &Arc<Context>,
    snapshot: &Snapshot,
    wanted: Wanted,
) -> Result<Vec<(usize, ranges::Rows)>, ReadFault> {
    let reads: Vec<_> = wanted
        .0
        .into_iter()
        .filter_map(|(position, wanted)| {
            let entry = snapshot.manifest.shards.get(position)?;
            let shard = snapshot.shards.get(position)?;
            Some(async move {
                let rows = ranges::read(ctx, snapshot.uuid, entry, shard, wanted).await?;
                Ok::<_, ReadFault>((position, rows))
            })
        })
        .collect();
    stream::iter(reads).buffered(SHARD_READS).try_collect().await
}

impl Snapshot {
    /// The shard and row of a place whose file is not there.
    pub(super) fn unattached(&self, place: Place) -> Option<(usize, u32)> {
        match place {
            Place::Shard { shard, row } if self.shards.get(shard).is_some_and(|shard| !shard.has_rows()) => {
                Some((shard, row))
            }
            _ => None,
        }
    }
}
