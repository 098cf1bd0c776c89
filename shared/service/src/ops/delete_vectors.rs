//! DeleteVectors: by key, all or none; or, as an extension, everything that passes a filter, batch by batch.

use std::sync::Arc;

use model::{ApiError, Strictness, limits};
use storage::IndexPath;
use wire::{Constraints, JsonWriter, Members};

use super::get_vectors::check_key_bytes;
use super::target::IndexMembers;
use crate::query;
use crate::query::filter::read_filter;
use crate::query::scan::{ScanPage, ScanRequest, scan};
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
    match members.raw("filter") {
        Some(filter) => {
            let filter = filter.get().to_owned();
            delete_matching(ctx, input, &path, filter, dry_run.unwrap_or(false)).await
        }
        None => delete_keys(ctx, input, &path, keys.unwrap_or_default()).await,
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
    path: &IndexPath,
    keys: Vec<String>,
) -> Result<Vec<u8>, ApiError> {
    let mut judge = write::known_index(ctx, path).await?;
    while let Err(refusal) = check_key_bytes(&keys) {
        // Keys are judged without the index, but whether it exists comes first.
        judge = write::appeal(ctx, path, judge, refusal).await?;
    }
    // Keys that do not exist are deleted all the same: looking would cost more than a row in the log.
    let rows = keys.into_iter().map(WriteRow::Delete).collect();
    write::write(ctx, path, judge.known, rows, input.deadline_ms).await?;
    Ok(super::EMPTY.to_vec())
}

/// Deletes what passes the filter, each batch by a look at the index as it is by then. Not atomic: an error in the
/// middle leaves the batches before it deleted, and the same request again goes on.
async fn delete_matching(
    ctx: &Arc<Context>,
    input: &Input,
    path: &IndexPath,
    filter: String,
    dry_run: bool,
) -> Result<Vec<u8>, ApiError> {
    let mut deleted = 0_u64;
    let mut request = ScanRequest {
        limit: BATCH,
        ..ScanRequest::default()
    };
    loop {
        if ctx.now_ms() >= input.deadline_ms {
            return Err(ApiError::request_timeout());
        }
        let snapshot = query::read(ctx, path, input.deadline_ms).await?;
        // The index may have been replaced since the batch before, with other keys kept out of filters.
        request.filter = Some(read_filter(&filter, &snapshot.config, ctx.config.strictness)?);
        let page = {
            let request = request.clone();
            let page = ctx
                .pool
                .run(move || scan(&snapshot, &request))
                .await
                .map_err(|error| errors::pool(&error))?;
            page.map_err(|error| errors::engine(&error))?
        };
        let ScanPage { rows, resume_after } = page;
        deleted += rows.len() as u64;
        if !dry_run {
            let known = write::known_index(ctx, path).await?.known;
            let rows = rows.into_iter().map(|(key, _)| WriteRow::Delete(key)).collect();
            write::write(ctx, path, known, rows, input.deadline_ms).await?;
        }
        let Some(after) = resume_after else {
            break;
        };
        request.after = Some(after);
    }
    let mut out = JsonWriter::new();
    out.begin_object().name("deletedCount").unsigned(deleted).end_object();
    Ok(out.finish())
}
