use format::{ManifestRef, RECORD_SCHEMA, WalEntry};
use model::{
    BucketName, BucketUuid, Dimension, DistanceMetric, Encryption, IndexConfig, IndexName, ManifestId, ManifestVersion,
    WalId,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// Dirty mark, floor and lease.
mod upkeep;

/// A name, what it changes, what must come of it.
type AppendCase = (&'static str, fn(&mut IndexRecord, &mut Append), Refusal);
type PublishCase = (&'static str, fn(&mut IndexRecord, &mut Publish), Refusal);
type RecordCase = (&'static str, fn(&mut IndexRecord));

const UUID: IndexUuid = IndexUuid(Uuid::from_u128(1));
const OTHER: IndexUuid = IndexUuid(Uuid::from_u128(2));

fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(number, 0)
}

fn entry(number: u64) -> WalEntry {
    WalEntry {
        id: WalId(ulid(number)),
        rows: 1,
        kib: u32::try_from(number).unwrap(),
    }
}

fn manifest(number: u64) -> ManifestRef {
    ManifestRef {
        version: ManifestVersion(number),
        id: ManifestId(ulid(number)),
    }
}

/// Tail 101, 102, 103 from sequence number 7 on, floor 50, manifest 60, dirty since 1000.
fn record() -> IndexRecord {
    IndexRecord {
        schema: RECORD_SCHEMA,
        bucket: BucketName::parse("bucket").unwrap(),
        index: IndexName::parse("index").unwrap(),
        uuid: UUID,
        bucket_uuid: BucketUuid(Uuid::from_u128(3)),
        created_ms: 1,
        config: IndexConfig {
            dimension: Dimension::new(2).unwrap(),
            metric: DistanceMetric::Euclidean,
            non_filterable_keys: None,
            encryption: Encryption::Aes256,
        },
        manifest: Some(manifest(60)),
        wal: vec![entry(101), entry(102), entry(103)],
        wal_base: 7,
        tail_kib: 306,
        floor: ulid(50),
        dirty_since_ms: Some(1000),
        lease: None,
    }
}

fn append() -> Append {
    Append {
        uuid: UUID,
        base: 7,
        end: None,
        entry: entry(104),
        now_ms: 2000,
    }
}

fn publish() -> Publish {
    Publish {
        uuid: UUID,
        old: Some(manifest(60)),
        new: manifest(61),
        fold: 2,
        fold_kib: 203,
        oldest_new: ulid(51),
        clear_dirty: false,
    }
}

#[test]
fn append_adds_one_entry_and_nothing_else() {
    let next = apply_append(&record(), &append()).unwrap();
    let mut expected = record();
    expected.wal.push(entry(104));
    expected.tail_kib = 410;
    assert_eq!(next, expected, "an older dirty mark stays");
    let tenth = Append {
        end: Some(10),
        ..append()
    };
    assert_eq!(apply_append(&record(), &tenth).unwrap(), expected);
    let clean = IndexRecord {
        dirty_since_ms: None,
        ..record()
    };
    assert_eq!(apply_append(&clean, &append()).unwrap().dirty_since_ms, Some(2000));
}

#[test]
fn append_clauses() {
    let cases: &[AppendCase] = &[
        ("uuid", |_, append| append.uuid = OTHER, Refusal::OtherUuid),
        ("base lower", |_, append| append.base = 6, Refusal::BaseMoved),
        ("base higher", |_, append| append.base = 8, Refusal::BaseMoved),
        ("end lower", |_, append| append.end = Some(9), Refusal::EndMoved),
        ("end higher", |_, append| append.end = Some(11), Refusal::EndMoved),
        (
            "contained before end",
            |_, append| {
                append.entry = entry(102);
                append.end = Some(9);
            },
            Refusal::AlreadyDone,
        ),
        (
            "floor equal",
            |record, append| record.floor = append.entry.id.0,
            Refusal::FloorPassed,
        ),
        (
            "floor above",
            |record, _| record.floor = ulid(200),
            Refusal::FloorPassed,
        ),
        ("contained", |_, append| append.entry = entry(102), Refusal::AlreadyDone),
        (
            "entries",
            |record, _| record.wal = (1000..1512).map(entry).collect(),
            Refusal::TailFull,
        ),
        ("bytes", |record, _| record.tail_kib = 131_072, Refusal::TailFull),
        (
            "other life before all",
            |record, append| {
                append.uuid = OTHER;
                record.wal.push(append.entry)
            },
            Refusal::OtherUuid,
        ),
        (
            "done before base",
            |_, append| {
                append.entry = entry(101);
                append.base = 0
            },
            Refusal::AlreadyDone,
        ),
        (
            "done before floor",
            |record, append| {
                append.entry = entry(101);
                record.floor = ulid(500)
            },
            Refusal::AlreadyDone,
        ),
        (
            "base before floor",
            |record, append| {
                append.base = 0;
                record.floor = ulid(500)
            },
            Refusal::BaseMoved,
        ),
    ];
    for (name, change, refusal) in cases {
        let (mut record, mut append) = (record(), append());
        change(&mut record, &mut append);
        assert_eq!(apply_append(&record, &append).unwrap_err(), *refusal, "{name}");
    }
}

#[test]
fn append_just_fits() {
    let cases: &[RecordCase] = &[
        ("last entry", |record| record.wal = (1000..1511).map(entry).collect()),
        ("last byte", |record| record.tail_kib = 131_071),
        ("floor just below", |record| record.floor = ulid(103)),
    ];
    for (name, change) in cases {
        let mut record = record();
        change(&mut record);
        assert!(apply_append(&record, &append()).is_ok(), "{name}");
    }
}

#[test]
fn publish_takes_the_oldest_entries() {
    let next = apply_publish(&record(), &publish()).unwrap();
    let expected = IndexRecord {
        wal: vec![entry(103)],
        wal_base: 9,
        tail_kib: 103,
        manifest: Some(manifest(61)),
        ..record()
    };
    assert_eq!(next, expected);
}

#[test]
fn compaction_leaves_the_tail_alone() {
    let compaction = Publish {
        fold: 0,
        fold_kib: 0,
        ..publish()
    };
    let next = apply_publish(&record(), &compaction).unwrap();
    assert_eq!(
        next,
        IndexRecord {
            manifest: Some(manifest(61)),
            ..record()
        }
    );
}

#[test]
fn first_manifest_has_no_predecessor() {
    let fresh = IndexRecord {
        manifest: None,
        ..record()
    };
    let first = Publish { old: None, ..publish() };
    assert_eq!(apply_publish(&fresh, &first).unwrap().manifest, Some(manifest(61)));
    assert_eq!(apply_publish(&record(), &first).unwrap_err(), Refusal::ManifestMoved);
    assert_eq!(apply_publish(&fresh, &publish()).unwrap_err(), Refusal::ManifestMoved);
}

#[test]
fn publish_clauses() {
    let cases: &[PublishCase] = &[
        ("uuid", |_, publish| publish.uuid = OTHER, Refusal::OtherUuid),
        (
            "manifest version",
            |record, _| {
                record.manifest = Some(ManifestRef {
                    id: ManifestId(ulid(60)),
                    ..manifest(59)
                })
            },
            Refusal::ManifestMoved,
        ),
        (
            "manifest id",
            |record, _| {
                record.manifest = Some(ManifestRef {
                    version: ManifestVersion(60),
                    ..manifest(59)
                })
            },
            Refusal::ManifestMoved,
        ),
        ("floor equal", |record, _| record.floor = ulid(51), Refusal::FloorPassed),
        ("floor above", |record, _| record.floor = ulid(52), Refusal::FloorPassed),
        (
            "done",
            |record, _| record.manifest = Some(manifest(61)),
            Refusal::AlreadyDone,
        ),
        (
            "done before floor",
            |record, _| {
                record.manifest = Some(manifest(61));
                record.floor = ulid(500)
            },
            Refusal::AlreadyDone,
        ),
        ("more than there is", |_, publish| publish.fold = 4, Refusal::TailLength),
        ("other bytes", |_, publish| publish.fold_kib = 202, Refusal::TailSize),
        (
            "mark with rest",
            |_, publish| publish.clear_dirty = true,
            Refusal::TailLength,
        ),
        (
            "mark without fold",
            |_, publish| {
                publish.clear_dirty = true;
                publish.fold = 0;
                publish.fold_kib = 0
            },
            Refusal::TailLength,
        ),
    ];
    for (name, change, refusal) in cases {
        let (mut record, mut publish) = (record(), publish());
        change(&mut record, &mut publish);
        assert_eq!(apply_publish(&record, &publish).unwrap_err(), *refusal, "{name}");
    }
}

#[test]
fn publish_of_the_whole_tail_may_take_the_mark_away() {
    let all = Publish {
        fold: 3,
        fold_kib: 306,
        clear_dirty: true,
        ..publish()
    };
    let next = apply_publish(&record(), &all).unwrap();
    assert_eq!(
        (next.wal.len(), next.wal_base, next.tail_kib, next.dirty_since_ms),
        (0, 10, 0, None)
    );
    let kept = apply_publish(
        &record(),
        &Publish {
            clear_dirty: false,
            ..all
        },
    )
    .unwrap();
    assert_eq!(kept.dirty_since_ms, Some(1000));
}

#[derive(Debug, Clone)]
enum Update {
    Append {
        base_offset: u64,
        id: u64,
    },
    Publish {
        fold: usize,
        clear_dirty: bool,
        stale: bool,
    },
    ClearDirty,
    RaiseFloor(u64),
}

fn update() -> impl Strategy<Value = Update> {
    prop_oneof![
        4 => (0..2u64, 1..200u64).prop_map(|(base_offset, id)| Update::Append { base_offset, id }),
        2 => (0..6usize, any::<bool>(), any::<bool>())
            .prop_map(|(fold, clear_dirty, stale)| Update::Publish { fold, clear_dirty, stale }),
        1 => Just(Update::ClearDirty),
        1 => (0..200u64).prop_map(Update::RaiseFloor),
    ]
}

proptest! {
    /// Whatever is asked for in whatever order: the record stays one that the format accepts, the tail never holds an
    /// id twice, base and floor never fall, and an index with a tail is marked dirty.
    #[test]
    fn records_stay_sound(updates in prop::collection::vec(update(), 1..80)) {
        let mut record =
            IndexRecord { wal: Vec::new(), tail_kib: 0, dirty_since_ms: None, floor: Ulid::NIL, ..record() };
        let mut next_manifest = 1000;
        for update in updates {
            let before = record.clone();
            let applied = match update {
                Update::Append { base_offset, id } => {
                    let base = record.wal_base + base_offset;
                    apply_append(&record, &Append { uuid: UUID, base, end: None, entry: entry(id), now_ms: id })
                }
                Update::Publish { fold, clear_dirty, stale } => {
                    next_manifest += 1;
                    let fold_kib = record.wal.iter().take(fold).map(|entry| u64::from(entry.kib)).sum();
                    let old = if stale { None } else { record.manifest };
                    let new = manifest(next_manifest);
                    let oldest_new = ulid(next_manifest);
                    apply_publish(&record, &Publish { uuid: UUID, old, new, fold, fold_kib, oldest_new, clear_dirty })
                }
                Update::ClearDirty => {
                    apply_clear_dirty(&record, &ClearDirty { uuid: UUID, manifest: record.manifest })
                }
                Update::RaiseFloor(floor) => apply_raise_floor(&record, UUID, ulid(floor)),
            };
            let Ok(next) = applied else { continue };
            record = next;
            prop_assert!(record.check().is_ok());
            let mut ids: Vec<_> = record.wal.iter().map(|entry| entry.id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), record.wal.len());
            prop_assert!(record.wal_base >= before.wal_base && record.floor >= before.floor);
            prop_assert!(record.wal.is_empty() || record.dirty_since_ms.is_some());
            prop_assert_eq!(record.uuid, before.uuid);
        }
    }
}
