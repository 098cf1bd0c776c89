use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use format::{IndexRecord, RECORD_SCHEMA, WalEntry};
use model::{Dimension, DistanceMetric, Encryption, IndexConfig, IndexName, ManualClock, SeededRandom, WalId};
use rstest::rstest;
use uuid::Uuid;

use super::*;
use crate::layers::metering::{Meter, MeteredStore};
use crate::memory::MemoryStore;
use crate::objects::{ETag, ObjectMeta};
use crate::paths::ObjectName;

fn ids(seed: u64) -> Ids {
    Ids::new(Arc::new(ManualClock::new(1000)), Arc::new(SeededRandom::new(seed)))
}

fn record(index: &str) -> IndexRecord {
    IndexRecord {
        schema: RECORD_SCHEMA,
        bucket: BucketName::parse("bucket").unwrap(),
        index: IndexName::parse(index).unwrap(),
        uuid: IndexUuid(Uuid::from_u128(7)),
        bucket_uuid: BucketUuid(Uuid::from_u128(1)),
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

async fn with_bucket(catalog: &CasCatalog) -> BucketInfo {
    let bucket = BucketInfo {
        name: BucketName::parse("bucket").unwrap(),
        uuid: BucketUuid(Uuid::from_u128(1)),
        created_ms: 5,
        encryption: Encryption::Aes256,
    };
    assert_eq!(catalog.create_bucket(&bucket).await.unwrap(), CreateBucket::Created);
    bucket
}

fn append(number: u64) -> Append {
    let entry = WalEntry {
        id: WalId(Ulid::from_parts(number, 0)),
        rows: 1,
        kib: 1,
    };
    Append {
        uuid: IndexUuid(Uuid::from_u128(7)),
        base: 0,
        end: None,
        entry,
        now_ms: number,
    }
}

/// A warm write costs one read and one swap, a warm read one read: what the latency on S3 is made of.
#[tokio::test]
async fn warm_calls_cost_one_request_each() {
    let meter = Meter::new();
    let store = Arc::new(MeteredStore::new(Arc::new(MemoryStore::new()), meter.clone()));
    let catalog = CasCatalog::open(store, ids(1)).await.unwrap();
    with_bucket(&catalog).await;
    assert_eq!(
        catalog.create_index(&record("index")).await.unwrap(),
        CreateIndex::Created
    );
    let path = IndexPath {
        bucket: record("index").bucket,
        index: record("index").index,
    };
    catalog.read_record(&path).await.unwrap();
    let spent = |before: u64| meter.total().calls - before;
    let before = meter.total().calls;
    catalog.read_record(&path).await.unwrap();
    assert_eq!(spent(before), 1);
    for number in 1..4 {
        let before = meter.usage();
        catalog.read_record(&path).await.unwrap();
        assert_eq!(catalog.append(&path, &append(number)).await.unwrap(), Commit::Done);
        let after = meter.usage();
        let calls = |method: &str| after[method].calls - before[method].calls;
        assert_eq!((calls("read_tagged"), calls("replace")), (1, 1));
        assert_eq!(
            meter.total().calls,
            before.values().map(|usage| usage.calls).sum::<u64>() + 2
        );
    }
    let before = meter.total().calls;
    catalog.read_bucket(&path.bucket).await.unwrap();
    assert_eq!(spent(before), 1);
}

/// A swap on a version that is not the newest costs one more read, and loses nothing.
#[tokio::test]
async fn a_stale_memory_is_only_a_bad_guess() {
    let store = MemoryStore::new();
    let one = CasCatalog::open(Arc::new(store.clone()), ids(1)).await.unwrap();
    let other = CasCatalog::open(Arc::new(store), ids(2)).await.unwrap();
    with_bucket(&one).await;
    one.create_index(&record("index")).await.unwrap();
    let path = IndexPath {
        bucket: record("index").bucket,
        index: record("index").index,
    };
    for number in 1..20 {
        let catalog = if number % 3 == 0 { &one } else { &other };
        assert_eq!(catalog.append(&path, &append(number)).await.unwrap(), Commit::Done);
    }
    let wal = one.read_record(&path).await.unwrap().unwrap().wal;
    assert_eq!(wal, (1..20).map(|number| append(number).entry).collect::<Vec<_>>());
}

/// A refused creation, foreseen or not, writes nothing: not even a document that nothing names.
#[tokio::test]
async fn a_bucket_has_only_so_many_indexes() {
    let config = CasConfig {
        indexes_per_bucket: 2,
        ..CasConfig::default()
    };
    let store = MemoryStore::new();
    let catalog = CasCatalog::open_with(Arc::new(store.clone()), ids(1), config)
        .await
        .unwrap();
    with_bucket(&catalog).await;
    for (number, name, expected) in [
        (10, "index-10", CreateIndex::Created),
        (11, "index-11", CreateIndex::Created),
        (12, "index-12", CreateIndex::TooMany),
        (13, "index-10", CreateIndex::Exists),
    ] {
        let record = IndexRecord {
            uuid: IndexUuid(Uuid::from_u128(number)),
            ..record(name)
        };
        let before = store.names();
        assert_eq!(catalog.foresee_index(&record).await.unwrap(), expected);
        assert_eq!(store.names(), before);
        assert_eq!(catalog.create_index(&record).await.unwrap(), expected);
        assert_eq!(store.names() == before, expected != CreateIndex::Created);
    }
}

/// An earlier attempt of the same creation succeeded, and the index was deleted before it was tried again.
#[tokio::test]
async fn a_creation_that_has_had_its_time_is_no_refusal() {
    let config = CasConfig {
        indexes_per_bucket: 1,
        ..CasConfig::default()
    };
    let catalog = CasCatalog::open_with(Arc::new(MemoryStore::new()), ids(1), config)
        .await
        .unwrap();
    with_bucket(&catalog).await;
    let first = record("index");
    let path = IndexPath {
        bucket: first.bucket.clone(),
        index: first.index.clone(),
    };
    assert_eq!(catalog.create_index(&first).await.unwrap(), CreateIndex::Created);
    let deleted = catalog.delete_index(&path, first.uuid, 9).await.unwrap();
    assert_eq!(deleted, DeleteIndex::Deleted);
    let second = IndexRecord {
        uuid: IndexUuid(Uuid::from_u128(8)),
        ..record("other")
    };
    assert_eq!(catalog.create_index(&second).await.unwrap(), CreateIndex::Created);
    assert_eq!(catalog.create_index(&first).await.unwrap(), CreateIndex::Created);
    assert_eq!(catalog.read_record(&path).await.unwrap(), None);
}

/// No two versions of a document have the same bytes, even when the same thing is written again.
#[tokio::test]
async fn etags_never_recur() {
    let store = MemoryStore::new();
    let catalog = CasCatalog::open(Arc::new(store.clone()), ids(1)).await.unwrap();
    let owner = OwnerUuid::from(BucketUuid(Uuid::from_u128(1)));
    let name = paths::catalog_attachment(owner, Attachment::Tags);
    let mut seen = std::collections::HashSet::new();
    let mut revision = None;
    for round in 0..20 {
        let text = (round % 2 == 0).then(|| "same".to_owned());
        let written = catalog
            .write_attachment(owner, Attachment::Tags, text, revision)
            .await
            .unwrap();
        assert_eq!(written, WriteAttachment::Done);
        revision = catalog
            .read_attachment(owner, Attachment::Tags)
            .await
            .unwrap()
            .map(|(_, revision)| revision);
        let (_, etag) = store.read_tagged(&name).await.unwrap();
        assert!(seen.insert(etag), "round {round}");
    }
}

/// How a server that calls itself compatible misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    CreateTwice,
    StaleMatch,
    MissingMatch,
    RefuseAll,
    RefuseAndWrite,
}

#[derive(Debug)]
struct Liar {
    inner: MemoryStore,
    lie: Lie,
    replaced: AtomicBool,
}

impl Liar {
    async fn overwrite(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.inner.delete(std::slice::from_ref(name)).await?;
        self.inner.create(name, bytes).await
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &ObjectName, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, range).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.inner.delete(names).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.inner.read_tagged(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        if self.lie == Lie::CreateTwice {
            self.overwrite(name, bytes).await
        } else {
            self.inner.create(name, bytes).await
        }
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        let answer = self.inner.replace(name, bytes.clone(), expected).await;
        let is_first = !self.replaced.swap(true, Ordering::SeqCst);
        match (self.lie, answer) {
            (Lie::RefuseAll, _) => Err(StoreError::conflict(name)),
            (Lie::StaleMatch, Err(StoreError::Conflict { .. })) => self.overwrite(name, bytes).await,
            (Lie::MissingMatch, Err(StoreError::NotFound { .. })) => self.inner.create(name, bytes).await,
            (Lie::RefuseAndWrite, Err(error)) if !is_first => {
                self.overwrite(name, bytes).await?;
                Err(error)
            }
            (_, answer) => answer,
        }
    }
}

#[rstest]
#[case::create_twice(Lie::CreateTwice, "If-None-Match is ignored")]
#[case::stale(Lie::StaleMatch, "a stale If-Match is ignored")]
#[case::missing(Lie::MissingMatch, "If-Match on a missing name is ignored")]
#[case::refuses(Lie::RefuseAll, "does not replace an object whose ETag is the current one")]
#[case::both(Lie::RefuseAndWrite, "refuses a conditional write and makes it nevertheless")]
#[tokio::test]
async fn stores_that_ignore_conditions_are_refused(#[case] lie: Lie, #[case] reason: &str) {
    let inner = MemoryStore::new();
    let liar = Liar {
        inner: inner.clone(),
        lie,
        replaced: AtomicBool::new(false),
    };
    let error = CasCatalog::open(Arc::new(liar), ids(1)).await.unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
    assert!(inner.names().is_empty(), "nothing stays behind: {:?}", inner.names());
}

#[tokio::test]
async fn an_honest_store_passes_and_nothing_of_the_probe_stays() {
    let store = MemoryStore::new();
    probe::probe(&store, &ids(1)).await.unwrap();
    assert!(store.names().is_empty());
    // Opening the same store again finds its marker.
    CasCatalog::open(Arc::new(store.clone()), ids(2)).await.unwrap();
    let names = store.names();
    CasCatalog::open(Arc::new(store.clone()), ids(3)).await.unwrap();
    assert_eq!(store.names(), names);
}
