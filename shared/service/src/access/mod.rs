//! Whether a caller may do what a request asks for (DESIGN section 7): the vector bucket's policy and the access key's
//! own. 403 comes before 404: who may not ask does not learn what exists.
//!
//! Without keys nobody is known, and nothing is judged or read. An owner may do everything that no statement denies,
//! and can always put a bucket's policy right; anybody else needs a statement that allows it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ask`] | what a request wants to do, and on what |
//! | [`judge`] | the verdict of both policies: pure |
//! | [`policies`] | the bucket's policy and the tags that it asks for, read; what is remembered of them |
//! | [`permission`] | verdicts that are on their way while a request is worked on |

mod ask;
mod judge;
mod permission;
mod policies;

use std::sync::Arc;

use format::record::IndexRecord;
use model::{ApiError, BucketName};
use storage::{BucketInfo, IndexPath};

pub(crate) use ask::Ask;
pub(crate) use permission::{Permission, snapshot};
pub(crate) use policies::AccessMemory;

use crate::write::remember;
use crate::{Context, errors};

/// Judges a request on the account: no vector bucket's policy says anything about it.
pub(crate) async fn account(ctx: &Context, ask: &Ask) -> Result<(), ApiError> {
    policies::check(ctx, ask, None).await.map(|_| ())
}

/// The bucket, if the caller may ask; judged by its policy.
///
/// # Errors
/// AccessDenied, then NotFound.
pub(crate) async fn bucket(ctx: &Context, ask: &Ask, name: &BucketName) -> Result<BucketInfo, ApiError> {
    let found = policies::read_bucket(ctx, name).await?;
    let uuid = found.as_ref().map(|bucket| bucket.uuid);
    policies::check(ctx, ask, uuid).await?;
    found.ok_or_else(ApiError::not_found_bucket)
}

/// The index's record, if the caller may ask; judged by its bucket's policy.
///
/// # Errors
/// AccessDenied, then NotFound (also when the bucket is missing).
pub(crate) async fn index(ctx: &Context, ask: &Ask, path: &IndexPath) -> Result<IndexRecord, ApiError> {
    let read = ctx.ports.catalog.read_record(path).await;
    let record = read.map_err(|error| errors::store(&error))?;
    if ask.is_judged() {
        let uuid = match &record {
            Some(record) => {
                remember(ctx, path, record);
                Some(record.bucket_uuid)
            }
            None => policies::read_bucket(ctx, &path.bucket)
                .await?
                .map(|bucket| bucket.uuid),
        };
        policies::check(ctx, ask, uuid).await?;
    }
    record.ok_or_else(ApiError::not_found_index)
}

/// Judges a request on a bucket whose operation reads the bucket by itself.
pub(crate) async fn of_bucket(ctx: &Context, ask: &Ask, name: &BucketName) -> Result<(), ApiError> {
    if ask.is_judged() {
        bucket(ctx, ask, name).await?;
    }
    Ok(())
}

/// Judges a request on an index whose operation reads the record by itself.
pub(crate) async fn of_index(ctx: &Context, ask: &Ask, path: &IndexPath) -> Result<(), ApiError> {
    if ask.is_judged() {
        index(ctx, ask, path).await?;
    }
    Ok(())
}

/// As [`Permission::ask`], awaited: for work that must not begin before the verdict.
pub(crate) async fn granted(ctx: &Arc<Context>, ask: Ask) -> Result<(), ApiError> {
    permission::grounds(ctx, &ask).await.map(|_| ())
}
