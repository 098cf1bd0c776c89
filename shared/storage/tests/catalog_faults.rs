//! The CAS catalog when storage calls fail: every single fault is cured inside the call, every crash by trying again.
//!
//! The scenario is run once to count its storage calls, then once per call and kind of fault.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use format::{IndexRecord, ManifestRef, RECORD_SCHEMA, WalEntry};
use genai_vectors_storage as storage;
use model::{
    BucketName, BucketUuid, Dimension, DistanceMetric, Encryption, Ids, IndexConfig, IndexName, IndexUuid, ManifestId,
    ManifestVersion, ManualClock, SeededRandom, Ulid, WalId,
};
use storage::layers::faults::{Fault, FaultPlan, FaultStore, When};
use storage::{
    Append, Attachment, BucketInfo, CasCatalog, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket,
    DeleteIndex, IndexPath, MemoryStore, NamePage, ObjectStore, Publish, StoreError, Tombstone, WriteAttachment, paths,
};
use uuid::Uuid;

fn bucket(number: u128) -> BucketInfo {
    BucketInfo {
        name: BucketName::parse("bucket").unwrap(),
        uuid: BucketUuid(Uuid::from_u128(number)),
        created_ms: 5,
        encryption: Encryption::Aes256,
    }
}

fn record(bucket: &BucketInfo, uuid: u128) -> IndexRecord {
    IndexRecord {
        schema: RECORD_SCHEMA,
        bucket: bucket.name.clone(),
        index: IndexName::parse("index").unwrap(),
        uuid: IndexUuid(Uuid::from_u128(uuid)),
        bucket_uuid: bucket.uuid,
        created_ms: 6,
        config: IndexConfig {
            dimension: Dimension::new(2).unwrap(),
            metric: DistanceMetric::Cosine,
            non_filterable_keys: None,
            encryption: Encryption::Aes256,
        },
        manifest: None,
        wal: Vec::new(),
        wal_base: 0,
        tail_kib: 0,
        floor: Ulid::NIL,
        dirty_since_ms: None,
        lease: None,
    }
}

fn path() -> IndexPath {
    IndexPath {
        bucket: BucketName::parse("bucket").unwrap(),
        index: IndexName::parse("index").unwrap(),
    }
}

fn append(uuid: u128, base: u64, number: u64) -> Append {
    let entry = WalEntry {
        id: WalId(Ulid::from_parts(number, 0)),
        rows: 1,
        kib: 1,
    };
    Append {
        uuid: IndexUuid(Uuid::from_u128(uuid)),
        base,
        end: None,
        entry,
        now_ms: number,
    }
}

fn publish(uuid: u128, fold: usize) -> Publish {
    let id = ManifestId(Ulid::from_parts(300, 0));
    Publish {
        uuid: IndexUuid(Uuid::from_u128(uuid)),
        old: None,
        new: ManifestRef {
            version: ManifestVersion(1),
            id,
        },
        fold,
        fold_kib: fold as u64,
        oldest_new: id.0,
        clear_dirty: false,
    }
}

const STEPS: usize = 17;

/// One step; `retried`: an earlier attempt may have taken effect, which only deletions show.
async fn step(catalog: &dyn Catalog, number: usize, retried: bool) -> Result<(), StoreError> {
    let (one, two) = (bucket(1), bucket(2));
    let old = IndexUuid(Uuid::from_u128(10));
    let wrote = |outcome: WriteAttachment| assert!(outcome == WriteAttachment::Done || retried);
    match number {
        0 => assert_eq!(catalog.create_bucket(&one).await?, CreateBucket::Created),
        1 => assert_eq!(catalog.create_index(&record(&one, 10)).await?, CreateIndex::Created),
        2 => assert_eq!(catalog.append(&path(), &append(10, 0, 201)).await?, Commit::Done),
        3 => assert_eq!(catalog.append(&path(), &append(10, 0, 202)).await?, Commit::Done),
        4 => assert_eq!(catalog.publish(&path(), &publish(10, 1)).await?, Commit::Done),
        5 => assert_eq!(catalog.append(&path(), &append(10, 1, 203)).await?, Commit::Done),
        6 => {
            let floor = Ulid::from_parts(250, 0);
            assert_eq!(catalog.raise_floor(&path(), old, floor).await?.unwrap().floor, floor);
        }
        7 => wrote(
            catalog
                .write_attachment(old.into(), Attachment::Tags, Some("{}".to_owned()), None)
                .await?,
        ),
        8 => {
            let read = catalog.read_record(&path()).await?.unwrap();
            assert_eq!(read.wal, [append(10, 0, 202).entry, append(10, 0, 203).entry]);
        }
        9 => {
            let deleted = catalog.delete_index(&path(), old, 400).await?;
            assert!(deleted == DeleteIndex::Deleted || retried && deleted == DeleteIndex::Missing);
        }
        10 => assert_eq!(catalog.read_record(&path()).await?, None),
        11 => assert_eq!(catalog.create_index(&record(&one, 11)).await?, CreateIndex::Created),
        12 => {
            let deleted = catalog
                .delete_index(&path(), IndexUuid(Uuid::from_u128(11)), 500)
                .await?;
            assert!(deleted == DeleteIndex::Deleted || retried && deleted == DeleteIndex::Missing);
        }
        13 => {
            let deleted = catalog.delete_bucket(&one.name, one.uuid).await?;
            assert!(deleted == DeleteBucket::Deleted || retried && deleted == DeleteBucket::Missing);
        }
        14 => assert_eq!(catalog.create_bucket(&two).await?, CreateBucket::Created),
        15 => assert_eq!(catalog.create_index(&record(&two, 12)).await?, CreateIndex::Created),
        _ => {
            assert_eq!(catalog.append(&path(), &append(12, 0, 600)).await?, Commit::Done);
            let clear = ClearDirty {
                uuid: IndexUuid(Uuid::from_u128(12)),
                manifest: None,
            };
            assert!(matches!(
                catalog.clear_dirty(&path(), &clear).await?,
                Commit::Refused(Some(_))
            ));
        }
    }
    Ok(())
}

/// What every run must end in, seen by a catalog that remembers nothing.
async fn check_end(store: Arc<dyn ObjectStore>) {
    let catalog = open(store).await.unwrap();
    let read = catalog.read_record(&path()).await.unwrap().unwrap();
    let entry = append(12, 0, 600).entry;
    let expected = IndexRecord {
        wal: vec![entry],
        tail_kib: 1,
        dirty_since_ms: Some(600),
        ..record(&bucket(2), 12)
    };
    assert_eq!(read, expected);
    assert_eq!(catalog.list_all_indexes().await.unwrap(), [(path(), expected.uuid)]);
    assert_eq!(catalog.list_dirty().await.unwrap().len(), 1);
    let page = NamePage {
        limit: 10,
        ..NamePage::default()
    };
    assert_eq!(catalog.list_buckets(&page).await.unwrap().len(), 1);
    let tombstone = |uuid, deleted_ms| Tombstone {
        uuid: IndexUuid(Uuid::from_u128(uuid)),
        deleted_ms,
    };
    assert_eq!(
        catalog.list_tombstones().await.unwrap(),
        [tombstone(10, 400), tombstone(11, 500)]
    );
    let owner = IndexUuid(Uuid::from_u128(10)).into();
    let (text, _) = catalog.read_attachment(owner, Attachment::Tags).await.unwrap().unwrap();
    assert_eq!(text, "{}");
}

async fn open(store: Arc<dyn ObjectStore>) -> Result<CasCatalog, storage::cas::OpenCatalogError> {
    // Every opening draws other nonces, as every process does.
    static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let seed = SEED.fetch_add(1 << 32, std::sync::atomic::Ordering::Relaxed);
    let ids = Ids::new(Arc::new(ManualClock::new(1000)), Arc::new(SeededRandom::new(seed)));
    CasCatalog::open(store, ids).await
}

fn faulty() -> (MemoryStore, FaultStore) {
    let memory = MemoryStore::new();
    let store = FaultStore::new(Arc::new(memory.clone()), FaultPlan::new());
    (memory, store)
}

async fn count_calls() -> u64 {
    let (_, store) = faulty();
    let catalog = open(Arc::new(store.clone())).await.unwrap();
    for number in 0..STEPS {
        step(&catalog, number, false).await.unwrap();
    }
    store.plan().count()
}

/// A lost answer, before or after the effect, a request that comes twice or late: no caller notices.
#[tokio::test(start_paused = true)]
async fn one_fault_is_cured_inside_the_call() {
    let total = count_calls().await;
    assert!(total > 60, "{total}");
    // Opening is over first: the probe must not be lenient.
    for number in 1..=total {
        for kind in 0..6 {
            let (memory, store) = faulty();
            let catalog = open(Arc::new(store.clone())).await.unwrap();
            let opened = store.plan().count();
            if number <= opened {
                continue;
            }
            match kind {
                0 => store.plan().fail_at(number, When::Before, Fault::Unknown),
                1 => store.plan().fail_at(number, When::After, Fault::Unknown),
                2 => store.plan().fail_at(number, When::Before, Fault::Throttled),
                3 => store.plan().duplicate_at(number, 1),
                4 => store.plan().duplicate_at(number, 3),
                _ => store.plan().delay_at(number, 2),
            }
            for number in 0..STEPS {
                step(&catalog, number, false).await.unwrap();
            }
            store.deliver_late().await;
            check_end(Arc::new(memory)).await;
        }
    }
}

/// I5: a crash at any call, and another one at any call of the recovery.
#[tokio::test(start_paused = true)]
async fn crashes_need_no_repair() {
    let total = count_calls().await;
    for first in 1..=total {
        for second in (1..=total).step_by(5) {
            for when in [When::Before, When::After] {
                let (memory, store) = faulty();
                store.plan().crash_at(first, when);
                store.plan().crash_at(first + second, when);
                run_with_restarts(&store).await;
                check_end(Arc::new(memory)).await;
            }
        }
    }
}

async fn run_with_restarts(store: &FaultStore) {
    let mut number = 0;
    let mut retried = false;
    loop {
        store.plan().revive();
        let Ok(catalog) = open(Arc::new(store.clone())).await else {
            continue;
        };
        while number < STEPS {
            match step(&catalog, number, retried).await {
                Ok(()) => (number, retried) = (number + 1, false),
                Err(error) => {
                    assert!(error.is_unknown(), "{error}");
                    break;
                }
            }
        }
        if number == STEPS {
            return;
        }
        retried = true;
    }
}

/// A full disk is an error without effect; the same call succeeds when there is space again.
#[tokio::test(start_paused = true)]
async fn a_full_disk_changes_nothing() {
    let (memory, store) = faulty();
    let catalog = open(Arc::new(store.clone())).await.unwrap();
    for number in 0..STEPS {
        let before = memory.snapshot();
        store.plan().set_disk_full(true);
        let outcome = step(&catalog, number, false).await;
        if let Err(error) = outcome {
            assert!(matches!(error, StoreError::Full { .. }), "step {number}: {error}");
            assert_same(&before, &memory).await;
        }
        store.plan().set_disk_full(false);
        step(&catalog, number, false).await.unwrap();
    }
    check_end(Arc::new(memory)).await;
}

async fn assert_same(before: &MemoryStore, after: &MemoryStore) {
    assert_eq!(before.names(), after.names());
    for name in before.names() {
        assert_eq!(before.get(&name).await.unwrap(), after.get(&name).await.unwrap());
    }
}

/// An append whose answer was lost, folded before anybody looked: the record cannot say, so nor does the catalog.
#[tokio::test(start_paused = true)]
async fn a_lost_append_that_was_folded_is_unknown() {
    let memory = MemoryStore::new();
    let store = FaultStore::new(Arc::new(memory.clone()), FaultPlan::new());
    let catalog = open(Arc::new(store.clone())).await.unwrap();
    let indexer = open(Arc::new(memory.clone())).await.unwrap();
    for number in 0..3 {
        step(&catalog, number, false).await.unwrap();
    }
    let next = store.plan().count() + 1;
    store.plan().fail_at(next, When::After, Fault::Unknown);
    // The read that would decide comes a second late: time for a fold.
    store
        .plan()
        .set_latency_of("read_tagged", std::time::Duration::from_secs(1));
    let path = path();
    let lost = append(10, 0, 202);
    let (outcome, folded) = tokio::join!(catalog.append(&path, &lost), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        indexer.publish(&path, &publish(10, 2)).await
    });
    assert_eq!(folded.unwrap(), Commit::Done);
    assert!(outcome.unwrap_err().is_unknown());
    // The same, folded up to the entry before it: still there, so committed.
    assert_eq!(catalog.append(&path, &append(10, 2, 301)).await.unwrap(), Commit::Done);
}

/// A store that another kind of catalog belongs to, or none, is refused.
#[tokio::test]
async fn the_marker_decides() {
    use format::CatalogDocument;
    let memory = MemoryStore::new();
    let ids = Ids::new(Arc::new(ManualClock::new(1)), Arc::new(SeededRandom::new(1)));
    let error = CasCatalog::open_read_only(Arc::new(memory.clone()), ids.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no genai-vectors store"), "{error}");
    let marker = format::CatalogMarker {
        schema: format::CATALOG_SCHEMA,
        kind: format::CatalogKind::Dynamodb,
        id: "table".to_owned(),
        created_ms: 1,
    };
    memory
        .create(&paths::catalog_marker(), marker.encode().unwrap())
        .await
        .unwrap();
    let error = open(Arc::new(memory.clone())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "this store's catalog is a DynamoDB table, not documents in the store itself"
    );
    let error = CasCatalog::open_read_only(Arc::new(memory), ids).await.unwrap_err();
    assert!(error.to_string().contains("DynamoDB"), "{error}");
    let broken = MemoryStore::new();
    broken
        .create(&paths::catalog_marker(), Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert!(open(Arc::new(broken)).await.is_err());
}

/// Reading beside a server writes nothing, not even the end of somebody's deletion.
#[tokio::test(start_paused = true)]
async fn reading_beside_a_server_writes_nothing() {
    let (memory, store) = faulty();
    let catalog = open(Arc::new(store.clone())).await.unwrap();
    for number in 0..9 {
        step(&catalog, number, false).await.unwrap();
    }
    // The deletion dies right after its commit.
    store.plan().crash_at(store.plan().count() + 1, When::After);
    assert!(step(&catalog, 9, false).await.unwrap_err().is_unknown());
    let before = memory.snapshot();
    let ids = Ids::new(Arc::new(ManualClock::new(1)), Arc::new(SeededRandom::new(9)));
    let reader = CasCatalog::open_read_only(Arc::new(memory.clone()), ids).await.unwrap();
    let page = NamePage {
        limit: 10,
        ..NamePage::default()
    };
    assert_eq!(reader.read_record(&path()).await.unwrap(), None);
    assert_eq!(reader.list_all_indexes().await.unwrap(), []);
    let listed = reader.list_indexes(&bucket(1).name, &page).await.unwrap().unwrap();
    assert_eq!(listed.indexes, []);
    assert_same(&before, &memory).await;
    // A server finishes it in passing.
    let server = open(Arc::new(memory.clone())).await.unwrap();
    assert_eq!(server.list_all_indexes().await.unwrap(), []);
    assert_eq!(server.list_tombstones().await.unwrap().len(), 1);
}
