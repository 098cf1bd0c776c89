//! Buckets: the root names them, each has a document that names its indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use format::{BucketDoc, BucketLink, BucketState, CATALOG_SCHEMA, IndexLink, RootDoc};
use futures::StreamExt;
use model::{BucketName, BucketUuid, IndexName};

use super::CasCatalog;
use super::documents::{Step, Version};
use crate::catalog::{BucketInfo, CreateBucket, DeleteBucket, IndexPath, NameEntry, NamePage};
use crate::error::StoreError;
use crate::paths;

/// Rounds of "somebody else's remains are in the way": each round removes what it met.
const ROUNDS: usize = 32;

type BucketVersion = Option<Arc<Version<BucketDoc>>>;

/// A live bucket.
pub(super) struct FoundBucket {
    pub(super) info: BucketInfo,
    version: Arc<Version<BucketDoc>>,
}

impl FoundBucket {
    /// The indexes that the bucket names.
    pub(super) fn links(&self) -> Vec<(IndexName, IndexLink)> {
        owned_links(links_of(&self.version.document))
    }

    /// The index of this name.
    pub(super) fn link(&self, name: &IndexName) -> Option<IndexLink> {
        links_of(&self.version.document)?.get(name).copied()
    }

    /// How many indexes the bucket names.
    pub(super) fn count(&self) -> usize {
        links_of(&self.version.document).map_or(0, BTreeMap::len)
    }
}

enum LinkBucket {
    Ours,
    Other(BucketLink),
}

enum EmptyBucket {
    Deleted,
    Missing,
    Holds(Vec<(IndexName, IndexLink)>),
}

impl CasCatalog {
    pub(super) async fn create_bucket_document(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        for _ in 0..ROUNDS {
            let taken = self
                .read_root()
                .await?
                .and_then(|root| root.document.buckets.get(&bucket.name).copied());
            let other = match taken {
                Some(link) if link.uuid == bucket.uuid => return Ok(CreateBucket::Created),
                Some(link) => Some(link),
                // The child first: a name never points at nothing.
                None => match self.create_and_link_bucket(bucket).await? {
                    LinkBucket::Ours => return Ok(CreateBucket::Created),
                    LinkBucket::Other(link) => Some(link),
                },
            };
            if let Some(link) = other {
                if self.is_bucket_live(link.uuid).await? {
                    return Ok(CreateBucket::Exists);
                }
                self.unlink_bucket(&bucket.name, link.uuid).await?;
            }
        }
        Err(StoreError::throttled(format!("creating bucket {}", bucket.name)))
    }

    async fn create_and_link_bucket(&self, bucket: &BucketInfo) -> Result<LinkBucket, StoreError> {
        let create = |document: Option<&BucketDoc>, _| match document {
            Some(_) => Step::Answer(()),
            None => Step::Write(new_bucket(bucket), ()),
        };
        self.documents
            .update(&paths::catalog_bucket(bucket.uuid), None, create)
            .await?;
        let link = |root: Option<&RootDoc>, _| {
            let mut next = root.cloned().unwrap_or_else(empty_root);
            match next.buckets.get(&bucket.name) {
                Some(link) if link.uuid == bucket.uuid => return Step::Answer(LinkBucket::Ours),
                Some(link) => return Step::Answer(LinkBucket::Other(*link)),
                None => {}
            }
            let link = BucketLink {
                uuid: bucket.uuid,
                created_ms: bucket.created_ms,
            };
            next.buckets.insert(bucket.name.clone(), link);
            Step::Write(next, LinkBucket::Ours)
        };
        Ok(self.documents.update(&paths::catalog_root(), None, link).await?.0)
    }

    /// The bucket of this name: one strong read of its document when the uuid is known, else by way of the root.
    pub(super) async fn find_bucket(&self, name: &BucketName) -> Result<Option<FoundBucket>, StoreError> {
        if let Some(uuid) = self.cache.bucket(name) {
            if let Some(found) = found(self.read_bucket_version(uuid).await?) {
                return Ok(Some(found));
            }
            self.cache.forget_bucket(name);
        }
        let Some(link) = self
            .read_root()
            .await?
            .and_then(|root| root.document.buckets.get(name).copied())
        else {
            return Ok(None);
        };
        let Some(found) = found(self.read_bucket_version(link.uuid).await?) else {
            self.tidy(self.unlink_bucket(name, link.uuid)).await;
            return Ok(None);
        };
        self.cache.learn_bucket(name, link.uuid);
        Ok(Some(found))
    }

    pub(super) async fn list_bucket_names(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        let Some(root) = self.read_root().await? else {
            return Ok(Vec::new());
        };
        let mut named: Vec<(BucketName, BucketLink)> = Vec::new();
        for (name, link) in &root.document.buckets {
            if is_on_page(name.as_str(), page) {
                named.push((name.clone(), *link));
            }
        }
        let mut checked = futures::stream::iter(named)
            .map(|(name, link)| async move { Ok::<_, StoreError>((name, link, self.is_bucket_live(link.uuid).await?)) })
            .buffered(self.config.parallel_reads);
        let mut entries = Vec::new();
        while entries.len() < page.limit {
            let Some(next) = checked.next().await else {
                break;
            };
            let (name, link, is_live) = next?;
            if is_live {
                let entry = NameEntry {
                    name: name.to_string(),
                    uuid: link.uuid.0,
                    created_ms: link.created_ms,
                };
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    pub(super) async fn delete_bucket_document(
        &self,
        name: &BucketName,
        uuid: BucketUuid,
    ) -> Result<DeleteBucket, StoreError> {
        for _ in 0..ROUNDS {
            match self.kill_bucket(name, uuid).await? {
                EmptyBucket::Deleted => {
                    self.cache.forget_bucket(name);
                    self.unlink_bucket(name, uuid).await.map_err(after_effect)?;
                    return Ok(DeleteBucket::Deleted);
                }
                EmptyBucket::Missing => {
                    self.tidy(self.unlink_bucket(name, uuid)).await;
                    return Ok(DeleteBucket::Missing);
                }
                EmptyBucket::Holds(links) => {
                    if self.any_index_live(name, links).await? {
                        return Ok(DeleteBucket::NotEmpty);
                    }
                }
            }
        }
        Err(StoreError::throttled(format!("deleting bucket {name}")))
    }

    /// Swaps the document of an empty bucket to dead: from then on no index can be linked, and the bucket is gone.
    async fn kill_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<EmptyBucket, StoreError> {
        let deleted_ms = self.documents.ids().now_ms();
        let decide = |document: Option<&BucketDoc>, ambiguous: bool| {
            let Some(document) = document.filter(|document| document.name == *name) else {
                return Step::Answer(EmptyBucket::Missing);
            };
            match &document.state {
                BucketState::Live { indexes, .. } if indexes.is_empty() => {
                    let state = BucketState::Dead { deleted_ms };
                    Step::Write(
                        BucketDoc {
                            state,
                            ..document.clone()
                        },
                        EmptyBucket::Deleted,
                    )
                }
                BucketState::Live { indexes, .. } => Step::Answer(EmptyBucket::Holds(owned_links(Some(indexes)))),
                // Dead under another stamp than ours: somebody else's deletion came first.
                BucketState::Dead { .. } if ambiguous => Step::Answer(EmptyBucket::Deleted),
                BucketState::Dead { .. } => Step::Answer(EmptyBucket::Missing),
            }
        };
        Ok(self
            .documents
            .update(&paths::catalog_bucket(uuid), None, decide)
            .await?
            .0)
    }

    /// Whether any of these indexes lives; the deletions of dead ones are finished, so that the links go.
    async fn any_index_live(
        &self,
        bucket: &BucketName,
        links: Vec<(IndexName, IndexLink)>,
    ) -> Result<bool, StoreError> {
        let mut checked = futures::stream::iter(links)
            .map(|(name, link)| async move { Ok::<_, StoreError>((name, self.read_index(link.uuid).await?)) })
            .buffer_unordered(self.config.parallel_reads);
        let mut dead = Vec::new();
        while let Some(next) = checked.next().await {
            let (name, version) = next?;
            if super::records::record_of(&version).is_some() {
                return Ok(true);
            }
            dead.push((name, version));
        }
        drop(checked);
        for (name, version) in dead {
            let path = IndexPath {
                bucket: bucket.clone(),
                index: name,
            };
            self.bury(&path, &version).await?;
        }
        Ok(false)
    }

    /// Removes a name from the root, if it still leads to this uuid.
    async fn unlink_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<(), StoreError> {
        let decide = |root: Option<&RootDoc>, _| {
            let Some(root) = root.filter(|root| root.buckets.get(name).is_some_and(|link| link.uuid == uuid)) else {
                return Step::Answer(());
            };
            let mut next = root.clone();
            next.buckets.remove(name);
            Step::Write(next, ())
        };
        self.documents
            .update(&paths::catalog_root(), None, decide)
            .await
            .map(|_| ())
    }

    pub(super) async fn read_root(&self) -> Result<Option<Arc<Version<RootDoc>>>, StoreError> {
        self.documents.read(&paths::catalog_root(), None).await
    }

    pub(super) async fn is_bucket_live(&self, uuid: BucketUuid) -> Result<bool, StoreError> {
        Ok(found(self.read_bucket_version(uuid).await?).is_some())
    }

    async fn read_bucket_version(&self, uuid: BucketUuid) -> Result<BucketVersion, StoreError> {
        let known = self.cache.bucket_version(uuid);
        let version = self.documents.read(&paths::catalog_bucket(uuid), known).await?;
        if let Some(version) = &version {
            self.cache.learn_bucket_version(uuid, version);
        }
        Ok(version)
    }

    /// The live bucket of a uuid.
    pub(super) async fn find_bucket_by_uuid(&self, uuid: BucketUuid) -> Result<Option<FoundBucket>, StoreError> {
        Ok(found(self.read_bucket_version(uuid).await?))
    }

    /// Runs the end of somebody else's deletion. Its failure is not ours to report: the next one who meets it tries.
    pub(super) async fn tidy(&self, work: impl Future<Output = Result<(), StoreError>>) {
        if self.read_only {
            return;
        }
        if let Err(error) = work.await {
            tracing::debug!(%error, "an interrupted deletion stays unfinished for now");
        }
    }
}

/// The error of a step after the one that made the call's effect.
pub(super) fn after_effect(error: StoreError) -> StoreError {
    if error.is_unknown() {
        error
    } else {
        StoreError::unknown_because("finishing a deletion", error)
    }
}

/// Whether a name is wanted, the limit aside.
pub(super) fn is_on_page(name: &str, page: &NamePage) -> bool {
    page.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
        && page.after.as_deref().is_none_or(|after| name > after)
}

/// The links of a live bucket.
fn links_of(document: &BucketDoc) -> Option<&BTreeMap<IndexName, IndexLink>> {
    match &document.state {
        BucketState::Live { indexes, .. } => Some(indexes),
        BucketState::Dead { .. } => None,
    }
}

fn owned_links(links: Option<&BTreeMap<IndexName, IndexLink>>) -> Vec<(IndexName, IndexLink)> {
    links
        .into_iter()
        .flatten()
        .map(|(name, link)| (name.clone(), *link))
        .collect()
}

fn found(version: BucketVersion) -> Option<FoundBucket> {
    let version = version?;
    let BucketState::Live {
        created_ms, encryption, ..
    } = &version.document.state
    else {
        return None;
    };
    let info = BucketInfo {
        name: version.document.name.clone(),
        uuid: version.document.uuid,
        created_ms: *created_ms,
        encryption: encryption.clone(),
    };
    Some(FoundBucket { info, version })
}

fn new_bucket(bucket: &BucketInfo) -> BucketDoc {
    BucketDoc {
        schema: CATALOG_SCHEMA,
        rev: 0,
        nonce: 0,
        uuid: bucket.uuid,
        name: bucket.name.clone(),
        state: BucketState::Live {
            created_ms: bucket.created_ms,
            encryption: bucket.encryption.clone(),
            indexes: BTreeMap::new(),
        },
    }
}

pub(super) fn empty_root() -> RootDoc {
    RootDoc {
        schema: CATALOG_SCHEMA,
        rev: 0,
        nonce: 0,
        buckets: BTreeMap::new(),
    }
}
