//! Indexes: create, delete, list; and the walks over everything.

use format::{IndexRecord, TOMBSTONE_SCHEMA};
use futures::{StreamExt, TryStreamExt};
use model::{BucketName, BucketUuid, IndexName, IndexUuid};

use super::DynamoCatalog;
use super::item::{self, Reader};
use super::request::Query;
use super::schema::{self, Item, number, text};
use super::transact::{Attempts, Transacted};
use crate::catalog::{CreateIndex, DeleteIndex, DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Tombstone};
use crate::error::StoreError;

/// Items read per request at most.
const PAGE: usize = 1000;
/// Buckets walked at a time.
const PARALLEL_READS: usize = 32;

impl DynamoCatalog {
    pub(super) async fn create_index_items(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let path = IndexPath {
            bucket: record.bucket.clone(),
            index: record.index.clone(),
        };
        let mut attempts = Attempts::new(self, format!("creating index {}/{}", path.bucket, path.index));
        let count_up = vec![
            (":uuid", text(record.bucket_uuid)),
            (":most", number(self.settings.indexes_per_bucket)),
            (":one", number(1)),
        ];
        let items = [
            self.put_new(item::from_name(&path, record))?,
            self.put_new(item::from_record(&path, record)?)?,
            self.update_if(
                schema::bucket_key(&path.bucket),
                "SET #index_count = #index_count + :one",
                "#uuid = :uuid AND #index_count < :most",
                count_up,
            )?,
            // I7: a late copy of this creation must not bring back an index that was deleted since.
            self.require_absent(schema::index_tombstone_key(record.uuid))?,
        ];
        loop {
            if let Transacted::Done = attempts.send(&items).await? {
                return Ok(CreateIndex::Created);
            }
            match self.why_not_created(&path, record).await? {
                Some(CreateIndex::Created) => return Ok(CreateIndex::Created),
                Some(refusal) => return attempts.refuse(refusal),
                None => attempts.conflicted().await?,
            }
        }
    }

    /// What stands against a creation now, or that it has been made; `None`: nothing any more.
    async fn why_not_created(&self, path: &IndexPath, record: &IndexRecord) -> Result<Option<CreateIndex>, StoreError> {
        let what = "the state of a creation";
        let (named, buried, bucket) = futures::try_join!(
            self.read_item(schema::name_key(path), what),
            self.read_item(schema::index_tombstone_key(record.uuid), what),
            self.read_whole_bucket(&path.bucket),
        )?;
        let named: Option<IndexUuid> = named
            .map(|named| Reader::new(&named, &what).parsed(schema::UUID))
            .transpose()?;
        // Ours has the name, or had it and was deleted.
        if named == Some(record.uuid) || buried.is_some() {
            return Ok(Some(CreateIndex::Created));
        }
        let Some(bucket) = bucket else {
            return Ok(Some(CreateIndex::NoBucket));
        };
        let bucket = Reader::new(&bucket, &path.bucket);
        if bucket.parsed::<BucketUuid>(schema::UUID)? != record.bucket_uuid {
            return Ok(Some(CreateIndex::NoBucket));
        }
        if named.is_some() {
            return Ok(Some(CreateIndex::Exists));
        }
        let is_full = bucket.number::<usize>(schema::INDEX_COUNT)? >= self.settings.indexes_per_bucket;
        Ok(is_full.then_some(CreateIndex::TooMany))
    }

    pub(super) async fn delete_index_items(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        now_ms: u64,
    ) -> Result<DeleteIndex, StoreError> {
        let mut attempts = Attempts::new(self, format!("deleting index {}/{}", path.bucket, path.index));
        let is_ours = || vec![(":uuid", text(uuid))];
        let count_down = vec![(":none", number(0)), (":one", number(1))];
        let mut tombstone = schema::index_tombstone_key(uuid);
        tombstone.insert(schema::SCHEMA.to_owned(), number(TOMBSTONE_SCHEMA));
        tombstone.insert(schema::BUCKET.to_owned(), text(&path.bucket));
        tombstone.insert(schema::INDEX.to_owned(), text(&path.index));
        tombstone.insert(schema::DELETED.to_owned(), number(now_ms));
        let items = [
            self.delete_if(schema::record_key(path), "#uuid = :uuid", is_ours())?,
            self.delete_if(schema::name_key(path), "#uuid = :uuid", is_ours())?,
            self.update_if(
                schema::bucket_key(&path.bucket),
                "SET #index_count = #index_count - :one",
                "#index_count > :none",
                count_down,
            )?,
            self.put_new(tombstone)?,
        ];
        loop {
            if let Transacted::Done = attempts.send(&items).await? {
                return Ok(DeleteIndex::Deleted);
            }
            let record = self.read_record_item(path).await?;
            if record.is_none_or(|record| record.uuid != uuid) {
                let tombstone = schema::index_tombstone_key(uuid);
                let was_ours = attempts.ambiguous && self.read_item(tombstone, "a tombstone").await?.is_some();
                return Ok(if was_ours {
                    DeleteIndex::Deleted
                } else {
                    DeleteIndex::Missing
                });
            }
            attempts.conflicted().await?;
        }
    }

    pub(super) async fn list_index_items(
        &self,
        bucket: &BucketName,
        page: &NamePage,
    ) -> Result<Option<IndexNames>, StoreError> {
        let Some(found) = self.read_bucket_item(bucket).await? else {
            return Ok(None);
        };
        // The name may lead to another bucket by now, whose indexes are not this one's.
        let is_of_it = |stored: &Item| -> Result<bool, StoreError> {
            let of: BucketUuid = Reader::new(stored, bucket).parsed(schema::BUCKET_UUID)?;
            Ok(of == found.uuid)
        };
        let indexes = self.list_names(&schema::names_pk(bucket), page, is_of_it).await?;
        Ok(Some(IndexNames {
            bucket: found.uuid,
            indexes,
        }))
    }

    /// Marks are found through an index that follows the records with a delay: a sweep that misses one finds it the
    /// next time.
    pub(super) async fn scan_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        let mut dirty = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .again
                .scan()
                .table_name(&self.table)
                .index_name(schema::DIRTY)
                .set_exclusive_start_key(start)
                .send()
                .await;
            let output = answer.map_err(|error| {
                let failure = self.failure(&error, "dynamodb:Scan");
                failure.into_store_error("listing dirty indexes")
            })?;
            for stored in output.items.unwrap_or_default() {
                dirty.push(to_dirty(&stored)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(dirty);
            }
        }
    }

    pub(super) async fn walk_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        let everything = NamePage {
            limit: usize::MAX,
            ..NamePage::default()
        };
        let buckets = self.list_bucket_items(&everything).await?;
        let mut walked = futures::stream::iter(buckets)
            .map(|bucket| self.walk_bucket(bucket.name))
            .buffered(PARALLEL_READS);
        let mut found = Vec::new();
        while let Some(indexes) = walked.try_next().await? {
            found.extend(indexes);
        }
        Ok(found)
    }

    async fn walk_bucket(&self, name: String) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        let everything = NamePage {
            limit: usize::MAX,
            ..NamePage::default()
        };
        let corrupt = |name: &str| StoreError::corrupt(name, "it is no name");
        let bucket = BucketName::parse(&name).map_err(|_| corrupt(&name))?;
        let named = self
            .list_names(&schema::names_pk(&bucket), &everything, |_| Ok(true))
            .await?;
        let path = |entry: NameEntry| {
            let index = IndexName::parse(&entry.name).map_err(|_| corrupt(&entry.name))?;
            let bucket = bucket.clone();
            Ok((IndexPath { bucket, index }, IndexUuid(entry.uuid)))
        };
        named.into_iter().map(path).collect()
    }

    pub(super) async fn read_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        let mut tombstones = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let query = Query {
                pk: schema::DELETED_INDEXES,
                after: after.as_deref(),
                from: None,
                limit: PAGE,
            };
            let (items, more) = self.query(&query).await?;
            for stored in &items {
                let read = Reader::new(stored, &"a tombstone");
                after = Some(read.text(schema::SK)?.to_owned());
                tombstones.push(Tombstone {
                    uuid: read.parsed(schema::SK)?,
                    deleted_ms: read.number(schema::DELETED)?,
                });
            }
            if !more {
                return Ok(tombstones);
            }
        }
    }
}

fn to_dirty(stored: &Item) -> Result<DirtyIndex, StoreError> {
    let read = Reader::new(stored, &"a dirty mark");
    let pk = read.text(schema::PK)?;
    let path = schema::record_path(pk).ok_or_else(|| StoreError::corrupt(pk, "it is not the key of a record"))?;
    let retry_at_ms = if read.has(schema::RETRY_AT) {
        read.number(schema::RETRY_AT)?
    } else {
        0
    };
    Ok(DirtyIndex {
        path,
        uuid: read.parsed(schema::UUID)?,
        dirty_since_ms: read.number(schema::DIRTY_SINCE)?,
        retry_at_ms,
    })
}
