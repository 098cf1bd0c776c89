//! CreateVectorBucket: a new, empty vector bucket.

use std::sync::Arc;

use model::arn::ResourceArn;
use model::tags::{Tags, check_tags};
use model::{ApiError, BucketUuid, Encryption, Operation};
use serde_json::json;
use storage::{BucketInfo, CreateBucket};
use wire::{Constraints, Members};

use super::settings::{self, EncryptionMembers};
use super::target;
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let name = constraints.string(&members, "vectorBucketName", target::name_length(), true);
    let encryption = EncryptionMembers::read(&members, &mut constraints);
    let tags = settings::tags(&members, &mut constraints, false);
    constraints.finish()?;
    let name = target::parse_bucket(&name.unwrap_or_default())?;
    check_tags(&tags)?;
    let ask = Ask::bucket(ctx, input, Operation::CreateVectorBucket, &name)
        .also_if(!tags.is_empty(), Operation::TagResource)
        .with_tags(&tags);
    let ask = encryption.describe(ask);
    let encryption = encryption.resolve()?;
    access::account(ctx, &ask).await?;
    let bucket = BucketInfo {
        name,
        uuid: BucketUuid(ctx.ids.uuid()),
        created_ms: ctx.now_ms(),
        encryption: encryption.unwrap_or(Encryption::Aes256),
    };
    create(ctx, &bucket, &tags).await?;
    let arn = ResourceArn::bucket(&ctx.config.region, &bucket.name).to_string();
    Ok(json!({"vectorBucketArn": arn}).to_string().into_bytes())
}

/// Tags are stored first, under the new uuid: a bucket is never seen without the tags it was created with. Before them
/// existence is looked at, so that a refusal leaves nothing; only a create that dies or loses a race after that leaves a
/// document that nothing names (ARCHITECTURE.md, "Local mode's catalog").
async fn create(ctx: &Context, bucket: &BucketInfo, tags: &Tags) -> Result<(), ApiError> {
    let catalog = &ctx.ports.catalog;
    if !tags.is_empty() {
        let present = catalog.read_bucket(&bucket.name).await;
        if present.map_err(|error| errors::store(&error))?.is_some() {
            return Err(ApiError::bucket_exists());
        }
        settings::change_tags(ctx, bucket.uuid.into(), tags, &[]).await?;
    }
    let created = catalog.create_bucket(bucket).await;
    match created.map_err(|error| errors::store(&error))? {
        CreateBucket::Created => Ok(()),
        CreateBucket::Exists => Err(ApiError::bucket_exists()),
    }
}
