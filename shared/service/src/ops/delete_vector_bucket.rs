//! DeleteVectorBucket: only an empty bucket goes; its tags and policy go with it (they are keyed by its uuid).

use std::sync::Arc;

use model::{ApiError, Operation};
use storage::DeleteBucket;
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::EMPTY;
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::DeleteVectorBucket, &name);
    let bucket = access::bucket(ctx, &ask, &name).await?;
    let deleted = ctx
        .ports
        .catalog
        .delete_bucket(&name, bucket.uuid)
        .await
        .map_err(|error| errors::store(&error))?;
    match deleted {
        DeleteBucket::Deleted => Ok(EMPTY.to_vec()),
        DeleteBucket::Missing => Err(ApiError::not_found_bucket()),
        DeleteBucket::NotEmpty => Err(ApiError::bucket_not_empty()),
    }
}
