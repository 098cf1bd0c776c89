//! Indexes: each bucket's document names them, each has a document with its record. And the walk over everything.

use std::sync::Arc;

use format::{BucketDoc, BucketState, IndexDoc, IndexLink, IndexRecord, IndexState, TOMBSTONE_SCHEMA};
use futures::{StreamExt, TryStreamExt};
use model::{BucketName, IndexName, IndexUuid};

use super::CasCatalog;
use super::buckets::{FoundBucket, after_effect, is_on_page};
use super::documents::{Step, Version};
use super::records::{index_document, live, record_of};
use crate::catalog::{CreateIndex, DeleteIndex, DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Tombstone};
use crate::error::StoreError;
use crate::paths::{self, ObjectName};

/// Rounds of "somebody else's remains are in the way".
const ROUNDS: usize = 32;
/// Tombstones listed per request.
const TOMBSTONE_PAGE: usize = 1000;

type IndexVersion = Option<Arc<Version<IndexDoc>>>;

enum LinkIndex {
    Ours,
    Other(IndexLink),
    NoBucket,
    TooMany,
}

enum KillIndex {
    Deleted,
    DeadAlready,
    Missing,
}

impl CasCatalog {
    pub(super) async fn create_index_document(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let path = IndexPath {
            bucket: record.bucket.clone(),
            index: record.index.clone(),
        };
        for _ in 0..ROUNDS {
            let Some(bucket) = self.find_bucket_by_uuid(record.bucket_uuid).await? else {
                return Ok(CreateIndex::NoBucket);
            };
            let linked = match bucket.link(&record.index) {
                Some(link) if link.uuid == record.uuid => LinkIndex::Ours,
                Some(link) => LinkIndex::Other(link),
                // Looked at before the child is made: a refusal leaves nothing.
                None if bucket.count() >= self.config.indexes_per_bucket => LinkIndex::TooMany,
                // The child first: a name never points at nothing.
                None => self.create_and_link_index(record).await?,
            };
            let other = match linked {
                LinkIndex::Ours => return Ok(CreateIndex::Created),
                LinkIndex::NoBucket => return Ok(CreateIndex::NoBucket),
                LinkIndex::TooMany => return self.refused(record, CreateIndex::TooMany).await,
                LinkIndex::Other(link) => link,
            };
            let version = self.read_index(other.uuid).await?;
            if record_of(&version).is_some() {
                return self.refused(record, CreateIndex::Exists).await;
            }
            self.bury(&path, &version).await?;
        }
        Err(StoreError::throttled(format!(
            "creating index {}/{}",
            record.bucket, record.index
        )))
    }

    /// Another index has the name, or the place. Ours may have had it for a moment, if it was deleted in between.
    async fn refused(&self, record: &IndexRecord, refusal: CreateIndex) -> Result<CreateIndex, StoreError> {
        let ours = self.read_index(record.uuid).await?;
        let was_deleted = ours.is_some_and(|version| matches!(version.document.state, IndexState::Dead(_)));
        Ok(if was_deleted { CreateIndex::Created } else { refusal })
    }

    pub(super) async fn foresee_index_document(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        let Some(bucket) = self.find_bucket_by_uuid(record.bucket_uuid).await? else {
            return Ok(CreateIndex::NoBucket);
        };
        Ok(match bucket.link(&record.index) {
            Some(link) if link.uuid == record.uuid => CreateIndex::Created,
            Some(link) if record_of(&self.read_index(link.uuid).await?).is_some() => CreateIndex::Exists,
            // The remains of a deletion: they are removed, and their place is free.
            Some(_) => CreateIndex::Created,
            None if bucket.count() >= self.config.indexes_per_bucket => CreateIndex::TooMany,
            None => CreateIndex::Created,
        })
    }

    async fn create_and_link_index(&self, record: &IndexRecord) -> Result<LinkIndex, StoreError> {
        let create = |document: Option<&IndexDoc>, _| match document {
            Some(document) => Step::Answer(matches!(document.state, IndexState::Live(_))),
            None => Step::Write(index_document(IndexState::Live(Box::new(record.clone()))), true),
        };
        let (is_live, _) = self
            .documents
            .update(&paths::catalog_index(record.uuid), None, create)
            .await?;
        if !is_live {
            // An earlier attempt of the same creation was linked, and the index deleted since.
            return Ok(LinkIndex::Ours);
        }
        let most = self.config.indexes_per_bucket;
        let link = |bucket: Option<&BucketDoc>, _| {
            let Some(mut next) = bucket.cloned() else {
                return Step::Answer(LinkIndex::NoBucket);
            };
            let BucketState::Live { indexes, .. } = &mut next.state else {
                return Step::Answer(LinkIndex::NoBucket);
            };
            match indexes.get(&record.index) {
                Some(link) if link.uuid == record.uuid => return Step::Answer(LinkIndex::Ours),
                Some(link) => return Step::Answer(LinkIndex::Other(*link)),
                None if indexes.len() >= most => return Step::Answer(LinkIndex::TooMany),
                None => {}
            }
            let link = IndexLink {
                uuid: record.uuid,
                created_ms: record.created_ms,
            };
            indexes.insert(record.index.clone(), link);
            Step::Write(next, LinkIndex::Ours)
        };
        Ok(self
            .documents
            .update(&paths::catalog_bucket(record.bucket_uuid), None, link)
            .await?
            .0)
    }

    pub(super) async fn delete_index_document(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        now_ms: u64,
    ) -> Result<DeleteIndex, StoreError> {
        let decide = |document: Option<&IndexDoc>, ambiguous: bool| match document {
            None => Step::Answer(KillIndex::Missing),
            Some(document) if live(document, path).is_some() => {
                let tombstone = format::Tombstone {
                    schema: TOMBSTONE_SCHEMA,
                    uuid,
                    bucket: path.bucket.clone(),
                    index: path.index.clone(),
                    deleted_ms: now_ms,
                };
                Step::Write(index_document(IndexState::Dead(tombstone)), KillIndex::Deleted)
            }
            Some(IndexDoc {
                state: IndexState::Dead(_),
                ..
            }) if ambiguous => Step::Answer(KillIndex::Deleted),
            Some(IndexDoc {
                state: IndexState::Dead(_),
                ..
            }) => Step::Answer(KillIndex::DeadAlready),
            Some(_) => Step::Answer(KillIndex::Missing),
        };
        let start = self.cache.index_version(uuid);
        let (killed, version) = self
            .documents
            .update(&paths::catalog_index(uuid), start, decide)
            .await?;
        self.cache.forget_index(path);
        match killed {
            KillIndex::Deleted => {
                self.bury(path, &version).await.map_err(after_effect)?;
                Ok(DeleteIndex::Deleted)
            }
            KillIndex::DeadAlready => {
                self.finish_index_deletion(path, &version).await;
                Ok(DeleteIndex::Missing)
            }
            KillIndex::Missing => Ok(DeleteIndex::Missing),
        }
    }

    /// [`CasCatalog::bury`] for whoever meets a dead child by name.
    pub(super) async fn finish_index_deletion(&self, path: &IndexPath, version: &IndexVersion) {
        self.tidy(self.bury(path, version)).await;
    }

    /// The end of a deletion: the tombstone first, since nobody meets the child once its name is gone.
    pub(super) async fn bury(&self, path: &IndexPath, version: &IndexVersion) -> Result<(), StoreError> {
        let Some(version) = version else {
            return Err(StoreError::corrupt(
                &path.bucket,
                format!("it names index {} without a document", path.index),
            ));
        };
        let IndexState::Dead(tombstone) = &version.document.state else {
            return Ok(());
        };
        let name = paths::catalog_tombstone(tombstone.uuid);
        let bytes = tombstone
            .encode()
            .map_err(|error| StoreError::other_because(format!("encoding {name}"), error))?;
        self.documents.put_for_deletion(&name, bytes).await?;
        self.unlink_index(path, tombstone.uuid).await
    }

    /// Removes a name from its bucket, if it still leads to this uuid.
    async fn unlink_index(&self, path: &IndexPath, uuid: IndexUuid) -> Result<(), StoreError> {
        let Some(bucket) = self.find_bucket(&path.bucket).await? else {
            return Ok(());
        };
        let decide = |bucket: Option<&BucketDoc>, _| {
            let Some(mut next) = bucket.cloned() else {
                return Step::Answer(());
            };
            let BucketState::Live { indexes, .. } = &mut next.state else {
                return Step::Answer(());
            };
            if indexes.get(&path.index).is_none_or(|link| link.uuid != uuid) {
                return Step::Answer(());
            }
            indexes.remove(&path.index);
            Step::Write(next, ())
        };
        self.documents
            .update(&paths::catalog_bucket(bucket.info.uuid), None, decide)
            .await
            .map(|_| ())
    }

    /// The uuid that a name leads to, by way of root and bucket.
    pub(super) async fn resolve_index(&self, path: &IndexPath) -> Result<Option<IndexUuid>, StoreError> {
        let bucket = self.find_bucket(&path.bucket).await?;
        Ok(bucket.and_then(|bucket| bucket.link(&path.index)).map(|link| link.uuid))
    }

    pub(super) async fn list_index_names(
        &self,
        bucket: &BucketName,
        page: &NamePage,
    ) -> Result<Option<IndexNames>, StoreError> {
        let Some(found) = self.find_bucket(bucket).await? else {
            return Ok(None);
        };
        let mut named = found.links();
        named.retain(|(name, _)| is_on_page(name.as_str(), page));
        // A name whose child is dead does not exist: a listing must not say otherwise.
        let mut checked = futures::stream::iter(named)
            .map(|(name, link)| self.check_link(bucket, name, link))
            .buffered(self.config.parallel_reads);
        let mut entries = Vec::new();
        while entries.len() < page.limit {
            let Some(next) = checked.next().await else {
                break;
            };
            if let Some((path, version)) = next? {
                let Some(record) = record_of(&version) else {
                    continue;
                };
                let name = path.index.to_string();
                entries.push(NameEntry {
                    name,
                    uuid: record.uuid.0,
                    created_ms: record.created_ms,
                });
            }
        }
        Ok(Some(IndexNames {
            bucket: found.info.uuid,
            indexes: entries,
        }))
    }

    /// The live document behind a link; a dead one's deletion is finished on the way.
    async fn check_link(
        &self,
        bucket: &BucketName,
        name: IndexName,
        link: IndexLink,
    ) -> Result<Option<(IndexPath, IndexVersion)>, StoreError> {
        let path = IndexPath {
            bucket: bucket.clone(),
            index: name,
        };
        let version = self.read_index(link.uuid).await?;
        if record_of(&version).is_some() {
            return Ok(Some((path, version)));
        }
        self.finish_index_deletion(&path, &version).await;
        Ok(None)
    }

    pub(super) async fn walk_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.walk(|path, record| {
            let dirty_since_ms = record.dirty_since_ms?;
            let retry_at_ms = record.lease.as_ref().map_or(0, |lease| lease.retry_at_ms);
            Some(DirtyIndex {
                path,
                uuid: record.uuid,
                dirty_since_ms,
                retry_at_ms,
            })
        })
        .await
    }

    pub(super) async fn walk_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.walk(|path, record| Some((path, record.uuid))).await
    }

    /// Every live index, bucket by bucket, in the order of the names.
    async fn walk<T>(&self, pick: impl Fn(IndexPath, &IndexRecord) -> Option<T>) -> Result<Vec<T>, StoreError> {
        let mut picked = Vec::new();
        let Some(root) = self.read_root().await? else {
            return Ok(picked);
        };
        for name in root.document.buckets.keys() {
            let Some(bucket) = self.find_bucket(name).await? else {
                continue;
            };
            self.walk_bucket(&bucket, &pick, &mut picked).await?;
        }
        Ok(picked)
    }

    async fn walk_bucket<T>(
        &self,
        bucket: &FoundBucket,
        pick: &impl Fn(IndexPath, &IndexRecord) -> Option<T>,
        picked: &mut Vec<T>,
    ) -> Result<(), StoreError> {
        let mut checked = futures::stream::iter(bucket.links())
            .map(|(name, link)| self.check_link(&bucket.info.name, name, link))
            .buffered(self.config.parallel_reads);
        while let Some(next) = checked.next().await {
            if let Some((path, version)) = next? {
                picked.extend(record_of(&version).and_then(|record| pick(path, record)));
            }
        }
        Ok(())
    }

    pub(super) async fn read_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        let store = self.documents.store();
        let mut tombstones = Vec::new();
        let mut after = None;
        loop {
            let page = store
                .list(paths::TOMBSTONE_PREFIX, after.as_ref(), TOMBSTONE_PAGE)
                .await?;
            let is_last = page.len() < TOMBSTONE_PAGE;
            after = page.last().map(|meta| meta.name.clone());
            let read: Vec<Tombstone> = futures::stream::iter(page)
                .map(|meta| self.read_tombstone(meta.name))
                .buffered(self.config.parallel_reads)
                .try_collect()
                .await?;
            tombstones.extend(read);
            if is_last {
                return Ok(tombstones);
            }
        }
    }

    async fn read_tombstone(&self, name: ObjectName) -> Result<Tombstone, StoreError> {
        let bytes = self.documents.store().get(&name).await?;
        let stored = format::Tombstone::decode(&bytes).map_err(|error| StoreError::corrupt(&name, error))?;
        Ok(Tombstone {
            uuid: stored.uuid,
            deleted_ms: stored.deleted_ms,
        })
    }
}
