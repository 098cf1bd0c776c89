//! The sample events, through the front of their functions, over memory; and what a function refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::pool::Pool;
use lambda::front::{Answered, Door, Front};
use lambda::keys::KeySource;
use lambda::performer::Performer;
use model::{Ids, ManualClock, Operation, OsRandom};
use serde_json::{Value, json};
use service::ops::{self, Perform};
use service::{Config, Context, Ports};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, MemoryStore};
use wire::{KeyRing, Route};

/// The time in the sample events.
const NOW: u64 = 1_795_342_500_000;

async fn front(door: Door) -> Front {
    let ids = Ids::new(Arc::new(ManualClock::new(NOW)), Arc::new(OsRandom::new()));
    let store = MemoryStore::new();
    let catalog = CasCatalog::open(Arc::new(store.clone()), ids.clone()).await.unwrap();
    let ports = Ports {
        objects: Arc::new(store),
        catalog: Arc::new(catalog),
        doorbell: Arc::new(InProcessDoorbell::new().0),
    };
    let pool = Arc::new(Pool::new(1).unwrap());
    Front {
        context: Arc::new(Context::new(ports, ids, pool, Config::default())),
        door,
        public_base_path: String::new(),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sample(operation: Operation) -> Value {
    let file = repository().join(format!("events/{}.json", operation.snake().replace('_', "-")));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

async fn send<O: Perform>(front: &Front, event: Value) -> Answered {
    let event = serde_json::from_value(event).unwrap();
    let performer = Performer::of::<O>();
    front.answer(&performer, event, "request-1", NOW + 30_000).await
}

fn answer(answered: &Answered) -> (u16, Value) {
    let response = serde_json::to_value(&answered.response).unwrap();
    let body = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    (answered.response.status_code, body)
}

/// Sends the samples of these operations, one after the other; each must be answered with this status.
macro_rules! send_samples {
    ($front:expr; $($operation:ident => $status:expr),+ $(,)?) => {{
        $(
            let answered = send::<ops::$operation>($front, sample(Operation::$operation)).await;
            assert_eq!(answer(&answered).0, $status, "{}: {:?}", stringify!($operation), answer(&answered).1);
        )+
        [$(Operation::$operation),+]
    }};
}

#[tokio::test]
async fn each_sample_is_answered() {
    let front = front(Door::Open).await;
    let sent = send_samples!(&front;
        CreateVectorBucket => 200, CreateIndex => 200, GetVectorBucket => 200, GetIndex => 200, ListVectorBuckets => 200,
        ListIndexes => 200, PutVectors => 200, GetVectors => 200, ListVectors => 200, QueryVectors => 200,
        TagResource => 200, ListTagsForResource => 200, UntagResource => 200, PutVectorBucketPolicy => 200,
        GetVectorBucketPolicy => 200, DeleteVectorBucketPolicy => 200, PutVectorBucketDefaultIndexMode => 200,
        UpdateIndexMode => 200, UpdateMetadataConfiguration => 400, DeleteVectors => 200, DeleteIndex => 200,
        DeleteVectorBucket => 200,
    );
    let mut sent = sent.to_vec();
    sent.sort();
    assert_eq!(sent, Operation::ALL);
}

#[tokio::test]
async fn a_query_answers_what_was_put() {
    let front = front(Door::Open).await;
    send_samples!(&front; CreateVectorBucket => 200, CreateIndex => 200, PutVectors => 200);
    let (_, body) = answer(&send::<ops::QueryVectors>(&front, sample(Operation::QueryVectors)).await);
    assert_eq!(
        (&body["vectors"][0]["key"], &body["distanceMetric"]),
        (&json!("sea"), &json!("cosine"))
    );
}

#[tokio::test]
async fn what_is_refused() {
    let open = front(Door::Open).await;
    let mut foreign = sample(Operation::ListVectorBuckets);
    foreign["headers"]["host"] = json!("abc.execute-api.us-east-1.amazonaws.com");
    let refused = send::<ops::ListVectorBuckets>(&open, foreign).await;
    assert_eq!(
        (refused.response.status_code, refused.error),
        (403, "AccessDeniedException")
    );
    let other = send::<ops::GetIndex>(&open, sample(Operation::ListVectorBuckets)).await;
    assert_eq!(
        (other.response.status_code, other.error),
        (404, "UnknownOperationException")
    );
    let iam = front(Door::Iam).await;
    let unknown = send::<ops::ListVectorBuckets>(&iam, sample(Operation::ListVectorBuckets)).await;
    assert_eq!(unknown.response.status_code, 403, "no authorizer");
    let mut known = sample(Operation::ListVectorBuckets);
    known["requestContext"]["authorizer"] = json!({"iam": {"userArn": "arn:aws:iam::123456789012:user/app"}});
    assert_eq!(
        send::<ops::ListVectorBuckets>(&iam, known).await.response.status_code,
        200
    );
    let key = r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p","owner":true}]}"#;
    let keys = KeySource::Fixed(Arc::new(KeyRing::from_json(key).unwrap()));
    let locked = front(Door::Keys(keys)).await;
    let unsigned = send::<ops::ListVectorBuckets>(&locked, sample(Operation::ListVectorBuckets)).await;
    assert_eq!(
        (unsigned.response.status_code, unsigned.error),
        (403, "AccessDeniedException")
    );
}

#[tokio::test]
async fn an_answer_is_out_before_lambda_ends_the_invocation() {
    let front = front(Door::Open).await;
    let event = serde_json::from_value(sample(Operation::ListVectorBuckets)).unwrap();
    // No time is left at all: what could be answered at once is, and nothing waits.
    let answered = front
        .answer(&Performer::of::<ops::ListVectorBuckets>(), event, "request-1", NOW)
        .await;
    assert!(matches!(answered.response.status_code, 200 | 503), "{answered:?}");
}

/// Requests that botocore has signed, as API Gateway hands them on: the path decoded.
#[tokio::test]
async fn signatures_cover_the_path_as_it_was_sent() {
    let golden = std::fs::read_to_string(repository().join("shared/wire/tests/fixtures/sigv4.json"));
    let golden: Value = serde_json::from_str(&golden.unwrap()).unwrap();
    let key = json!({"keys": [{"accessKeyId": golden["access_key_id"], "secretAccessKey": golden["secret_access_key"],
        "principal": "arn:aws:iam::123456789012:user/tester", "owner": true}]});
    let keys = KeySource::Fixed(Arc::new(KeyRing::from_json(&key.to_string()).unwrap()));
    let mut front = front(Door::Keys(keys)).await;
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let text = |member: &str| case[member].as_str().unwrap();
        front.public_base_path = text("base_path").to_owned();
        let headers: Vec<(String, String)> = serde_json::from_value(case["headers"].clone()).unwrap();
        let mut event = sample(Operation::ListVectorBuckets);
        event["rawPath"] = json!(decoded(text("raw_path")));
        event["rawQueryString"] = case["raw_query"].clone();
        event["headers"] = Value::Object(headers.into_iter().map(|(name, value)| (name, json!(value))).collect());
        event["requestContext"]["http"]["method"] = case["method"].clone();
        event["body"] = case["body"].clone();
        let Route::Operation { op, .. } = wire::route(text("method"), text("raw_path"), text("raw_query")).unwrap()
        else {
            panic!("{case}");
        };
        let answered = send_any(&front, op, event.clone()).await;
        assert!(
            answered.error != "AccessDeniedException",
            "{}: {:?}",
            case["name"],
            answer(&answered)
        );
        event["body"] = json!(format!("{} ", text("body")));
        let changed = send_any(&front, op, event).await;
        assert_eq!(changed.error, "AccessDeniedException", "{}", case["name"]);
    }
    assert!(
        cases
            .iter()
            .any(|case| case["raw_path"].as_str().unwrap().contains("%3A"))
    );
}

/// As API Gateway decodes a path.
fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

macro_rules! send_by_name {
    ($front:expr, $operation:expr, $event:expr; $($name:ident)+) => {
        match $operation { $(Operation::$name => send::<ops::$name>($front, $event).await,)+ }
    };
}

async fn send_any(front: &Front, operation: Operation, event: Value) -> Answered {
    send_by_name!(front, operation, event;
        CreateIndex CreateVectorBucket DeleteIndex DeleteVectorBucket DeleteVectorBucketPolicy DeleteVectors GetIndex
        GetVectorBucket GetVectorBucketPolicy GetVectors ListIndexes ListTagsForResource ListVectorBuckets ListVectors
        PutVectorBucketDefaultIndexMode PutVectorBucketPolicy PutVectors QueryVectors TagResource UntagResource
        UpdateIndexMode UpdateMetadataConfiguration)
}
