//! Names, records and entries for the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use format::{IndexRecord, ManifestRef, RECORD_SCHEMA, WalEntry};
use model::{
    BucketName, BucketUuid, Dimension, DistanceMetric, Encryption, Ids, IndexConfig, IndexName, IndexUuid, ManifestId,
    ManifestVersion, OsRandom, SystemClock, Ulid, WalId,
};

use crate::catalog::{Append, BucketInfo, Catalog, CreateBucket, CreateIndex, IndexPath, Publish};
use crate::paths::ObjectName;

/// Tasks in a race.
pub(super) const RACERS: usize = 32;

/// Makes names that no other run of the suite uses.
pub(super) struct Samples {
    pub(super) ids: Ids,
    run: u64,
    next: AtomicU64,
}

impl Samples {
    pub(super) fn new() -> Self {
        let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
        Self {
            run: ids.nonce(),
            ids,
            next: AtomicU64::new(0),
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A prefix for objects, with a slash at its end.
    pub(super) fn prefix(&self) -> String {
        format!("v1/conformance-{:016x}/{}/", self.run, self.number())
    }

    pub(super) fn bucket_name(&self) -> BucketName {
        BucketName::parse(&format!("c-{:016x}-{}", self.run, self.number())).unwrap()
    }

    pub(super) fn bucket(&self) -> BucketInfo {
        let encryption = Encryption::Aes256;
        let uuid = BucketUuid(self.ids.uuid());
        BucketInfo {
            name: self.bucket_name(),
            uuid,
            created_ms: self.ids.now_ms(),
            encryption,
        }
    }

    pub(super) fn record(&self, bucket: &BucketInfo, index: &str) -> IndexRecord {
        IndexRecord {
            schema: RECORD_SCHEMA,
            bucket: bucket.name.clone(),
            index: IndexName::parse(index).unwrap(),
            uuid: IndexUuid(self.ids.uuid()),
            bucket_uuid: bucket.uuid,
            created_ms: self.ids.now_ms(),
            config: IndexConfig {
                dimension: Dimension::new(3).unwrap(),
                metric: DistanceMetric::Cosine,
                non_filterable_keys: Some(vec!["text".to_owned()]),
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

    /// A new bucket, in the catalog.
    pub(super) async fn new_bucket(&self, catalog: &Arc<dyn Catalog>) -> BucketInfo {
        let bucket = self.bucket();
        assert_eq!(catalog.create_bucket(&bucket).await.unwrap(), CreateBucket::Created);
        bucket
    }

    /// A new index in a bucket of its own.
    pub(super) async fn new_index(&self, catalog: &Arc<dyn Catalog>) -> (IndexPath, IndexRecord) {
        let bucket = self.new_bucket(catalog).await;
        let record = self.record(&bucket, "index");
        assert_eq!(catalog.create_index(&record).await.unwrap(), CreateIndex::Created);
        (path(&record), record)
    }

    pub(super) fn append(&self, record: &IndexRecord) -> Append {
        let entry = WalEntry {
            id: WalId(self.ids.ulid(record.floor)),
            rows: 2,
            kib: 3,
        };
        Append {
            uuid: record.uuid,
            base: record.wal_base,
            end: None,
            entry,
            now_ms: self.ids.now_ms(),
        }
    }

    /// The fold of the first `fold` entries of a record.
    pub(super) fn publish(&self, record: &IndexRecord, fold: usize) -> Publish {
        let version = record.manifest.map_or(0, |manifest| manifest.version.0) + 1;
        let id = self.ids.ulid(record.floor);
        Publish {
            uuid: record.uuid,
            old: record.manifest,
            new: ManifestRef {
                version: ManifestVersion(version),
                id: ManifestId(id),
            },
            fold,
            fold_kib: record.wal[..fold].iter().map(|entry| u64::from(entry.kib)).sum(),
            oldest_new: id,
            clear_dirty: false,
        }
    }
}

pub(super) fn path(record: &IndexRecord) -> IndexPath {
    IndexPath {
        bucket: record.bucket.clone(),
        index: record.index.clone(),
    }
}

pub(super) fn name(prefix: &str, rest: impl std::fmt::Display) -> ObjectName {
    ObjectName::from_stored(format!("{prefix}{rest}"))
}

/// Bytes that are easy to check and do not compress.
pub(super) fn pattern(length: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}
