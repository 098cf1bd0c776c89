//! DeleteVectorBucketPolicy: idempotent, as the service model marks it.

use std::sync::Arc;

use model::{ApiError, Operation};
use storage::Attachment;
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::{EMPTY, settings};
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::DeleteVectorBucketPolicy, &name);
    let owner = access::bucket(ctx, &ask, &name).await?.uuid.into();
    for _ in 0..settings::ATTEMPTS {
        let current = settings::read_attachment(ctx, owner, Attachment::Policy).await?;
        let Some((_, revision)) = current else {
            return Ok(EMPTY.to_vec());
        };
        let expected = Some(revision);
        if settings::write_attachment(ctx, owner, Attachment::Policy, None, expected).await? {
            return Ok(EMPTY.to_vec());
        }
    }
    Err(ApiError::concurrent_change())
}
