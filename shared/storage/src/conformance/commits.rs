//! The commits on an index record: each condition, through the port.

use std::sync::Arc;

use format::{IndexRecord, Lease, WalEntry};
use model::{Ulid, WalId};

use super::samples::Samples;
use crate::catalog::{Append, Catalog, ClearDirty, Commit, IndexPath, SetLease};
use crate::conditions::MAX_TAIL_ENTRIES;

async fn read(catalog: &Arc<dyn Catalog>, path: &IndexPath) -> IndexRecord {
    catalog.read_record(path).await.unwrap().unwrap()
}

/// Refused, with the record as it is.
async fn assert_refused(catalog: &Arc<dyn Catalog>, path: &IndexPath, commit: Commit) {
    assert_eq!(commit, Commit::Refused(Some(Box::new(read(catalog, path).await))));
}

pub(super) async fn append(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(one).await;
    let first = Append {
        now_ms: 1000,
        ..samples.append(&record)
    };
    assert_eq!(one.append(&path, &first).await.unwrap(), Commit::Done);
    let second = Append {
        now_ms: 2000,
        ..samples.append(&record)
    };
    assert_eq!(other.append(&path, &second).await.unwrap(), Commit::Done);
    let after = read(one, &path).await;
    assert_eq!(after.wal, [first.entry, second.entry]);
    assert_eq!(
        (after.wal_base, after.tail_kib, after.dirty_since_ms),
        (0, 6, Some(1000))
    );
    // I2: the same append again takes effect once.
    assert_eq!(other.append(&path, &first).await.unwrap(), Commit::Done);
    assert_eq!(read(one, &path).await, after);
    let moved = Append {
        base: 1,
        ..samples.append(&record)
    };
    assert_refused(other, &path, other.append(&path, &moved).await.unwrap()).await;
    // I1: a write that was made from entries 0 and 1 is entry 2, or none.
    let third = Append {
        end: Some(2),
        ..samples.append(&record)
    };
    for end in [1, 3] {
        let other_place = Append {
            end: Some(end),
            ..third.clone()
        };
        assert_refused(one, &path, one.append(&path, &other_place).await.unwrap()).await;
    }
    assert_eq!(other.append(&path, &third).await.unwrap(), Commit::Done);
    assert_eq!(one.append(&path, &third).await.unwrap(), Commit::Done, "I2: once");
    assert_eq!(read(one, &path).await.wal.len(), 3);
    for number in 3..MAX_TAIL_ENTRIES {
        let catalog = if number % 100 == 0 { one } else { other };
        assert_eq!(
            catalog.append(&path, &samples.append(&record)).await.unwrap(),
            Commit::Done,
            "entry {number}"
        );
    }
    assert_refused(one, &path, one.append(&path, &samples.append(&record)).await.unwrap()).await;
    assert_eq!(read(other, &path).await.wal.len(), MAX_TAIL_ENTRIES);
}

pub(super) async fn publish(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(one).await;
    let entries: Vec<WalEntry> = append_some(one, &path, &record, samples, 5).await;
    let before = read(other, &path).await;
    let fold = samples.publish(&before, 2);
    // Appends do not disturb a fold of older entries.
    let late = append_some(other, &path, &record, samples, 1).await;
    assert_eq!(other.publish(&path, &fold).await.unwrap(), Commit::Done);
    assert_eq!(
        one.publish(&path, &fold).await.unwrap(),
        Commit::Done,
        "its own manifest is a success"
    );
    let after = read(one, &path).await;
    assert_eq!(after.wal, [&entries[2..], &late].concat());
    assert_eq!(
        (after.wal_base, after.tail_kib, after.manifest),
        (2, 12, Some(fold.new))
    );
    assert_eq!(after.dirty_since_ms, before.dirty_since_ms);
    let rival = samples.publish(&before, 1);
    assert_refused(one, &path, one.publish(&path, &rival).await.unwrap()).await;
    // I2: an append that was prepared on the old base must look again.
    assert_refused(
        other,
        &path,
        other.append(&path, &samples.append(&record)).await.unwrap(),
    )
    .await;
    let compaction = samples.publish(&after, 0);
    assert_eq!(one.publish(&path, &compaction).await.unwrap(), Commit::Done);
    let compacted = read(other, &path).await;
    assert_eq!(
        compacted,
        IndexRecord {
            manifest: Some(compaction.new),
            ..after
        }
    );
    let mut rest = samples.publish(&compacted, 4);
    assert_eq!(other.publish(&path, &rest).await.unwrap(), Commit::Done);
    let empty = read(one, &path).await;
    assert_eq!((empty.wal.len(), empty.wal_base, empty.tail_kib), (0, 6, 0));
    rest = samples.publish(&empty, 0);
    rest.fold = 1;
    assert_refused(one, &path, one.publish(&path, &rest).await.unwrap()).await;
}

async fn append_some(
    catalog: &Arc<dyn Catalog>,
    path: &IndexPath,
    record: &IndexRecord,
    samples: &Samples,
    count: usize,
) -> Vec<WalEntry> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let append = samples.append(record);
        assert_eq!(catalog.append(path, &append).await.unwrap(), Commit::Done);
        entries.push(append.entry);
    }
    entries
}

pub(super) async fn dirty_mark(catalog: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(catalog).await;
    let is_dirty = || async {
        let dirty = catalog.list_dirty().await.unwrap();
        dirty.into_iter().find(|dirty| dirty.uuid == record.uuid)
    };
    assert_eq!(is_dirty().await, None);
    let entry = Append {
        now_ms: 77,
        ..samples.append(&record)
    };
    assert_eq!(catalog.append(&path, &entry).await.unwrap(), Commit::Done);
    let dirty = is_dirty().await.unwrap();
    assert_eq!(
        (dirty.path, dirty.dirty_since_ms, dirty.retry_at_ms),
        (path.clone(), 77, 0)
    );
    let clear = ClearDirty {
        uuid: record.uuid,
        manifest: None,
    };
    assert_refused(catalog, &path, catalog.clear_dirty(&path, &clear).await.unwrap()).await;
    // A fold that leaves an entry behind must not take the mark away.
    append_some(catalog, &path, &record, samples, 1).await;
    let mut fold = samples.publish(&read(catalog, &path).await, 1);
    fold.clear_dirty = true;
    assert_refused(catalog, &path, catalog.publish(&path, &fold).await.unwrap()).await;
    let mut fold = samples.publish(&read(catalog, &path).await, 2);
    fold.clear_dirty = true;
    assert_eq!(catalog.publish(&path, &fold).await.unwrap(), Commit::Done);
    assert_eq!(is_dirty().await, None);
    let before = read(catalog, &path).await;
    append_some(catalog, &path, &before, samples, 1).await;
    let fold = samples.publish(&read(catalog, &path).await, 1);
    assert_eq!(catalog.publish(&path, &fold).await.unwrap(), Commit::Done);
    assert!(
        is_dirty().await.is_some(),
        "a fold alone keeps the mark: a compaction may be due"
    );
    assert_refused(catalog, &path, catalog.clear_dirty(&path, &clear).await.unwrap()).await;
    let clear = ClearDirty {
        uuid: record.uuid,
        manifest: Some(fold.new),
    };
    assert_eq!(catalog.clear_dirty(&path, &clear).await.unwrap(), Commit::Done);
    assert_eq!(catalog.clear_dirty(&path, &clear).await.unwrap(), Commit::Done);
    assert_eq!(is_dirty().await, None);
}

pub(super) async fn floor(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(one).await;
    let old = samples.append(&record);
    let floor = samples.ids.ulid(Ulid::NIL);
    let raised = one.raise_floor(&path, record.uuid, floor).await.unwrap().unwrap();
    assert_eq!(
        raised,
        IndexRecord {
            floor,
            ..record.clone()
        }
    );
    let lower = Ulid::from_parts(1, 1);
    assert_eq!(
        other.raise_floor(&path, record.uuid, lower).await.unwrap(),
        Some(raised.clone()),
        "it never falls"
    );
    // I4: no commit introduces an object at or below the floor.
    assert_refused(other, &path, other.append(&path, &old).await.unwrap()).await;
    let mut at_floor = samples.append(&raised);
    at_floor.entry.id = WalId(floor);
    assert_refused(one, &path, one.append(&path, &at_floor).await.unwrap()).await;
    let mut publish = samples.publish(&raised, 0);
    publish.oldest_new = old.entry.id.0;
    assert_refused(one, &path, one.publish(&path, &publish).await.unwrap()).await;
    assert_eq!(
        other.append(&path, &samples.append(&raised)).await.unwrap(),
        Commit::Done
    );
}

pub(super) async fn lease(catalog: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(catalog).await;
    let take = |holder: &str, now_ms: u64, expected: Option<Lease>| SetLease {
        uuid: record.uuid,
        holder: holder.to_owned(),
        now_ms,
        until_ms: now_ms + 100,
        attempts: 1,
        retry_at_ms: now_ms + 50,
        expected,
    };
    let current = || async { read(catalog, &path).await.lease };
    assert_eq!(
        catalog.set_lease(&path, &take("a", 1000, None)).await.unwrap(),
        Commit::Done
    );
    let held = current().await;
    let lease = Lease {
        holder: "a".to_owned(),
        until_ms: 1100,
        attempts: 1,
        retry_at_ms: 1050,
    };
    assert_eq!(held, Some(lease));
    assert_eq!(
        catalog.set_lease(&path, &take("a", 1000, None)).await.unwrap(),
        Commit::Done,
        "the same again"
    );
    assert_refused(
        catalog,
        &path,
        catalog.set_lease(&path, &take("b", 1001, None)).await.unwrap(),
    )
    .await;
    assert_refused(
        catalog,
        &path,
        catalog.set_lease(&path, &take("b", 1099, held.clone())).await.unwrap(),
    )
    .await;
    assert_eq!(
        catalog.set_lease(&path, &take("a", 1050, held.clone())).await.unwrap(),
        Commit::Done,
        "extended"
    );
    assert_refused(
        catalog,
        &path,
        catalog.set_lease(&path, &take("b", 2000, held)).await.unwrap(),
    )
    .await;
    let extended = current().await;
    assert_eq!(
        catalog.set_lease(&path, &take("b", 1150, extended)).await.unwrap(),
        Commit::Done,
        "expired"
    );
    assert_eq!(current().await.unwrap().holder, "b");
    assert_eq!(
        catalog.append(&path, &samples.append(&record)).await.unwrap(),
        Commit::Done
    );
    let dirty = catalog.list_dirty().await.unwrap();
    let dirty = dirty.iter().find(|dirty| dirty.uuid == record.uuid).unwrap();
    assert_eq!(dirty.retry_at_ms, 1200);
}
