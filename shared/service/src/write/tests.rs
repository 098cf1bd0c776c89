//! The write protocol against a catalog that fails, and the table of decisions row by row.

mod matched;

use std::sync::Arc;

use bytes::Bytes;
use engine::pool::Pool;
use format::Manifest;
use format::record::{IndexRecord, ManifestRef, WalEntry};
use model::{
    BucketUuid, Dimension, DistanceMetric, Encryption, Ids, IndexConfig, IndexUuid, ManifestId, ManualClock,
    SeededRandom, Strictness, Ulid, WalId,
};
use rstest::rstest;
use storage::layers::faults::{Fault, FaultCatalog, FaultPlan, FaultStore, When};
use storage::local::InProcessDoorbell;
use storage::{BucketInfo, CasCatalog, Catalog, IndexPath, MemoryStore, ObjectStore, Publish, paths};

use super::decide::{Attempt, Verdict, decide};
use super::*;
use crate::{Config, Ports};

const NOW: u64 = 1_767_225_600_000;
const SOON: u64 = NOW + 10_000;

/// A context over memory whose catalog fails as `plan` says, and the catalog itself.
struct Desk {
    ctx: Arc<Context>,
    plan: FaultPlan,
    store_plan: FaultPlan,
    catalog: Arc<dyn Catalog>,
    store: MemoryStore,
    path: IndexPath,
}

impl Desk {
    async fn new() -> Self {
        let ids = Ids::new(Arc::new(ManualClock::new(NOW)), Arc::new(SeededRandom::new(7)));
        let store = MemoryStore::with_yields();
        let (plan, store_plan) = (FaultPlan::new(), FaultPlan::new());
        let catalog: Arc<dyn Catalog> = Arc::new(CasCatalog::open(Arc::new(store.clone()), ids.clone()).await.unwrap());
        let objects: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::new(store.clone()), store_plan.clone()));
        let ports = Ports {
            objects,
            catalog: Arc::new(FaultCatalog::new(Arc::clone(&catalog), plan.clone())),
            doorbell: Arc::new(InProcessDoorbell::new().0),
        };
        let pool = Arc::new(Pool::new(1).unwrap());
        let ctx = Arc::new(Context::new(ports, ids, pool, Config::default()));
        let path = IndexPath {
            bucket: "books".parse().unwrap(),
            index: "idx".parse().unwrap(),
        };
        let desk = Self {
            ctx,
            plan,
            store_plan,
            catalog,
            store,
            path,
        };
        let bucket = BucketInfo {
            name: desk.path.bucket.clone(),
            uuid: BucketUuid(desk.ctx.ids.uuid()),
            created_ms: NOW,
            encryption: Encryption::Aes256,
        };
        desk.catalog.create_bucket(&bucket).await.unwrap();
        desk.create(2).await;
        desk
    }

    /// Another process over the same store, without faults.
    fn second(&self) -> Arc<Context> {
        let ports = Ports {
            objects: Arc::new(self.store.clone()),
            catalog: Arc::clone(&self.catalog),
            doorbell: Arc::new(InProcessDoorbell::new().0),
        };
        let pool = Arc::clone(&self.ctx.pool);
        Arc::new(Context::new(ports, self.ctx.ids.clone(), pool, Config::default()))
    }

    async fn create(&self, dimension: u32) {
        let bucket = self.catalog.read_bucket(&self.path.bucket).await.unwrap().unwrap();
        let mut record = record(IndexUuid(self.ctx.ids.uuid()));
        record.bucket_uuid = bucket.uuid;
        record.config.dimension = Dimension::new(dimension).unwrap();
        self.catalog.create_index(&record).await.unwrap();
    }

    async fn record(&self) -> IndexRecord {
        self.catalog.read_record(&self.path).await.unwrap().unwrap()
    }

    async fn known(&self) -> Arc<Known> {
        let known = known_index(&self.ctx, &self.path).await.unwrap().known;
        self.plan.reset();
        self.store_plan.reset();
        known
    }

    async fn write(&self, known: Arc<Known>, key: &str) -> Result<(), ApiError> {
        write(&self.ctx, &self.path, known, vec![put(key, 2)], Permission::Open, SOON).await
    }

    /// Folds everything, as an indexer would, but for the rows.
    async fn fold(&self, forget: bool) {
        let record = self.record().await;
        let id = ManifestId(self.ctx.ids.ulid(record.floor));
        let mut manifest = Manifest::empty(record.uuid).child(id);
        manifest.note_folded(record.wal.iter().map(|entry| entry.id));
        if forget {
            manifest.folded_from += manifest.folded.len() as u64;
            manifest.folded.clear();
        }
        let new = ManifestRef {
            version: manifest.version,
            id,
        };
        let name = paths::manifest(record.uuid, &new);
        self.store.put(&name, manifest.encode().unwrap()).await.unwrap();
        let publish = Publish {
            uuid: record.uuid,
            old: record.manifest,
            new,
            fold: record.wal.len(),
            fold_kib: record.tail_kib,
            oldest_new: id.0,
            clear_dirty: false,
        };
        assert_eq!(
            self.catalog.publish(&self.path, &publish).await.unwrap(),
            storage::Commit::Done
        );
    }
}

fn put(key: &str, dimension: usize) -> WriteRow {
    WriteRow::Put(PutRow {
        key: key.to_owned(),
        vector: vec![1.0; dimension],
        metadata: None,
    })
}

fn record(uuid: IndexUuid) -> IndexRecord {
    IndexRecord {
        schema: format::RECORD_SCHEMA,
        bucket: "books".parse().unwrap(),
        index: "idx".parse().unwrap(),
        uuid,
        bucket_uuid: BucketUuid(uuid.0),
        created_ms: NOW,
        config: IndexConfig {
            dimension: Dimension::new(2).unwrap(),
            metric: DistanceMetric::Euclidean,
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

fn uuid(n: u128) -> IndexUuid {
    format!("00000000-0000-0000-0000-{n:012x}").parse().unwrap()
}

fn entry(ms: u64) -> WalEntry {
    WalEntry {
        id: WalId(Ulid::from_parts(ms, 1)),
        rows: 1,
        kib: 1,
    }
}

#[rstest]
#[case::first(|_: &mut IndexRecord| {}, false, Verdict::Append { base: 5 })]
#[case::again(|_: &mut IndexRecord| {}, true, Verdict::Append { base: 5 })]
#[case::other(|r: &mut IndexRecord| r.uuid = uuid(9), true, Verdict::OtherIndex)]
#[case::ours(|r: &mut IndexRecord| r.wal = vec![entry(1), entry(10)], true, Verdict::Committed)]
#[case::ours_though_moved(|r: &mut IndexRecord| { r.wal = vec![entry(10)]; r.wal_base = 6 }, true, Verdict::Committed)]
#[case::moved(|r: &mut IndexRecord| r.wal_base = 6, false, Verdict::Append { base: 6 })]
#[case::moved_in_doubt(|r: &mut IndexRecord| r.wal_base = 6, true, Verdict::AskManifest)]
#[case::in_doubt_before_floor(|r: &mut IndexRecord| { r.wal_base = 6; r.floor = entry(11).id.0 }, true, Verdict::AskManifest)]
#[case::floor(|r: &mut IndexRecord| r.floor = entry(10).id.0, true, Verdict::FloorPassed)]
#[case::below_floor(|r: &mut IndexRecord| r.floor = entry(9).id.0, true, Verdict::Append { base: 5 })]
#[case::entries(|r: &mut IndexRecord| r.wal = vec![entry(1); 512], true, Verdict::Full)]
#[case::bytes(|r: &mut IndexRecord| r.tail_kib = 128 * 1024, false, Verdict::Full)]
fn decisions(#[case] change: fn(&mut IndexRecord), #[case] ambiguous: bool, #[case] verdict: Verdict) {
    let attempt = Attempt {
        uuid: uuid(1),
        entry: entry(10),
        base: 5,
        end: None,
        ambiguous,
    };
    let mut found = record(uuid(1));
    found.wal_base = 5;
    change(&mut found);
    assert_eq!(decide(Some(&found), &attempt), verdict);
    assert_eq!(decide(None, &attempt), Verdict::Gone);
}

#[rstest]
#[case::last(|_: &mut IndexRecord| {}, Verdict::Append { base: 5 })]
#[case::folded_since(|r: &mut IndexRecord| { r.wal_base = 6; r.wal.clear() }, Verdict::Append { base: 6 })]
#[case::overtaken(|r: &mut IndexRecord| r.wal.push(entry(2)), Verdict::Moved)]
#[case::overtaken_and_folded(|r: &mut IndexRecord| { r.wal_base = 7; r.wal.clear() }, Verdict::Moved)]
#[case::ours(|r: &mut IndexRecord| r.wal.push(entry(10)), Verdict::Committed)]
fn decisions_about_a_certain_place(#[case] change: fn(&mut IndexRecord), #[case] verdict: Verdict) {
    let attempt = Attempt {
        uuid: uuid(1),
        entry: entry(10),
        base: 5,
        end: Some(6),
        ambiguous: false,
    };
    let mut found = record(uuid(1));
    found.wal_base = 5;
    found.wal = vec![entry(1)];
    change(&mut found);
    assert_eq!(decide(Some(&found), &attempt), verdict);
}

#[rstest]
#[case(When::Before)]
#[case(When::After)]
#[tokio::test]
async fn a_lost_answer_is_decided_from_the_record(#[case] when: When) {
    let desk = Desk::new().await;
    let known = desk.known().await;
    // Call 1 reads the record, call 2 appends.
    desk.plan.fail_at(2, when, Fault::Unknown);
    desk.write(known, "a").await.unwrap();
    assert_eq!(
        desk.record().await.wal.len(),
        1,
        "I2: once, whether or not the lost append took effect"
    );
}

#[rstest]
#[case::folded(false, true)]
#[case::forgotten(true, false)]
#[tokio::test]
async fn an_own_entry_that_was_folded_is_found_or_left_in_doubt(#[case] forget: bool, #[case] succeeds: bool) {
    let desk = Arc::new(Desk::new().await);
    let known = desk.known().await;
    // The append takes effect, its answer is lost, and before the writer reads again an indexer folds the entry.
    desk.plan.fail_at(2, When::After, Fault::Unknown);
    desk.plan
        .set_latency_of("read_record", std::time::Duration::from_millis(40));
    let writer = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.write(known, "a").await }
    });
    while desk.record().await.wal.is_empty() {
        tokio::task::yield_now().await;
    }
    desk.fold(forget).await;
    let outcome = writer.await.unwrap();
    assert_eq!(desk.record().await.wal.len(), 0, "I2: never appended again");
    match outcome {
        Ok(()) => assert!(succeeds),
        Err(error) => assert!(!succeeds && error.status() == 503, "{error}"),
    }
}

#[tokio::test]
async fn concurrent_writes_share_a_commit_and_keep_their_own_errors() {
    let desk = Arc::new(Desk::new().await);
    let known = desk.known().await;
    let clients: Vec<_> = (0..50)
        .map(|n| {
            let (desk, known) = (Arc::clone(&desk), Arc::clone(&known));
            tokio::spawn(async move { desk.write(known, &format!("k{n}")).await })
        })
        .collect();
    for client in clients {
        client.await.unwrap().unwrap();
    }
    let record = desk.record().await;
    assert!(record.wal.len() < 10, "{} commits for 50 requests", record.wal.len());
    assert_eq!(record.wal.iter().map(|entry| entry.rows).sum::<u32>(), 50);
    assert_eq!(desk.ctx.metrics.committed_requests.get(), 50);
}

fn rotated<T>(mut list: [T; 3], by: usize) -> [T; 3] {
    list.rotate_left(by % 3);
    list
}

#[rstest]
#[tokio::test]
async fn a_group_on_a_replaced_index_is_judged_member_by_member(#[values(0, 1, 2)] first: usize) {
    // I7: the index was deleted and created with dimension 3 behind our back.
    let desk = Arc::new(Desk::new().await);
    let known = desk.known().await;
    let old = desk.record().await;
    desk.catalog.delete_index(&desk.path, old.uuid, NOW).await.unwrap();
    desk.create(3).await;
    let new = remember(&desk.ctx, &desk.path, &desk.record().await);
    let rows = [
        (new, vec![put("three", 3)]),
        (Arc::clone(&known), vec![put("two", 2)]),
        (known, vec![WriteRow::Delete("gone".to_owned())]),
    ];
    let rows = rotated(rows, first);
    let writes = rows.map(|(known, rows)| write(&desk.ctx, &desk.path, known, rows, Permission::Open, SOON));
    let outcomes: [_; 3] = futures::future::join_all(writes).await.try_into().unwrap();
    let [three, two, gone] = rotated(outcomes, 3 - first);
    let message = "Invalid record for key 'two': vector must have length 3, but has length 2";
    assert_eq!(two.map_err(|error| error.message().to_owned()), Err(message.to_owned()));
    assert_eq!((three, gone), (Ok(()), Ok(())));
    let record = desk.record().await;
    assert_ne!(record.uuid, old.uuid);
    assert_eq!(record.wal.iter().map(|entry| entry.rows).sum::<u32>(), 2);
}

#[tokio::test]
async fn a_passed_floor_costs_another_put() {
    let desk = Desk::new().await;
    let known = desk.known().await;
    let floor = Ulid::from_parts(NOW + 60_000, 0);
    desk.catalog.raise_floor(&desk.path, known.uuid, floor).await.unwrap();
    desk.write(known, "a").await.unwrap();
    let record = desk.record().await;
    assert!(record.wal[0].id.0 > floor, "I4: nothing below the floor is introduced");
    assert_eq!(
        desk.store_plan
            .calls()
            .iter()
            .filter(|call| call.method == "put")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_full_disk_is_reported_and_commits_nothing() {
    let desk = Desk::new().await;
    let known = desk.known().await;
    desk.store_plan.fail_at(1, When::Before, Fault::Full);
    assert_eq!(desk.write(Arc::clone(&known), "a").await.unwrap_err().status(), 503);
    assert!(desk.record().await.wal.is_empty());
    desk.write(known, "a").await.unwrap();
}

#[rstest]
#[case(Fault::Unknown, When::Before)]
#[case(Fault::Unknown, When::After)]
#[case(Fault::Throttled, When::Before)]
#[tokio::test]
async fn a_put_in_doubt_is_repeated_under_its_name(#[case] fault: Fault, #[case] when: When) {
    let desk = Desk::new().await;
    let known = desk.known().await;
    desk.store_plan.fail_at(1, when, fault);
    desk.write(known, "a").await.unwrap();
    assert_eq!(desk.record().await.wal.len(), 1);
    assert_eq!(
        desk.store
            .names()
            .iter()
            .filter(|name| name.as_str().contains("/wal/"))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_cancelled_request_does_not_tear_its_commit() {
    let desk = Arc::new(Desk::new().await);
    let known = desk.known().await;
    let request = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.write(known, "a").await }
    });
    while desk.store_plan.count() == 0 {
        tokio::task::yield_now().await;
    }
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    while desk.record().await.wal.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_passed_deadline_is_said_before_anything_is_written() {
    let desk = Desk::new().await;
    let known = desk.known().await;
    let late = write(&desk.ctx, &desk.path, known, vec![put("a", 2)], Permission::Open, NOW).await;
    assert_eq!(late, Err(ApiError::request_timeout()));
    assert_eq!(desk.store_plan.count(), 0);
}

#[test]
fn encoding_keeps_rows_in_order() {
    let dimension = Dimension::new(2).unwrap();
    let parts = [
        Arc::new(vec![put("a", 2), WriteRow::Delete("b".to_owned())]),
        Arc::new(vec![put("b", 2)]),
    ];
    let (rows, bytes): (u32, Bytes) = super::commit::encode(dimension, &parts).unwrap();
    let object = format::WalObject::decode(bytes).unwrap();
    let keys: Vec<_> = (0..object.rows())
        .map(|row| (object.key(row).to_owned(), object.is_delete(row)))
        .collect();
    assert_eq!(rows, 3);
    assert_eq!(
        keys,
        [("a".to_owned(), false), ("b".to_owned(), true), ("b".to_owned(), false)]
    );
}
