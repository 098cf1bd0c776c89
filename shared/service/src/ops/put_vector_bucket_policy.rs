//! PutVectorBucketPolicy: a resource policy is judged for its form and stored as sent.

use std::sync::Arc;

use model::{ApiError, Operation, Policy};
use storage::Attachment;
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::{EMPTY, settings};
use crate::access::{self, Ask};
use crate::{Context, Input};

/// IAM's own bound on a resource policy's text.
const MAX_POLICY_BYTES: usize = 20_480;

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    let policy = constraints.string(&members, "policy", 1..=MAX_POLICY_BYTES, true);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::PutVectorBucketPolicy, &name);
    let bucket = access::bucket(ctx, &ask, &name).await?;
    let policy = policy.unwrap_or_default();
    // What could not be judged later is refused here.
    Policy::parse_resource(&policy)
        .map_err(|fault| ApiError::validation_at("policy", format!("Invalid policy: {fault}")))?;
    for _ in 0..settings::ATTEMPTS {
        let current = settings::read_attachment(ctx, bucket.uuid.into(), Attachment::Policy).await?;
        let expected = current.map(|(_, revision)| revision);
        let owner = bucket.uuid.into();
        let text = Some(policy.clone());
        if settings::write_attachment(ctx, owner, Attachment::Policy, text, expected).await? {
            return Ok(EMPTY.to_vec());
        }
    }
    Err(ApiError::concurrent_change())
}
