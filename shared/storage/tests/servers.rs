//! The conformance suite against real servers. They are started by the tests (infra/servers.py); without the feature
//! `servers` the tests show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{BucketName, Ids, IndexName, IndexUuid, OsRandom, SystemClock, Ulid, WalId};
use rstest::rstest;
use serde_json::{Value, json};
use servers::Server;
use storage::aws::{DynamoCatalog, DynamoSettings, QueueUrls, S3Location, S3Settings, S3Store, SqsDoorbell};
use storage::conformance::{self, Names};
use storage::layers::faults::{FaultPlan, FaultStore, When};
use storage::{CasCatalog, Catalog, Doorbell, IndexPath, MemoryStore, ObjectStore, Ring, Work, paths};

fn ids() -> Ids {
    Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()))
}

/// A store under a prefix of its own in a new bucket.
async fn s3(server: &Server, settings: S3Settings) -> S3Store {
    let number = ids().nonce();
    let location: S3Location = format!("s3://conformance-{number:016x}/some/prefix").parse().unwrap();
    let store = S3Store::new(&server.aws().await, location, settings);
    store.prepare(true).await.unwrap();
    store
}

#[rstest]
#[case::minio("minio", Names::OfStores)]
#[case::ministack("ministack", Names::All)]
#[case::seaweedfs("seaweedfs", Names::OfStores)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn s3_objects(#[case] name: &str, #[case] names: Names) {
    let server = Server::start(name);
    let settings = S3Settings::default();
    let part_bytes = settings.part_bytes;
    let store = s3(&server, settings).await;
    conformance::run_object_store_in(names, || {
        let store = store.clone();
        async move { Arc::new(store) as Arc<dyn ObjectStore> }
    })
    .await;
    conformance::run_around(&store, part_bytes).await;
}

#[rstest]
#[case::minio("minio")]
#[case::ministack("ministack")]
#[case::seaweedfs("seaweedfs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn s3_catalog(#[case] name: &str) {
    let server = Server::start(name);
    let store: Arc<dyn ObjectStore> = Arc::new(s3(&server, S3Settings::default()).await);
    conformance::run_catalog(|| {
        let store = Arc::clone(&store);
        async move { Arc::new(CasCatalog::open(store, ids()).await.unwrap()) as Arc<dyn Catalog> }
    })
    .await;
}

/// A catalog in a new table, claimed for a store in memory. Each handle is one of its own.
async fn dynamodb(server: &Server, table: &str, store: &MemoryStore) -> DynamoCatalog {
    let catalog = DynamoCatalog::new(&server.aws().await, table, ids(), DynamoSettings::default());
    catalog.verify(store, true).await.unwrap();
    catalog
}

#[rstest]
#[case::dynoxide("dynoxide")]
#[case::dynamodb_local("dynamodb-local")]
#[case::ministack("ministack")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn dynamodb_catalog(#[case] name: &str) {
    let server = Server::start(name);
    let store = MemoryStore::new();
    conformance::run_catalog(|| async { Arc::new(dynamodb(&server, "vectors", &store).await) as Arc<dyn Catalog> })
        .await;
}

/// A table and a store that belong together open each other; any other pair is refused, and changes nothing.
#[tokio::test]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn tables_belong_to_stores() {
    let server = Server::start("dynoxide");
    let aws = server.aws().await;
    let catalog = |table: &str| DynamoCatalog::new(&aws, table, ids(), DynamoSettings::default());
    let (store, stranger) = (MemoryStore::new(), MemoryStore::new());
    let ours = catalog("ours");
    assert!(
        ours.verify_read_only(&store).await.is_err(),
        "nothing is claimed by looking"
    );
    let error = ours.verify(&store, false).await.unwrap_err();
    assert!(error.to_string().contains("table ours does not exist"), "{error}");
    assert!(store.names().is_empty());
    for _ in 0..2 {
        ours.verify(&store, true).await.unwrap();
        ours.verify_read_only(&store).await.unwrap();
    }
    for refused in [
        ours.verify(&stranger, true).await,
        catalog("other").verify(&store, true).await,
        catalog("other").verify_read_only(&store).await,
    ] {
        refused.unwrap_err();
    }
    assert!(stranger.names().is_empty());
    // Restored under another name, both still know each other.
    let copy = store.snapshot();
    ours.verify(&copy, false).await.unwrap();
    // Died after the store was claimed and before the table was.
    let plan = FaultPlan::new();
    let interrupted = FaultStore::new(Arc::new(stranger.clone()), plan.clone());
    plan.crash_at(4, When::Before);
    catalog("theirs").verify(&interrupted, true).await.unwrap_err();
    assert_eq!(stranger.names().len(), 1, "{:?}", plan.calls());
    catalog("theirs").verify(&stranger, true).await.unwrap();
    catalog("theirs").verify_read_only(&stranger).await.unwrap();
    // A store with objects whose records are in another table.
    let used = MemoryStore::new();
    catalog("first").verify(&used, true).await.unwrap();
    used.put(&paths::wal(IndexUuid(ids().uuid()), WalId(Ulid::NIL)), Bytes::new())
        .await
        .unwrap();
    let claimed = MemoryStore::new();
    plan.revive();
    let interrupted = FaultStore::new(Arc::new(claimed.clone()), plan.clone());
    plan.crash_at(plan.count() + 4, When::Before);
    catalog("free").verify(&interrupted, true).await.unwrap_err();
    let error = catalog("free").verify(&used, true).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not the one that this store's catalog is in"),
        "{error}"
    );
    // Made for each other by a template, and used before anybody claimed them.
    let made = MemoryStore::new();
    made.put(&paths::wal(IndexUuid(ids().uuid()), WalId(Ulid::NIL)), Bytes::new())
        .await
        .unwrap();
    catalog("free").verify(&made, false).await.unwrap_err();
    for _ in 0..2 {
        catalog("free").adopt(&made).await.unwrap();
        catalog("free").verify_read_only(&made).await.unwrap();
    }
    catalog("free").verify(&made, false).await.unwrap();
    catalog("free").adopt(&used).await.unwrap_err();
    catalog("ours").adopt(&made).await.unwrap_err();
    catalog("missing").adopt(&made).await.unwrap_err();
}

/// One unsigned call of the SQS API, which the server allows.
fn sqs(server: &Server, action: &str, body: &Value) -> Value {
    let address = server.endpoint().strip_prefix("http://").unwrap();
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {address}\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(json).unwrap_or_else(|_| panic!("{answer}"))
}

/// Each ring is one message on the queue of its work, and says where the work is.
#[tokio::test]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn sqs_doorbell() {
    let server = Server::start("ministack");
    let queue = |name: &str| {
        let created = sqs(&server, "CreateQueue", &json!({ "QueueName": name }));
        created["QueueUrl"].as_str().unwrap().to_owned()
    };
    let queues = QueueUrls {
        fold: queue("fold"),
        compact: queue("compact"),
    };
    let doorbell = SqsDoorbell::new(&server.aws().await, queues.clone());
    let ring = |kind: Work| Ring {
        path: IndexPath {
            bucket: BucketName::parse("bucket").unwrap(),
            index: IndexName::parse("index").unwrap(),
        },
        uuid: IndexUuid(uuid::Uuid::from_u128(7)),
        kind,
    };
    for (kind, url) in [(Work::Fold, &queues.fold), (Work::Compact, &queues.compact)] {
        doorbell.ring(&ring(kind)).await.unwrap();
        let received = sqs(
            &server,
            "ReceiveMessage",
            &json!({"QueueUrl": url, "MaxNumberOfMessages": 10}),
        );
        let [message] = received["Messages"].as_array().unwrap().as_slice() else {
            panic!("one message: {received}");
        };
        let body: Ring = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        assert_eq!(body, ring(kind));
    }
    let nowhere = QueueUrls {
        fold: format!("{}-gone", queues.fold),
        ..queues
    };
    let error = SqsDoorbell::new(&server.aws().await, nowhere)
        .ring(&ring(Work::Fold))
        .await
        .unwrap_err();
    let cause = storage::aws::AwsError::of(&error).unwrap();
    assert!(cause.to_string().contains("does not exist"), "{cause}");
}
