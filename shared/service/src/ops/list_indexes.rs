//! ListIndexes: the indexes of one bucket by name, bytewise, in pages.

use std::sync::Arc;

use model::arn::ResourceArn;
use model::{ApiError, BucketName, IndexName, Operation};
use serde_json::{Value, json};
use storage::NameEntry;
use wire::{Constraints, Members};

use super::listing::ListMembers;
use super::settings;
use super::target::BucketMembers;
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    let list = ListMembers::read(&members, &mut constraints, "ListIndexes");
    constraints.finish()?;
    let bucket = target.resolve(ctx)?;
    let page = list.page()?;
    let ask = Ask::bucket(ctx, input, Operation::ListIndexes, &bucket);
    access::of_bucket(ctx, &ask, &bucket).await?;
    let mut found = ctx
        .ports
        .catalog
        .list_indexes(&bucket, &page.names)
        .await
        .map_err(|error| errors::store(&error))?
        .ok_or_else(ApiError::not_found_bucket)?;
    let token = page.cut(Some(found.bucket), &mut found.indexes)?;
    let indexes: Vec<Value> = found
        .indexes
        .iter()
        .filter_map(|entry| summary(ctx, &bucket, entry))
        .collect();
    let mut body = json!({"indexes": indexes});
    if let (Some(token), Some(object)) = (token, body.as_object_mut()) {
        object.insert("nextToken".to_owned(), json!(token));
    }
    Ok(body.to_string().into_bytes())
}

fn summary(ctx: &Context, bucket: &BucketName, entry: &NameEntry) -> Option<Value> {
    let name = IndexName::parse(&entry.name).ok()?;
    Some(json!({
        "vectorBucketName": bucket.as_str(),
        "indexName": name.as_str(),
        "indexArn": ResourceArn::index(&ctx.config.region, bucket, &name).to_string(),
        "creationTime": settings::epoch_seconds(entry.created_ms),
    }))
}
