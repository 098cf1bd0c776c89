//! TagResource: adds and overwrites tags of a bucket or an index.

use std::sync::Arc;

use model::tags::check_tags;
use model::{ApiError, OwnerUuid};
use wire::{Constraints, Members};

use super::target::Tagged;
use super::{EMPTY, settings, target};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let tags = settings::tags(&members, &mut constraints, true);
    constraints.finish()?;
    check_tags(&tags)?;
    let owner = owner(ctx, input).await?;
    settings::change_tags(ctx, owner, &tags, &[]).await?;
    Ok(EMPTY.to_vec())
}

/// The uuid of the bucket or index that the route's ARN names.
pub(crate) async fn owner(ctx: &Context, input: &Input) -> Result<OwnerUuid, ApiError> {
    match target::tagged(ctx, input.resource_arn.as_deref())? {
        Tagged::Bucket(name) => {
            let bucket = ctx
                .ports
                .catalog
                .read_bucket(&name)
                .await
                .map_err(|error| errors::store(&error))?
                .ok_or_else(ApiError::not_found_resource)?;
            Ok(bucket.uuid.into())
        }
        Tagged::Index(path) => {
            let record = ctx
                .ports
                .catalog
                .read_record(&path)
                .await
                .map_err(|error| errors::store(&error))?
                .ok_or_else(ApiError::not_found_resource)?;
            Ok(record.uuid.into())
        }
    }
}
