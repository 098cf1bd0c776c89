//! DeleteVectors: by key, all or none; or, as an extension, everything that passes a filter, batch by batch.

use std::sync::Arc;

use futures::future::join;
use model::{ApiError, Operation, Strictness, limits};
use storage::IndexPath;
use wire::{Constraints, JsonWriter, Members};

use super::get_vectors::check_key_bytes;
use super::target::IndexMembers;
use crate::access::{self, Ask, Permission};
use crate::query::filter::read_filter;
use crate::query::matched::Matched;
use crate::query::scan::{ScanPage, ScanRequest, scan};
use crate::query::{self, Snapshot};
use crate::write::{self, WriteRow};
use crate::{Context, Input, errors};

/// Keys that one commit of a delete by filter takes.
const BATCH: usize = 5_000;

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    let by_filter = members.has("filter");
    let keys = constraints.keys(&members, "keys", limits::KEYS_PER_DELETE, !by_filter);
    let dry_run = constraints.boolean(&members, "dryRun");
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    check_extensions(ctx.config.strictness, &members)?;
    let ask = Ask::index(ctx, input, Operation::DeleteVectors, &path);
    match members.raw("filter") {
        Some(filter) => {
            // What a filter matches is told by what it deletes.
            access::granted(ctx, ask.also_if(true, Operation::GetVectors)).await?;
            let filter = filter.get().to_owned();
            delete_matching(ctx, input, &path, filter, dry_run.unwrap_or(false)).await
        }
        None => delete_keys(ctx, input, ask, &path, keys.unwrap_or_default()).await,
    }
}

fn check_extensions(strictness: Strictness, members: &Members<'_>) -> Result<(), ApiError> {
    if strictness == Strictness::Strict
        && let Some(member) = ["filter", "dryRun"].into_iter().find(|member| members.has(member))
    {
        return Err(ApiError::extension_refused(member));
    }
    match (members.has("keys"), members.has("filter")) {
        (true, true) => Err(ApiError::validation("Must specify either keys or filter but not both")),
        (true, false) if members.has("dryRun") => Err(ApiError::validation_at(
            "dryRun",
            "dryRun can only be used together with filter",
        )),
        _ => Ok(()),
    }
}

async fn delete_keys(
    ctx: &Arc<Context>,
    input: &Input,
    ask: Ask,
    path: &IndexPath,
    keys: Vec<String>,
) -> Result<Vec<u8>, ApiError> {
    let (permission, judge) = join(Permission::ask(ctx, ask), write::known_index(ctx, path)).await;
    let permission = permission?;
    let judged = async {
        let mut judge = judge?;
        while let Err(refusal) = check_key_bytes(&keys) {
            // Keys are judged without the index, but whether it exists comes first.
            judge = write::appeal(ctx, path, judge, refusal).await?;
        }
        Ok(judge.known)
    };
    let known = match judged.await {
        Ok(known) => known,
        Err(refusal) => return Err(permission.overrule(refusal).await),
    };
    // Keys that do not exist are deleted all the same: looking would cost more than a row in the log.
    let rows = keys.into_iter().map(WriteRow::Delete).collect();
    write::write(ctx, path, known, rows, permission, input.deadline_ms).await?;
    Ok(super::EMPTY.to_vec())
}

/// Deletes what passes the filter, each batch by a look at the index as it is by then. Not atomic: an error in the
/// middle leaves the batches before it deleted, and the same request again goes on. But no batch deletes a version
/// that does not pass (I1): `write::delete_matched` looks again at what has changed since.
async fn delete_matching(
    ctx: &Arc<Context>,
    input: &Input,
    path: &IndexPath,
    filter: String,
    dry_run: bool,
) -> Result<Vec<u8>, ApiError> {
    let mut deleted = 0_u64;
    let mut after = None;
    loop {
        if ctx.now_ms() >= input.deadline_ms {
            return Err(ApiError::request_timeout());
        }
        let snapshot = query::read(ctx, path, input.deadline_ms).await?;
        let (matched, resume_after) = next_batch(ctx, &snapshot, &filter, after).await?;
        deleted += if dry_run {
            matched.keys().len() as u64
        } else {
            write::delete_matched(ctx, path, matched, input.deadline_ms).await?
        };
        if resume_after.is_none() {
            break;
        }
        after = resume_after;
    }
    let mut out = JsonWriter::new();
    out.begin_object().name("deletedCount").unsigned(deleted).end_object();
    Ok(out.finish())
}

/// The next keys that pass the filter, and where to go on.
async fn next_batch(
    ctx: &Arc<Context>,
    snapshot: &Arc<Snapshot>,
    filter: &str,
    after: Option<String>,
) -> Result<(Matched, Option<String>), ApiError> {
    let strictness = ctx.config.strictness;
    let request = ScanRequest {
        after,
        // The index may have been replaced since the batch before, with other keys kept out of filters.
        filter: Some(read_filter(filter, &snapshot.config, strictness)?),
        limit: BATCH,
        ..ScanRequest::default()
    };
    let scanned = {
        let snapshot = Arc::clone(snapshot);
        ctx.pool.run(move || scan(&snapshot, &request)).await
    };
    let page = scanned.map_err(|error| errors::pool(&error))?;
    let ScanPage { rows, resume_after } = page.map_err(|error| errors::engine(&error))?;
    let keys = rows.into_iter().map(|(key, _)| key).collect();
    let matched = Matched::new(filter.to_owned(), strictness, keys, snapshot.uuid, snapshot.end());
    Ok((matched, resume_after))
}
