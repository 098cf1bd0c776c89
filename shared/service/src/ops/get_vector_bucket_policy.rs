//! GetVectorBucketPolicy: the stored policy's text.

use std::sync::Arc;

use model::{ApiError, Operation};
use serde_json::json;
use storage::Attachment;
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::settings;
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::GetVectorBucketPolicy, &name);
    let bucket = access::bucket(ctx, &ask, &name).await?;
    let (policy, _) = settings::read_attachment(ctx, bucket.uuid.into(), Attachment::Policy)
        .await?
        .ok_or_else(ApiError::not_found_policy)?;
    Ok(json!({"policy": policy}).to_string().into_bytes())
}
