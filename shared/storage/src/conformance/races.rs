//! Races through two handles: nothing lost, nothing twice, one winner.

use std::collections::HashSet;
use std::sync::Arc;

use format::{IndexRecord, WalEntry};
use model::{BucketUuid, IndexUuid, OwnerUuid};

use super::samples::{RACERS, Samples, path};
use crate::catalog::{
    Append, Attachment, Catalog, Commit, CreateIndex, DeleteBucket, DeleteIndex, IndexPath, WriteAttachment,
};
use crate::error::StoreError;

/// Commits an entry as a writer does; false when the index is gone.
async fn write(catalog: &dyn Catalog, path: &IndexPath, record: &IndexRecord, entry: WalEntry) -> bool {
    let mut append = Append {
        uuid: record.uuid,
        base: record.wal_base,
        end: None,
        entry,
        now_ms: 1,
    };
    loop {
        match catalog.append(path, &append).await {
            Ok(Commit::Done) => return true,
            Ok(Commit::Refused(None)) => return false,
            Ok(Commit::Refused(Some(now))) if now.uuid != record.uuid => return false,
            Ok(Commit::Refused(Some(now))) => append.base = now.wal_base,
            Err(StoreError::Throttled { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

fn pick<'a>(one: &'a Arc<dyn Catalog>, other: &'a Arc<dyn Catalog>, racer: usize) -> Arc<dyn Catalog> {
    Arc::clone(if racer.is_multiple_of(2) { one } else { other })
}

fn spawn_writers(
    one: &Arc<dyn Catalog>,
    other: &Arc<dyn Catalog>,
    samples: &Samples,
    record: &IndexRecord,
    each: usize,
) -> Vec<tokio::task::JoinHandle<Vec<WalEntry>>> {
    (0..RACERS)
        .map(|racer| {
            let (catalog, path, record) = (pick(one, other, racer), path(record), record.clone());
            let entries: Vec<WalEntry> = (0..each).map(|_| samples.append(&record).entry).collect();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for entry in entries {
                    if write(catalog.as_ref(), &path, &record, entry).await {
                        acknowledged.push(entry);
                    }
                }
                acknowledged
            })
        })
        .collect()
}

/// I1, I2: every acknowledged append is in the tail exactly once, each writer's own in its order.
pub(super) async fn appends(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(one).await;
    let mut acknowledged = Vec::new();
    for writer in spawn_writers(one, other, samples, &record, 4) {
        acknowledged.push(writer.await.unwrap());
    }
    let wal = one.read_record(&path).await.unwrap().unwrap().wal;
    assert_eq!(wal.len(), RACERS * 4);
    for entries in acknowledged {
        assert_eq!(entries.len(), 4);
        let found: Vec<WalEntry> = wal.iter().copied().filter(|entry| entries.contains(entry)).collect();
        assert_eq!(found, entries);
    }
}

/// I2: two folders take entries away while writers append; each entry is folded once, in order, or still there.
pub(super) async fn appends_and_folds(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, record) = samples.new_index(one).await;
    let writers = spawn_writers(one, other, samples, &record, 4);
    let mut folded: Vec<WalEntry> = Vec::new();
    for round in 0..12 {
        let now = one.read_record(&path).await.unwrap().unwrap();
        let fold = now.wal.len().min(5);
        // Two folds of the same entries at once: one is published.
        let rivals = (samples.publish(&now, fold), samples.publish(&now, fold));
        let outcomes = tokio::join!(one.publish(&path, &rivals.0), other.publish(&path, &rivals.1));
        let won = [outcomes.0.unwrap(), outcomes.1.unwrap()]
            .iter()
            .filter(|commit| **commit == Commit::Done)
            .count();
        assert_eq!(won, 1, "round {round}");
        folded.extend(&now.wal[..fold]);
    }
    let mut acknowledged = HashSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let now = other.read_record(&path).await.unwrap().unwrap();
    assert_eq!(now.wal_base, folded.len() as u64);
    assert_eq!(now.manifest.unwrap().version.0, 12);
    folded.extend(&now.wal);
    assert_eq!(folded.len(), RACERS * 4);
    assert_eq!(folded.into_iter().collect::<HashSet<_>>(), acknowledged);
}

/// Of many creations of one name one succeeds, and its record is the one that is read.
pub(super) async fn one_creation_wins(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let bucket = samples.new_bucket(one).await;
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (catalog, record) = (pick(one, other, racer), samples.record(&bucket, "index"));
            tokio::spawn(async move { (record.uuid, catalog.create_index(&record).await.unwrap()) })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            (uuid, CreateIndex::Created) => winners.push(uuid),
            (_, outcome) => assert_eq!(outcome, CreateIndex::Exists),
        }
    }
    let record = samples.record(&bucket, "index");
    let now = other.read_record(&path(&record)).await.unwrap().unwrap();
    assert_eq!(winners, [now.uuid]);
}

/// A bucket is never deleted under an index that was created in it.
pub(super) async fn create_against_delete_bucket(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    for round in 0..16 {
        let bucket = samples.new_bucket(one).await;
        let record = samples.record(&bucket, "index");
        let path = path(&record);
        let (created, deleted) = tokio::join!(
            one.create_index(&record),
            other.delete_bucket(&bucket.name, bucket.uuid)
        );
        let found = one.read_record(&path).await.unwrap();
        match (created.unwrap(), deleted.unwrap()) {
            (CreateIndex::Created, DeleteBucket::NotEmpty) => assert_eq!(found, Some(record), "round {round}"),
            (CreateIndex::NoBucket, DeleteBucket::Deleted) => assert_eq!(found, None, "round {round}"),
            outcome => panic!("round {round}: {outcome:?}"),
        }
    }
}

/// I7: an append is acknowledged before the deletion or refused; the new life of the name stays empty.
pub(super) async fn append_against_delete(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    for _ in 0..4 {
        let (path, record) = samples.new_index(one).await;
        let writers = spawn_writers(one, other, samples, &record, 2);
        tokio::task::yield_now().await;
        assert_eq!(
            one.delete_index(&path, record.uuid, 1).await.unwrap(),
            DeleteIndex::Deleted
        );
        let new = IndexRecord {
            uuid: IndexUuid(samples.ids.uuid()),
            ..record
        };
        assert_eq!(other.create_index(&new).await.unwrap(), CreateIndex::Created);
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(one.read_record(&path).await.unwrap(), Some(new));
    }
}

/// A read-modify-write of one attachment by many: every change counts.
pub(super) async fn tags(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let owner: OwnerUuid = BucketUuid(samples.ids.uuid()).into();
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let catalog = pick(one, other, racer);
            tokio::spawn(async move {
                loop {
                    let (text, revision) = match catalog.read_attachment(owner, Attachment::Tags).await.unwrap() {
                        Some((text, revision)) => (text, Some(revision)),
                        None => (String::new(), None),
                    };
                    let next = Some(format!("{text}{racer} "));
                    match catalog.write_attachment(owner, Attachment::Tags, next, revision).await {
                        Ok(WriteAttachment::Done) => return,
                        Ok(WriteAttachment::Changed) | Err(StoreError::Throttled { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap();
    }
    let (text, _) = one.read_attachment(owner, Attachment::Tags).await.unwrap().unwrap();
    let mut found: Vec<usize> = text.split_whitespace().map(|racer| racer.parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..RACERS).collect::<Vec<_>>());
}
