//! The conformance suite against real servers. They are started by the tests (infra/servers.py); without the feature
//! `servers` the tests show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use genai_vectors_storage as storage;
use model::{Ids, OsRandom, SystemClock};
use rstest::rstest;
use servers::Server;
use storage::aws::{DynamoCatalog, DynamoSettings, S3Location, S3Settings, S3Store};
use storage::conformance::{self, Names};
use storage::{CasCatalog, Catalog, MemoryStore, ObjectStore};

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
