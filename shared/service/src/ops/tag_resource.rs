//! TagResource: adds and overwrites tags of a bucket or an index.

use std::sync::Arc;

use model::tags::check_tags;
use model::{ApiError, Operation, OwnerUuid};
use wire::{Constraints, Members};

use super::target::Tagged;
use super::{EMPTY, settings, target};
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let tags = settings::tags(&members, &mut constraints, true);
    constraints.finish()?;
    check_tags(&tags)?;
    let wish = |ask: Ask| ask.with_tags(&tags);
    let owner = owner(ctx, input, Operation::TagResource, wish).await?;
    settings::change_tags(ctx, owner, &tags, &[]).await?;
    Ok(EMPTY.to_vec())
}

/// The uuid of the bucket or index that the route's ARN names, if the caller may do this with it. `complete` adds to
/// the question what the request says.
pub(crate) async fn owner(
    ctx: &Context,
    input: &Input,
    operation: Operation,
    complete: impl FnOnce(Ask) -> Ask,
) -> Result<OwnerUuid, ApiError> {
    let found = match target::tagged(ctx, input.resource_arn.as_deref())? {
        Tagged::Bucket(name) => {
            let ask = complete(Ask::bucket(ctx, input, operation, &name));
            access::bucket(ctx, &ask, &name).await.map(|bucket| bucket.uuid.into())
        }
        Tagged::Index(path) => {
            let ask = complete(Ask::index(ctx, input, operation, &path));
            access::index(ctx, &ask, &path).await.map(|record| record.uuid.into())
        }
    };
    found.map_err(|error| match error {
        ApiError::NotFound { .. } => ApiError::not_found_resource(),
        other => other,
    })
}
