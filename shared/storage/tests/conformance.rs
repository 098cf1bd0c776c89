//! The conformance suite against every adapter of this crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use genai_vectors_storage as storage;
use model::{Ids, OsRandom, SystemClock};
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::layers::faults::{FaultCatalog, FaultPlan, FaultStore};
use storage::layers::metering::{Meter, MeteredStore};
use storage::local::Directory;
use storage::{CasCatalog, Catalog, MemoryStore, ObjectName, ObjectStore, conformance};

fn ids() -> Ids {
    Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()))
}

async fn check_objects(store: Arc<dyn ObjectStore>) {
    conformance::run_object_store(|| {
        let store = Arc::clone(&store);
        async move { store }
    })
    .await;
}

/// Each handle is a catalog of its own, with its own memory of what it has seen.
async fn check_catalog(store: Arc<dyn ObjectStore>) {
    conformance::run_catalog(|| {
        let store = Arc::clone(&store);
        async move { Arc::new(CasCatalog::open(store, ids()).await.unwrap()) as Arc<dyn Catalog> }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_objects() {
    check_objects(Arc::new(MemoryStore::new())).await;
    check_objects(Arc::new(MemoryStore::with_yields())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_catalog() {
    check_catalog(Arc::new(MemoryStore::new())).await;
    check_catalog(Arc::new(MemoryStore::with_yields())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn directory_objects() {
    let folder = tempfile::tempdir().unwrap();
    check_objects(Arc::new(Directory::open(folder.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn directory_catalog() {
    let folder = tempfile::tempdir().unwrap();
    check_catalog(Arc::new(Directory::open(folder.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrapped_objects() {
    let faulty = FaultStore::new(Arc::new(MemoryStore::with_yields()), FaultPlan::new());
    check_objects(Arc::new(MeteredStore::new(Arc::new(faulty), Meter::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrapped_catalog() {
    let plan = FaultPlan::new();
    plan.set_latency_of("replace", Duration::from_micros(200));
    let store: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan));
    conformance::run_catalog(|| {
        let store = Arc::clone(&store);
        async move {
            let catalog = CasCatalog::open(store, ids()).await.unwrap();
            Arc::new(FaultCatalog::new(Arc::new(catalog), FaultPlan::new())) as Arc<dyn Catalog>
        }
    })
    .await;
}

/// Every object of the suite but the documents, which change.
fn immutable(name: &ObjectName) -> bool {
    let documents = ["document.json", "race.json", "counter"];
    !documents.iter().any(|document| name.as_str().ends_with(document))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_objects() {
    const MIB: u64 = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let unusable = folder.path().join("file");
    std::fs::write(&unusable, "not a directory").unwrap();
    let roomy = DiskCacheConfig::new(folder.path().join("roomy"), 1024 * MIB);
    let keeps = immutable;
    for config in [
        roomy.clone(),
        DiskCacheConfig { keeps, ..roomy },
        DiskCacheConfig {
            keeps,
            ..DiskCacheConfig::new(folder.path().join("small"), MIB / 8)
        },
        DiskCacheConfig {
            keeps,
            ..DiskCacheConfig::new(folder.path().join("none"), 0)
        },
        DiskCacheConfig {
            keeps,
            ..DiskCacheConfig::new(unusable.join("cache"), MIB)
        },
    ] {
        let store = Arc::new(MemoryStore::with_yields());
        check_objects(Arc::new(DiskCache::open(store, config).await)).await;
    }
}
