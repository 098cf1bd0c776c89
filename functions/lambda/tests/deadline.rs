//! Stores that hang: whatever a function waits for, its answer is out before API Gateway gives up.
//!
//! The clock of the runtime is paused: when all that is left is waiting, it jumps to the next timer. So half a minute
//! costs nothing, and what takes longer than it may cannot hide.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lambda::Settings;
use lambda::front::{Door, Front};
use lambda::keys::KeySource;
use lambda::open;
use lambda::performer::Performer;
use model::Operation;
use serde_json::Value;
use service::ops::{self, Perform};
use storage::aws::{AccessKey, Aws, AwsSettings};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What the issue promises: an answer within 29 s, never a cut connection.
const PROMISED: Duration = Duration::from_secs(29);

/// A server that takes every connection and never says a word.
async fn mute_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await.unwrap());
        }
    });
    format!("http://{address}")
}

async fn front<O: Perform>(auth: &str) -> Front {
    let variables = HashMap::from([
        ("GENAI_VECTORS_TABLE", "catalog".to_owned()),
        ("GENAI_VECTORS_STORAGE", "s3://objects".to_owned()),
        ("GENAI_VECTORS_ACCOUNT", "123456789012".to_owned()),
        ("AWS_ACCESS_KEY_ID", "function".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "role".to_owned()),
        ("GENAI_VECTORS_AUTH", auth.to_owned()),
        ("GENAI_VECTORS_KEYS_SECRET", "keys".to_owned()),
        ("GENAI_VECTORS_FOLD_QUEUE_URL", "http://127.0.0.1:1/fold".to_owned()),
        (
            "GENAI_VECTORS_COMPACT_QUEUE_URL",
            "http://127.0.0.1:1/compact".to_owned(),
        ),
        (
            "GENAI_VECTORS_CACHE_DIR",
            env!("CARGO_TARGET_TMPDIR").to_owned() + "/deadline",
        ),
        ("AWS_ENDPOINT_URL", mute_server().await),
    ]);
    let settings = Settings::read(&|name| variables.get(name).cloned()).unwrap();
    let aws = Aws::load(AwsSettings {
        region: Some("us-east-1".to_owned()),
        key: Some(AccessKey {
            id: "id".to_owned(),
            secret: "secret".to_owned(),
        }),
        endpoints: settings.endpoints.clone(),
        timeouts: open::request_timeouts(),
        ..AwsSettings::default()
    })
    .await;
    let objects = if O::NEEDS.objects() {
        open::objects(&settings, &aws).await.unwrap()
    } else {
        open::no_objects()
    };
    let doorbell = open::doorbell(&settings, &aws).unwrap();
    let context = open::context(&settings, &aws, objects, doorbell, settings.config.clone()).unwrap();
    Front {
        context: Arc::new(context),
        door: if auth == "keys" {
            Door::Keys(KeySource::new(&settings, &aws).unwrap())
        } else {
            Door::Open
        },
        public_base_path: String::new(),
    }
}

/// Status and error of the operation's sample event, and how long they took.
async fn send<O: Perform>(auth: &str) -> (u16, &'static str, Duration) {
    let front = front::<O>(auth).await;
    let name = O::OPERATION.snake().replace('_', "-");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/{name}.json"));
    let event: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let ends_ms = front.context.now_ms() + 30_000;
    let asked = Instant::now();
    let event = serde_json::from_value(event).unwrap();
    let answered = front.answer(&Performer::of::<O>(), event, "request-1", ends_ms).await;
    (answered.response.status_code, answered.error, asked.elapsed())
}

macro_rules! each_operation {
    ($($operation:ident)+) => {{
        let sent = [$((Operation::$operation, send::<ops::$operation>("none").await)),+];
        assert_eq!(sent.len(), Operation::ALL.len());
        sent
    }};
}

#[tokio::test(start_paused = true)]
async fn each_operation_answers_in_time_when_the_stores_hang() {
    let sent = each_operation!(
        CreateIndex CreateVectorBucket DeleteIndex DeleteVectorBucket DeleteVectorBucketPolicy DeleteVectors GetIndex
        GetVectorBucket GetVectorBucketPolicy GetVectors ListIndexes ListTagsForResource ListVectorBuckets ListVectors
        PutVectorBucketDefaultIndexMode PutVectorBucketPolicy PutVectors QueryVectors TagResource UntagResource
        UpdateIndexMode UpdateMetadataConfiguration);
    for (operation, (status, error, took)) in sent {
        assert_eq!((status, error), (503, "ServiceUnavailableException"), "{operation}");
        assert!(took < PROMISED, "{operation}: {took:?}");
        assert!(
            took > open::request_timeouts().answer,
            "{operation}: tried once only, {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_keys_are_answered_in_time() {
    let (status, error, took) = send::<ops::ListVectorBuckets>("keys").await;
    assert_eq!((status, error), (503, "ServiceUnavailableException"));
    assert!(took < PROMISED, "{took:?}");
}

/// All attempts at one request, and those at a second one behind it.
#[tokio::test]
async fn two_requests_with_all_their_attempts_fit() {
    let attempts = AwsSettings::default().attempts;
    assert!(open::request_timeouts().answer * attempts * 2 < PROMISED);
    assert!(open::request_timeouts().transfer * 3 < PROMISED);
}
