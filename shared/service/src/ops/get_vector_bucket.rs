//! GetVectorBucket: what a vector bucket is.

use std::sync::Arc;

use model::{ApiError, Operation};
use model::arn::ResourceArn;
use serde_json::json;
use wire::{Constraints, Members};

use super::settings;
use super::target::BucketMembers;
use crate::access::{self, Ask};
use crate::{Context, Input};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let ask = Ask::bucket(ctx, input, Operation::GetVectorBucket, &name);
    let bucket = access::bucket(ctx, &ask, &name).await?;
    let body = json!({"vectorBucket": {
        "vectorBucketName": bucket.name.as_str(),
        "vectorBucketArn": ResourceArn::bucket(&ctx.config.region, &bucket.name).to_string(),
        "creationTime": settings::epoch_seconds(bucket.created_ms),
        "encryptionConfiguration": settings::encryption_json(&bucket.encryption),
        "defaultIndexMode": "ENHANCED",
    }});
    Ok(body.to_string().into_bytes())
}
