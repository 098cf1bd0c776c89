//! PutVectors: upserts up to 500 vectors, all or none.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join;
use model::{ApiError, IndexConfig, Metadata, MetadataFault, MetadataLimits, Operation, Strictness, limits};
use storage::IndexPath;
use wire::{Constraints, PutRecord, parse_put_vectors};

use super::target::IndexMembers;
use crate::access::{Ask, Permission};
use crate::write::{self, Judge, Known, PutRow, WriteRow, check_metadata_of, check_vector_of};
use crate::{Context, Input, errors};

/// Bodies up to this are parsed where they arrive: it takes less than handing them to the pool is worth.
const INLINE_BYTES: usize = 64 * 1024;

/// A record in its stored form, not yet judged by the index's configuration. Its metadata is not kept parsed: that
/// takes many times the memory of its text.
#[derive(Debug)]
struct Record {
    row: PutRow,
    /// Values that were sent; of too many not all are kept.
    vector_length: usize,
    /// What the metadata counts for, or what is wrong with it in any index.
    metadata_size: Result<usize, MetadataFault>,
}

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let large = input.body.len() > INLINE_BYTES;
    let (path, records) = on_cpu(ctx, large, {
        let (ctx, body) = (Arc::clone(ctx), input.body.clone());
        move || parse(&ctx, &body)
    })
    .await?;
    let records = Arc::new(records);
    let ask = Ask::index(ctx, input, Operation::PutVectors, &path);
    let (permission, judge) = join(Permission::ask(ctx, ask), write::known_index(ctx, &path)).await;
    let permission = permission?;
    let known = match judged(ctx, &path, judge, &records, large).await {
        Ok(known) => known,
        Err(refusal) => return Err(permission.overrule(refusal).await),
    };
    // The check's own clone is gone: nothing is copied here.
    let records = Arc::try_unwrap(records).map_err(|_| errors::internal())?;
    write::write(ctx, &path, known, newest(records), permission, input.deadline_ms).await?;
    Ok(super::EMPTY.to_vec())
}

/// The index that takes the records.
async fn judged(
    ctx: &Context,
    path: &IndexPath,
    judge: Result<Judge, ApiError>,
    records: &Arc<Vec<Record>>,
    large: bool,
) -> Result<Arc<Known>, ApiError> {
    let strictness = ctx.config.strictness;
    let mut judge = judge?;
    loop {
        let (records, known) = (Arc::clone(records), Arc::clone(&judge.known));
        match on_cpu(ctx, large, move || check(&records, &known.config, strictness)).await {
            Ok(()) => return Ok(judge.known),
            Err(refusal) => judge = write::appeal(ctx, path, judge, refusal).await?,
        }
    }
}

/// Runs `work` on the pool when it is large, else here.
async fn on_cpu<T: Send + 'static>(
    ctx: &Context,
    large: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if large {
        ctx.pool.run(work).await.map_err(|error| errors::pool(&error))?
    } else {
        work()
    }
}

/// Everything that can be said without the index: JSON, constraints, identifiers.
fn parse(ctx: &Context, body: &Bytes) -> Result<(IndexPath, Vec<Record>), ApiError> {
    let body = parse_put_vectors(body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&body.members, &mut constraints);
    body.check(&mut constraints);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    let records = body.records.into_iter().map(Record::of).collect();
    Ok((path, records))
}

impl Record {
    fn of(record: PutRecord<'_>) -> Self {
        let (json, metadata_size) = match record.metadata.map(|json| read_metadata(json.get())) {
            None => (None, Ok(0)),
            Some(Ok((json, size))) => (json, Ok(size)),
            Some(Err(fault)) => (None, Err(fault)),
        };
        Self {
            row: PutRow {
                key: record.key.into_owned(),
                vector: record.vector,
                metadata: json,
            },
            vector_length: record.vector_length,
            metadata_size,
        }
    }
}

/// The form in which metadata is stored (none for an empty object), and what it counts for.
fn read_metadata(json: &str) -> Result<(Option<String>, usize), MetadataFault> {
    let metadata = Metadata::parse_within(json, &MetadataLimits::default())?;
    let json = (!metadata.is_empty()).then(|| metadata.to_json());
    Ok((json, metadata.size()))
}

/// The rules of the index, record by record in the order sent: the first bad one is named, nothing is stored.
fn check(records: &[Record], config: &IndexConfig, strictness: Strictness) -> Result<(), ApiError> {
    for (at, record) in records.iter().enumerate() {
        let row = &record.row;
        if row.key.len() > limits::KEY_MAX_BYTES {
            return Err(ApiError::key_too_long(format!("vectors[{at}].key")));
        }
        check_vector_of(at, row, record.vector_length, config)?;
        match &record.metadata_size {
            // Small enough for any index, and the number of keys was judged when it was read.
            Ok(size) if *size <= limits::FILTERABLE_METADATA_BYTES => {}
            Ok(_) => check_metadata_of(at, row, config)?,
            Err(fault) => return Err(ApiError::invalid_record_metadata(at, &row.key, fault)),
        }
    }
    if strictness == Strictness::Strict && positions(records).len() < records.len() {
        return Err(ApiError::duplicate_keys());
    }
    Ok(())
}

fn positions(records: &[Record]) -> HashMap<&str, usize> {
    records
        .iter()
        .enumerate()
        .map(|(at, record)| (record.row.key.as_str(), at))
        .collect()
}

/// The rows to write: of a key that was sent twice, the last one.
fn newest(records: Vec<Record>) -> Vec<WriteRow> {
    let last = positions(&records);
    if last.len() == records.len() {
        return records.into_iter().map(|record| WriteRow::Put(record.row)).collect();
    }
    let mut keep = vec![false; records.len()];
    for at in last.into_values() {
        if let Some(keep) = keep.get_mut(at) {
            *keep = true;
        }
    }
    let kept = records.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|(record, _)| WriteRow::Put(record.row)).collect()
}
