//! Buckets: create, read, delete, list.

use model::{BucketName, BucketUuid};

use super::DynamoCatalog;
use super::item::{self, Reader};
use super::request::Query;
use super::schema::{self, Item, number, text};
use super::transact::{Attempts, Transacted};
use crate::catalog::{BucketInfo, CreateBucket, DeleteBucket, NameEntry, NamePage};
use crate::error::StoreError;

/// Names listed per request at most.
const PAGE: usize = 1000;

impl DynamoCatalog {
    pub(super) async fn create_bucket_item(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        let mut attempts = Attempts::new(self, format!("creating bucket {}", bucket.name));
        let tombstone = schema::bucket_tombstone_key(bucket.uuid);
        let items = [
            self.put_new(item::from_bucket(bucket)?)?,
            // A late copy of this creation must not bring back a bucket that was deleted since.
            self.require_absent(tombstone.clone())?,
        ];
        loop {
            if let Transacted::Done = attempts.send(&items).await? {
                return Ok(CreateBucket::Created);
            }
            match self.read_bucket_item(&bucket.name).await? {
                Some(stored) if stored.uuid == bucket.uuid => return Ok(CreateBucket::Created),
                stored => {
                    // Ours had the name for a moment.
                    if self.read_item(tombstone.clone(), "a tombstone").await?.is_some() {
                        return Ok(CreateBucket::Created);
                    }
                    if stored.is_some() {
                        return attempts.refuse(CreateBucket::Exists);
                    }
                }
            }
            attempts.conflicted().await?;
        }
    }

    pub(super) async fn read_bucket_item(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        let stored = self.read_whole_bucket(name).await?;
        stored.map(|stored| item::to_bucket(name, &stored)).transpose()
    }

    /// With the count of its indexes.
    pub(super) async fn read_whole_bucket(&self, name: &BucketName) -> Result<Option<Item>, StoreError> {
        self.read_item(schema::bucket_key(name), &format!("bucket {name}"))
            .await
    }

    pub(super) async fn delete_bucket_item(
        &self,
        name: &BucketName,
        uuid: BucketUuid,
    ) -> Result<DeleteBucket, StoreError> {
        let mut attempts = Attempts::new(self, format!("deleting bucket {name}"));
        let mut tombstone = schema::bucket_tombstone_key(uuid);
        tombstone.insert(schema::BUCKET.to_owned(), text(name));
        tombstone.insert(schema::DELETED.to_owned(), number(self.ids.now_ms()));
        let is_empty = vec![(":uuid", text(uuid)), (":none", number(0))];
        let items = [
            self.delete_if(
                schema::bucket_key(name),
                "#uuid = :uuid AND #index_count = :none",
                is_empty,
            )?,
            self.put_new(tombstone)?,
        ];
        loop {
            if let Transacted::Done = attempts.send(&items).await? {
                return Ok(DeleteBucket::Deleted);
            }
            let stored = self.read_whole_bucket(name).await?;
            let Some(count) = stored
                .map(|stored| count_of(name, uuid, &stored))
                .transpose()?
                .flatten()
            else {
                let tombstone = schema::bucket_tombstone_key(uuid);
                let was_ours = attempts.ambiguous && self.read_item(tombstone, "a tombstone").await?.is_some();
                return Ok(if was_ours {
                    DeleteBucket::Deleted
                } else {
                    DeleteBucket::Missing
                });
            };
            if count > 0 {
                // It must not vanish by an attempt that is still on its way once its indexes are gone.
                return attempts.refuse(DeleteBucket::NotEmpty);
            }
            attempts.conflicted().await?;
        }
    }

    pub(super) async fn list_bucket_items(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.list_names(schema::BUCKETS, page, |_| Ok(true)).await
    }

    /// The names of a partition that a page wants.
    pub(super) async fn list_names(
        &self,
        pk: &str,
        page: &NamePage,
        is_wanted: impl Fn(&Item) -> Result<bool, StoreError>,
    ) -> Result<Vec<NameEntry>, StoreError> {
        let mut listed = Vec::new();
        let prefix = page.prefix.as_deref().unwrap_or_default();
        // DynamoDB takes one condition on the sort key: the later of both beginnings.
        let mut after = page.after.clone().filter(|after| after.as_str() >= prefix);
        while listed.len() < page.limit {
            let query = Query {
                pk,
                after: after.as_deref(),
                from: (!prefix.is_empty()).then_some(prefix),
                limit: (page.limit - listed.len()).min(PAGE),
            };
            let (items, more) = self.query(&query).await?;
            for stored in &items {
                let entry = item::to_name(stored)?;
                if !entry.name.starts_with(prefix) {
                    return Ok(listed);
                }
                after = Some(entry.name.clone());
                if is_wanted(stored)? {
                    listed.push(entry);
                }
            }
            if !more {
                break;
            }
        }
        Ok(listed)
    }
}

/// The indexes of a stored bucket; `None`: it is another one of the same name.
fn count_of(name: &BucketName, uuid: BucketUuid, stored: &Item) -> Result<Option<u64>, StoreError> {
    let read = Reader::new(stored, name);
    if read.parsed::<BucketUuid>(schema::UUID)? != uuid {
        return Ok(None);
    }
    read.number(schema::INDEX_COUNT).map(Some)
}
