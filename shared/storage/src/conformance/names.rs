//! Buckets and indexes by name.

use std::sync::Arc;

use model::{BucketUuid, Encryption, IndexName, IndexUuid};

use super::samples::{Samples, path};
use crate::catalog::{
    BucketInfo, Catalog, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex, IndexNames, IndexPath,
    NameEntry, NamePage,
};

fn all(limit: usize) -> NamePage {
    NamePage {
        prefix: None,
        after: None,
        limit,
    }
}

pub(super) async fn buckets(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let encryption = Encryption::Kms {
        key_arn: "arn:aws:kms:us-east-1:123456789012:key/k".to_owned(),
    };
    let bucket = BucketInfo {
        encryption,
        ..samples.bucket()
    };
    assert_eq!(one.read_bucket(&bucket.name).await.unwrap(), None);
    assert_eq!(
        one.delete_bucket(&bucket.name, bucket.uuid).await.unwrap(),
        DeleteBucket::Missing
    );
    assert_eq!(one.create_bucket(&bucket).await.unwrap(), CreateBucket::Created);
    assert_eq!(
        other.create_bucket(&bucket).await.unwrap(),
        CreateBucket::Created,
        "its own uuid is a success"
    );
    let rival = BucketInfo {
        uuid: BucketUuid(samples.ids.uuid()),
        ..bucket.clone()
    };
    assert_eq!(other.create_bucket(&rival).await.unwrap(), CreateBucket::Exists);
    for catalog in [one, other] {
        assert_eq!(catalog.read_bucket(&bucket.name).await.unwrap().as_ref(), Some(&bucket));
        let page = NamePage {
            prefix: Some(bucket.name.to_string()),
            ..all(10)
        };
        let entry = NameEntry {
            name: bucket.name.to_string(),
            uuid: bucket.uuid.0,
            created_ms: bucket.created_ms,
        };
        assert_eq!(catalog.list_buckets(&page).await.unwrap(), [entry]);
    }
    assert_eq!(
        one.delete_bucket(&bucket.name, rival.uuid).await.unwrap(),
        DeleteBucket::Missing
    );
    assert_eq!(
        one.delete_bucket(&bucket.name, bucket.uuid).await.unwrap(),
        DeleteBucket::Deleted
    );
    for catalog in [one, other] {
        assert_eq!(catalog.read_bucket(&bucket.name).await.unwrap(), None);
        assert_eq!(catalog.list_indexes(&bucket.name, &all(10)).await.unwrap(), None);
    }
    assert_eq!(one.create_bucket(&rival).await.unwrap(), CreateBucket::Created);
    assert_eq!(other.read_bucket(&bucket.name).await.unwrap(), Some(rival.clone()));
    assert_eq!(
        other.delete_bucket(&bucket.name, bucket.uuid).await.unwrap(),
        DeleteBucket::Missing
    );
    assert_eq!(
        other.delete_bucket(&bucket.name, rival.uuid).await.unwrap(),
        DeleteBucket::Deleted
    );
    // A copy of the creation that arrives late does not bring back what was deleted.
    one.create_bucket(&rival).await.unwrap();
    for catalog in [one, other] {
        assert_eq!(catalog.read_bucket(&bucket.name).await.unwrap(), None);
    }
}

pub(super) async fn indexes(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let bucket = samples.bucket();
    let record = samples.record(&bucket, "index");
    assert_eq!(one.foresee_index(&record).await.unwrap(), CreateIndex::NoBucket);
    assert_eq!(one.create_index(&record).await.unwrap(), CreateIndex::NoBucket);
    assert_eq!(one.create_bucket(&bucket).await.unwrap(), CreateBucket::Created);
    assert_eq!(one.foresee_index(&record).await.unwrap(), CreateIndex::Created);
    assert_eq!(one.read_record(&path(&record)).await.unwrap(), None);
    let named = |indexes: Vec<NameEntry>| {
        Some(IndexNames {
            bucket: bucket.uuid,
            indexes,
        })
    };
    assert_eq!(one.list_indexes(&bucket.name, &all(10)).await.unwrap(), named(vec![]));
    assert_eq!(one.create_index(&record).await.unwrap(), CreateIndex::Created);
    assert_eq!(
        other.create_index(&record).await.unwrap(),
        CreateIndex::Created,
        "its own uuid is a success"
    );
    let rival = samples.record(&bucket, "index");
    assert_eq!(other.foresee_index(&rival).await.unwrap(), CreateIndex::Exists);
    assert_eq!(other.foresee_index(&record).await.unwrap(), CreateIndex::Created);
    assert_eq!(other.create_index(&rival).await.unwrap(), CreateIndex::Exists);
    for catalog in [one, other] {
        assert_eq!(
            catalog.read_record(&path(&record)).await.unwrap().as_ref(),
            Some(&record)
        );
        let entry = NameEntry {
            name: "index".to_owned(),
            uuid: record.uuid.0,
            created_ms: record.created_ms,
        };
        assert_eq!(
            catalog.list_indexes(&bucket.name, &all(10)).await.unwrap(),
            named(vec![entry])
        );
        assert!(
            catalog
                .list_all_indexes()
                .await
                .unwrap()
                .contains(&(path(&record), record.uuid))
        );
        assert_eq!(
            catalog.delete_bucket(&bucket.name, bucket.uuid).await.unwrap(),
            DeleteBucket::NotEmpty
        );
    }
    let now_ms = samples.ids.now_ms();
    assert_eq!(
        one.delete_index(&path(&record), rival.uuid, now_ms).await.unwrap(),
        DeleteIndex::Missing
    );
    assert_eq!(
        one.delete_index(&path(&record), record.uuid, now_ms).await.unwrap(),
        DeleteIndex::Deleted
    );
    for catalog in [one, other] {
        assert_eq!(catalog.read_record(&path(&record)).await.unwrap(), None);
        assert_eq!(
            catalog.list_indexes(&bucket.name, &all(10)).await.unwrap(),
            named(vec![])
        );
        assert_eq!(
            catalog
                .delete_index(&path(&record), record.uuid, now_ms + 1)
                .await
                .unwrap(),
            DeleteIndex::Missing
        );
        let tombstones = catalog.list_tombstones().await.unwrap();
        let ours: Vec<_> = tombstones
            .iter()
            .filter(|tombstone| tombstone.uuid == record.uuid)
            .collect();
        assert_eq!(
            ours.iter().map(|tombstone| tombstone.deleted_ms).collect::<Vec<_>>(),
            [now_ms]
        );
        assert!(!tombstones.iter().any(|tombstone| tombstone.uuid == rival.uuid));
    }
    assert_eq!(
        one.delete_bucket(&bucket.name, bucket.uuid).await.unwrap(),
        DeleteBucket::Deleted
    );
    assert_eq!(other.create_index(&rival).await.unwrap(), CreateIndex::NoBucket);
    assert_eq!(other.read_record(&path(&rival)).await.unwrap(), None);
}

pub(super) async fn pages(catalog: &Arc<dyn Catalog>, samples: &Samples) {
    let bucket = samples.new_bucket(catalog).await;
    let mut names: Vec<String> = (0..25).map(|number| format!("index-{}", number * 7 % 25)).collect();
    names.extend(["aaa", "index", "index.0", "zzz"].map(str::to_owned));
    for name in &names {
        let record = samples.record(&bucket, name);
        assert_eq!(catalog.create_index(&record).await.unwrap(), CreateIndex::Created);
    }
    names.sort();
    for (limit, prefix) in [
        (1, None),
        (4, None),
        (29, None),
        (30, None),
        (3, Some("index-1")),
        (100, Some("nothing")),
    ] {
        let expected: Vec<&String> = names
            .iter()
            .filter(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)))
            .collect();
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = NamePage {
                prefix: prefix.map(str::to_owned),
                after: found.last().cloned(),
                limit,
            };
            let listed = catalog
                .list_indexes(&bucket.name, &page)
                .await
                .unwrap()
                .unwrap()
                .indexes;
            let is_last = listed.len() < limit;
            assert!(listed.len() <= limit);
            found.extend(listed.into_iter().map(|entry| entry.name));
            if is_last {
                break;
            }
        }
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "pages of {limit}, prefix {prefix:?}"
        );
    }
}

/// I7: delete and create of a name give an empty index at once, and nothing old can touch it.
pub(super) async fn a_name_again(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let (path, old) = samples.new_index(one).await;
    // Both have seen the old life and may remember it.
    assert!(other.read_record(&path).await.unwrap().is_some());
    assert_eq!(other.append(&path, &samples.append(&old)).await.unwrap(), Commit::Done);
    assert_eq!(
        one.delete_index(&path, old.uuid, 1).await.unwrap(),
        DeleteIndex::Deleted
    );
    let new = format::IndexRecord {
        uuid: IndexUuid(samples.ids.uuid()),
        ..old.clone()
    };
    assert_eq!(one.create_index(&new).await.unwrap(), CreateIndex::Created);
    assert_eq!(other.read_record(&path).await.unwrap().as_ref(), Some(&new));
    let refused = other.append(&path, &samples.append(&old)).await.unwrap();
    assert_eq!(
        refused,
        Commit::Refused(Some(Box::new(new.clone()))),
        "an append to the old life shows the new one"
    );
    let refused = one.publish(&path, &samples.publish(&old, 0)).await.unwrap();
    assert_eq!(refused, Commit::Refused(Some(Box::new(new.clone()))));
    assert_eq!(
        other
            .raise_floor(&path, old.uuid, samples.ids.ulid(old.floor))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        other.delete_index(&path, old.uuid, 2).await.unwrap(),
        DeleteIndex::Missing
    );
    assert_eq!(one.read_record(&path).await.unwrap(), Some(new.clone()));
    let nowhere = IndexPath {
        index: IndexName::parse("nowhere").unwrap(),
        ..path.clone()
    };
    assert_eq!(
        other.append(&nowhere, &samples.append(&old)).await.unwrap(),
        Commit::Refused(None)
    );
    assert_eq!(
        other.delete_index(&path, new.uuid, 3).await.unwrap(),
        DeleteIndex::Deleted
    );
    assert_eq!(
        one.append(&path, &samples.append(&new)).await.unwrap(),
        Commit::Refused(None)
    );
    // A copy of the creation that arrives late does not bring back what was deleted.
    one.create_index(&new).await.unwrap();
    for catalog in [one, other] {
        assert_eq!(catalog.read_record(&path).await.unwrap(), None);
        let listed = catalog.list_indexes(&path.bucket, &all(10)).await.unwrap().unwrap();
        assert_eq!(listed.indexes, []);
    }
}
