//! ListVectorBuckets: by name, bytewise, in pages.

use std::sync::Arc;

use model::arn::ResourceArn;
use model::{ApiError, BucketName, Operation};
use serde_json::{Value, json};
use storage::NameEntry;
use wire::{Constraints, Members};

use super::listing::ListMembers;
use super::settings;
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let list = ListMembers::read(&members, &mut constraints, "ListVectorBuckets");
    constraints.finish()?;
    let page = list.page()?;
    access::account(ctx, &Ask::account(input, Operation::ListVectorBuckets)).await?;
    let mut entries = ctx
        .ports
        .catalog
        .list_buckets(&page.names)
        .await
        .map_err(|error| errors::store(&error))?;
    let token = page.cut(None, &mut entries)?;
    let buckets: Vec<Value> = entries.iter().filter_map(|entry| summary(ctx, entry)).collect();
    let mut body = json!({"vectorBuckets": buckets});
    if let (Some(token), Some(object)) = (token, body.as_object_mut()) {
        object.insert("nextToken".to_owned(), json!(token));
    }
    Ok(body.to_string().into_bytes())
}

fn summary(ctx: &Context, entry: &NameEntry) -> Option<Value> {
    let name = BucketName::parse(&entry.name).ok()?;
    Some(json!({
        "vectorBucketName": name.as_str(),
        "vectorBucketArn": ResourceArn::bucket(&ctx.config.region, &name).to_string(),
        "creationTime": settings::epoch_seconds(entry.created_ms),
    }))
}
