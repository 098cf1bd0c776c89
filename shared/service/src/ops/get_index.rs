//! GetIndex: what an index is, and (as extra members) how much it holds.

use std::sync::Arc;

use format::record::IndexRecord;
use model::{ApiError, Operation};
use model::arn::ResourceArn;
use serde_json::{Value, json};
use wire::{Constraints, Members};

use super::settings;
use super::target::IndexMembers;
use crate::access::{self, Ask};
use crate::{Context, Input, query};

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = IndexMembers::read(&members, &mut constraints);
    constraints.finish()?;
    let path = target.resolve(ctx)?;
    access::of_index(ctx, &Ask::index(ctx, input, Operation::GetIndex, &path), &path).await?;
    let (record, size) = query::index_size(ctx, &path).await?;
    let mut index = description(ctx, &record);
    if let Some(object) = index.as_object_mut() {
        object.insert("vectorCount".to_owned(), json!(size.vectors));
        object.insert("unindexedCount".to_owned(), json!(size.unindexed));
        object.insert("sizeBytes".to_owned(), json!(size.bytes));
        object.insert("indexedCount".to_owned(), json!(size.indexed));
        // As the builder measured it; absent while everything is scanned exactly.
        if let Some([ten, hundred]) = size.recall {
            object.insert("measuredRecall".to_owned(), json!({"at10": ten, "at100": hundred}));
        }
    }
    Ok(json!({"index": index}).to_string().into_bytes())
}

fn description(ctx: &Context, record: &IndexRecord) -> Value {
    let arn = ResourceArn::index(&ctx.config.region, &record.bucket, &record.index);
    let config = &record.config;
    let mut index = json!({
        "vectorBucketName": record.bucket.as_str(),
        "indexName": record.index.as_str(),
        "indexArn": arn.to_string(),
        "creationTime": settings::epoch_seconds(record.created_ms),
        "dataType": "float32",
        "dimension": config.dimension.get(),
        "distanceMetric": config.metric.as_str(),
        "encryptionConfiguration": settings::encryption_json(&config.encryption),
        "indexMode": "ENHANCED",
    });
    // Absent when none was set, as the service answers.
    if let (Some(keys), Some(object)) = (&config.non_filterable_keys, index.as_object_mut()) {
        object.insert(
            "metadataConfiguration".to_owned(),
            json!({"nonFilterableMetadataKeys": keys}),
        );
    }
    index
}
