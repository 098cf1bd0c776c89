//! How many commits per second a directory takes: `cargo run --release -p genai-vectors-storage --example commits -- DIR`.
//!
//! A commit is what a write costs: one WAL object, the record read beside it, then the record's swap.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::{IndexRecord, ManifestRef, RECORD_SCHEMA, WalEntry};
use genai_vectors_storage as storage;
use model::{
    BucketName, BucketUuid, Clock, Dimension, DistanceMetric, Encryption, Ids, IndexConfig, IndexName, IndexUuid,
    ManifestId, ManifestVersion, OsRandom, SystemClock, Ulid, WalId,
};
use storage::local::Directory;
use storage::{Append, BucketInfo, CasCatalog, Catalog, Commit, IndexPath, ObjectStore, Publish, paths};

const TIME: Duration = Duration::from_secs(3);

struct Bench {
    store: Arc<dyn ObjectStore>,
    catalog: CasCatalog,
    ids: Ids,
    bucket: BucketInfo,
    clock: SystemClock,
}

#[tokio::main]
async fn main() {
    let directory = std::env::args().nth(1).expect("the directory to write to");
    let clock = SystemClock::new();
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let store: Arc<dyn ObjectStore> = Arc::new(Directory::open(&directory).unwrap());
    let opening = clock.monotonic();
    let catalog = CasCatalog::open(Arc::clone(&store), ids.clone()).await.unwrap();
    println!("opening the catalog: {:?}", clock.monotonic() - opening);
    let name = BucketName::parse(&format!("bench-{:016x}", ids.nonce())).unwrap();
    let bucket = BucketInfo {
        name,
        uuid: BucketUuid(ids.uuid()),
        created_ms: ids.now_ms(),
        encryption: Encryption::Aes256,
    };
    catalog.create_bucket(&bucket).await.unwrap();
    let bench = Arc::new(Bench {
        store,
        catalog,
        ids,
        bucket,
        clock,
    });
    for (indexes, writers, size) in [
        (1, 1, 4_096),
        (1, 1, 200_000),
        (1, 8, 4_096),
        (8, 1, 4_096),
        (32, 1, 4_096),
    ] {
        let done = run(&bench, indexes, writers, size).await;
        let rate = done as f64 / TIME.as_secs_f64();
        println!("{indexes:>2} indexes x {writers} writers, {size:>6} bytes: {rate:>6.0} commits/s");
    }
    reads(&bench).await;
}

async fn run(bench: &Arc<Bench>, indexes: usize, writers: usize, size: usize) -> u64 {
    let mut tasks = Vec::new();
    for _ in 0..indexes {
        let record = new_index(bench).await;
        for _ in 0..writers {
            tasks.push(tokio::spawn(write(Arc::clone(bench), record.clone(), size)));
        }
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done
}

async fn write(bench: Arc<Bench>, record: IndexRecord, size: usize) -> u64 {
    let path = IndexPath {
        bucket: record.bucket.clone(),
        index: record.index.clone(),
    };
    let until = bench.clock.monotonic() + TIME;
    let mut done = 0;
    while bench.clock.monotonic() < until {
        let id = WalId(bench.ids.ulid(Ulid::NIL));
        let name = paths::wal(record.uuid, id);
        let put = bench.store.put(&name, Bytes::from(vec![7; size]));
        let (put, now) = tokio::join!(put, bench.catalog.read_record(&path));
        put.unwrap();
        let now = now.unwrap().unwrap();
        let mut append = Append {
            uuid: record.uuid,
            base: now.wal_base,
            end: None,
            entry: WalEntry::new(id, 1, size),
            now_ms: 1,
        };
        while let Commit::Refused(now) = bench.catalog.append(&path, &append).await.unwrap() {
            append.base = now.unwrap().wal_base;
        }
        done += 1;
        if now.wal.len() > 100 {
            fold(&bench, &path, &now).await;
        }
    }
    done
}

/// Keeps the tail short, as an indexer does; losing the race for it is fine.
async fn fold(bench: &Bench, path: &IndexPath, now: &IndexRecord) {
    let id = bench.ids.ulid(Ulid::NIL);
    let version = ManifestVersion(now.manifest.map_or(0, |manifest| manifest.version.0) + 1);
    let publish = Publish {
        uuid: now.uuid,
        old: now.manifest,
        new: ManifestRef {
            version,
            id: ManifestId(id),
        },
        fold: now.wal.len(),
        fold_kib: now.tail_kib,
        oldest_new: id,
        clear_dirty: false,
    };
    bench.catalog.publish(path, &publish).await.unwrap();
}

async fn reads(bench: &Arc<Bench>) {
    const READS: u32 = 20_000;
    let record = new_index(bench).await;
    let path = IndexPath {
        bucket: record.bucket.clone(),
        index: record.index.clone(),
    };
    let start = bench.clock.monotonic();
    for _ in 0..READS {
        bench.catalog.read_record(&path).await.unwrap();
    }
    println!(
        "strong read of a record: {:?} each",
        (bench.clock.monotonic() - start) / READS
    );
}

async fn new_index(bench: &Bench) -> IndexRecord {
    let record = IndexRecord {
        schema: RECORD_SCHEMA,
        bucket: bench.bucket.name.clone(),
        index: IndexName::parse(&format!("index-{:016x}", bench.ids.nonce())).unwrap(),
        uuid: IndexUuid(bench.ids.uuid()),
        bucket_uuid: bench.bucket.uuid,
        created_ms: bench.ids.now_ms(),
        config: IndexConfig {
            dimension: Dimension::new(100).unwrap(),
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
    };
    bench.catalog.create_index(&record).await.unwrap();
    record
}
