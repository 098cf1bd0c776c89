//! A create that is refused leaves nothing in the store, whatever came with it; one that loses a race shows nothing of
//! its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use bytes::Bytes;
use genai_vectors_service::{Config, Input, Service};
use model::Operation::{CreateIndex, CreateVectorBucket, ListTagsForResource};
use model::{ApiError, Operation};
use serde_json::{Value, json};
use storage::MemoryStore;
use support::{World, call};
use wire::Caller;

fn request(operation: Operation, name: &str) -> Value {
    match operation {
        CreateVectorBucket => json!({"vectorBucketName": name}),
        _ => json!({"vectorBucketName": "books", "indexName": name, "dataType": "float32", "dimension": 2,
            "distanceMetric": "cosine"}),
    }
}

fn tagged(operation: Operation, name: &str, tag: &str) -> Value {
    let mut body = request(operation, name);
    body["tags"] = json!({"by": tag});
    body
}

/// The tags of bucket `name`, or of index `name` in `books`.
async fn tags(service: &Service, operation: Operation, name: &str) -> Value {
    let place = match operation {
        CreateVectorBucket => format!("bucket/{name}"),
        _ => format!("bucket/books/index/{name}"),
    };
    let input = Input {
        body: Bytes::new(),
        resource_arn: Some(format!("arn:aws:s3vectors:us-east-1:123456789012:{place}")),
        tag_keys: Vec::new(),
        caller: Caller::anonymous_owner(),
        deadline_ms: service.context().now_ms() + 30_000,
    };
    let answer = service.call(ListTagsForResource, &input).await.unwrap();
    serde_json::from_slice::<Value>(&answer).unwrap()["tags"].clone()
}

#[tokio::test]
async fn a_name_that_is_taken() {
    let world = World::new(Config::default()).await;
    world.create_index("idx", 2, "cosine", &[]).await;
    let before = world.store.names();
    for (operation, name) in [(CreateVectorBucket, "books"), (CreateIndex, "idx")] {
        for body in [request(operation, name), tagged(operation, name, "late")] {
            let refused = world.call(operation, body).await.unwrap_err();
            assert!(matches!(refused, ApiError::Conflict { .. }), "{refused:?}");
        }
        assert_eq!(tags(&world.service, operation, name).await, json!({}));
    }
    assert_eq!(world.store.names(), before);
}

#[tokio::test]
async fn a_bucket_that_is_missing() {
    let world = World::new(Config::default()).await;
    let before = world.store.names();
    let refused = world.call(CreateIndex, tagged(CreateIndex, "idx", "nobody")).await;
    assert!(matches!(refused, Err(ApiError::NotFound { .. })), "{refused:?}");
    assert_eq!(world.store.names(), before);
}

/// Both may have seen the name free: one wins, and its tags are the ones that are seen.
#[tokio::test]
async fn two_at_the_same_time() {
    let world = World::over(MemoryStore::with_yields(), Config::default()).await;
    let other = world.second().await;
    call(&other, CreateVectorBucket, &request(CreateVectorBucket, "books"))
        .await
        .unwrap();
    for operation in [CreateVectorBucket, CreateIndex] {
        for trial in 0..20 {
            let name = format!("name-{trial}");
            let (one, two) = (tagged(operation, &name, "one"), tagged(operation, &name, "two"));
            let (one, two) = tokio::join!(call(&world.service, operation, &one), call(&other, operation, &two));
            assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
            let winner = if one.is_ok() { "one" } else { "two" };
            assert_eq!(tags(&other, operation, &name).await, json!({"by": winner}));
        }
    }
}
