//! The commits on one index record. The conditions are those of [`conditions`](crate::conditions); this file only
//! says what each refusal means once an attempt may have gone through unseen.

use std::sync::Arc;

use format::{CATALOG_SCHEMA, IndexDoc, IndexRecord, IndexState};
use model::{IndexUuid, Ulid};

use super::CasCatalog;
use super::documents::{Step, Version};
use crate::catalog::{Append, ClearDirty, Commit, IndexPath, Publish, SetLease};
use crate::conditions::{self, Refusal};
use crate::error::StoreError;
use crate::paths;

/// How an update of a record ended.
enum Outcome {
    Done,
    /// Refused by the record of the version that comes with it.
    Refused,
    /// The document is dead or missing: the name, if it still leads anywhere, leads to another life.
    Gone,
}

type IndexVersion = Option<Arc<Version<IndexDoc>>>;

impl CasCatalog {
    pub(super) async fn commit_append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        let apply = |record: &IndexRecord, ambiguous: bool| match conditions::apply_append(record, append) {
            // The entry may have been committed and folded since: only the manifest's `folded` knows.
            Err(Refusal::BaseMoved) if ambiguous => Err(None),
            applied => applied.map_err(Some),
        };
        self.commit(path, append.uuid, apply).await
    }

    pub(super) async fn commit_publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        // A manifest that moved on is for the caller to judge, ambiguous or not: its `parents` tell.
        self.commit(path, publish.uuid, |record, _| {
            conditions::apply_publish(record, publish).map_err(Some)
        })
        .await
    }

    pub(super) async fn commit_clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.commit(path, clear.uuid, |record, _| {
            conditions::apply_clear_dirty(record, clear).map_err(Some)
        })
        .await
    }

    pub(super) async fn commit_lease(&self, path: &IndexPath, set: &SetLease) -> Result<Commit, StoreError> {
        self.commit(path, set.uuid, |record, _| {
            conditions::apply_set_lease(record, set).map_err(Some)
        })
        .await
    }

    pub(super) async fn commit_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        let apply = |record: &IndexRecord, _| conditions::apply_raise_floor(record, uuid, floor).map_err(Some);
        let (outcome, version) = self.update_record(path, uuid, apply).await?;
        match outcome {
            Outcome::Done => Ok(record_of(&version).cloned()),
            Outcome::Refused | Outcome::Gone => Ok(None),
        }
    }

    async fn commit(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        apply: impl Fn(&IndexRecord, bool) -> Result<IndexRecord, Option<Refusal>> + Send + Sync,
    ) -> Result<Commit, StoreError> {
        let (outcome, version) = self.update_record(path, uuid, apply).await?;
        Ok(match outcome {
            Outcome::Done => Commit::Done,
            Outcome::Refused => Commit::Refused(record_of(&version).cloned().map(Box::new)),
            Outcome::Gone => Commit::Refused(self.find_record(path).await?.map(Box::new)),
        })
    }

    /// `apply` gives the next record, a refusal, or `None`: the record cannot say what became of a lost attempt.
    async fn update_record(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        apply: impl Fn(&IndexRecord, bool) -> Result<IndexRecord, Option<Refusal>> + Send + Sync,
    ) -> Result<(Outcome, IndexVersion), StoreError> {
        let decide = |document: Option<&IndexDoc>, ambiguous: bool| {
            let Some(record) = document.and_then(|document| live(document, path)) else {
                return Step::Answer(Outcome::Gone);
            };
            match apply(record, ambiguous) {
                Ok(next) => Step::Write(index_document(IndexState::Live(Box::new(next))), Outcome::Done),
                Err(Some(Refusal::AlreadyDone)) => Step::Answer(Outcome::Done),
                Err(Some(_)) => Step::Answer(Outcome::Refused),
                Err(None) => Step::Undecidable,
            }
        };
        let start = self.cache.index_version(uuid);
        let (outcome, version) = self
            .documents
            .update(&paths::catalog_index(uuid), start, decide)
            .await?;
        if let Some(version) = &version {
            self.cache.learn_index_version(uuid, version);
        }
        Ok((outcome, version))
    }

    /// The record behind a name: one strong read of its document when the uuid is known, else the walk from the root.
    pub(super) async fn find_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        if let Some(uuid) = self.cache.index(path) {
            let version = self.read_index(uuid).await?;
            if let Some(record) = record_of(&version) {
                return Ok(Some(record.clone()));
            }
            self.cache.forget_index(path);
        }
        let Some(uuid) = self.resolve_index(path).await? else {
            return Ok(None);
        };
        let version = self.read_index(uuid).await?;
        let Some(record) = record_of(&version) else {
            self.finish_index_deletion(path, &version).await;
            return Ok(None);
        };
        self.cache.learn_index(path, uuid);
        Ok(Some(record.clone()))
    }

    /// The document of one life of an index, strongly read.
    pub(super) async fn read_index(&self, uuid: IndexUuid) -> Result<IndexVersion, StoreError> {
        let known = self.cache.index_version(uuid);
        let version = self.documents.read(&paths::catalog_index(uuid), known).await?;
        if let Some(version) = &version {
            self.cache.learn_index_version(uuid, version);
        }
        Ok(version)
    }
}

/// The record of a live document.
pub(super) fn record_of(version: &IndexVersion) -> Option<&IndexRecord> {
    match &version.as_ref()?.document.state {
        IndexState::Live(record) => Some(record),
        IndexState::Dead(_) => None,
    }
}

/// A document in this state; the swap stamps it.
pub(super) fn index_document(state: IndexState) -> IndexDoc {
    IndexDoc {
        schema: CATALOG_SCHEMA,
        rev: 0,
        nonce: 0,
        state,
    }
}

/// The record of a live document of this name.
pub(super) fn live<'a>(document: &'a IndexDoc, path: &IndexPath) -> Option<&'a IndexRecord> {
    match &document.state {
        IndexState::Live(record) if record.bucket == path.bucket && record.index == path.index => Some(record),
        IndexState::Live(_) | IndexState::Dead(_) => None,
    }
}
