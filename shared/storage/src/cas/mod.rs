//! The catalog of compare-and-swap documents: root (bucket names), bucket (index names), index (its record), each
//! stored by uuid (DESIGN section 4, "Catalog adapters").
//!
//! What it keeps:
//! * each swap gives a document a higher `rev` and a random nonce, so no version's bytes, and no ETag, ever recur;
//! * a child is created before its parent names it, and is dead before its parent forgets it: a name that points at a
//!   dead child does not exist, and whoever meets one finishes the deletion;
//! * a name leads to one uuid for as long as that child lives, so a remembered uuid whose document is alive is as
//!   good as the walk from the root: one strong read;
//! * documents are never deleted; after any answer but a clear one the document is read again.
//!
//! | module | what it holds |
//! |---|---|
//! | `documents` | read, swap, the loop that decides from what it reads |
//! | `buckets` | buckets: create, delete, list |
//! | `indexes` | indexes: create, delete, list, the walk over everything |
//! | `records` | the commits on one index record |
//! | `attachments` | tags and policies |
//! | [`marker`] | which catalog a store belongs to |
//! | [`probe`] | does the store obey conditions? |

mod attachments;
mod buckets;
mod cache;
mod documents;
mod indexes;
pub mod marker;
pub mod probe;
mod records;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use format::{CatalogKind, IndexRecord, RootDoc};
use futures::future::BoxFuture;
use model::{BucketName, BucketUuid, Ids, IndexUuid, OwnerUuid, Ulid};

use crate::catalog::{
    Append, Attachment, BucketInfo, Catalog, ClearDirty, Commit, CreateBucket, CreateIndex, DeleteBucket, DeleteIndex,
    DirtyIndex, IndexNames, IndexPath, NameEntry, NamePage, Publish, Revision, SetLease, Tombstone, WriteAttachment,
};
use crate::error::StoreError;
use crate::objects::ObjectStore;
use crate::paths;
use cache::Cache;
use documents::{Documents, Step};
use probe::ProbeError;

/// How patient the catalog is.
#[derive(Debug, Clone)]
pub struct CasConfig {
    /// Lost races in one call before it answers [`StoreError::Throttled`].
    pub conflicts: u32,
    /// Failed or ambiguous requests in one call before it gives up.
    pub failures: u32,
    /// The first pause; each further one is up to twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Indexes that one bucket may have.
    pub indexes_per_bucket: usize,
    /// Documents read at once in a listing or a walk.
    pub parallel_reads: usize,
}

impl Default for CasConfig {
    fn default() -> Self {
        Self {
            conflicts: 64,
            failures: 3,
            pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(100),
            indexes_per_bucket: model::limits::INDEXES_PER_BUCKET,
            parallel_reads: 32,
        }
    }
}

/// Why a store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenCatalogError {
    /// The store does not do what the catalog stands on.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The store belongs to another catalog.
    #[error(transparent)]
    Marker(#[from] marker::MarkerError),
    /// A storage call failed.
    #[error("cannot open the catalog: {0}")]
    Store(#[from] StoreError),
}

/// A catalog of compare-and-swap documents over any object store.
#[derive(Debug)]
pub struct CasCatalog {
    documents: Documents,
    cache: Cache,
    config: CasConfig,
    /// Nothing is written: not even the end of somebody else's deletion.
    read_only: bool,
}

impl CasCatalog {
    /// Opens the catalog for serving: probes the store's conditional writes, verifies (or creates) the marker, and
    /// creates the root when it is missing. A full store that was opened before is served unprobed.
    ///
    /// # Errors
    /// [`OpenCatalogError`]
    pub async fn open(store: Arc<dyn ObjectStore>, ids: Ids) -> Result<Self, OpenCatalogError> {
        Self::open_with(store, ids, CasConfig::default()).await
    }

    /// [`CasCatalog::open`] with another patience.
    ///
    /// # Errors
    /// [`OpenCatalogError`]
    pub fn open_with(
        store: Arc<dyn ObjectStore>,
        ids: Ids,
        config: CasConfig,
    ) -> BoxFuture<'static, Result<Self, OpenCatalogError>> {
        Box::pin(async move {
            // Both at once: a store far away would make a start slow. What the marker says counts after the probe.
            let probed = probe::probe(store.as_ref(), &ids);
            let marked = marker::verify(store.as_ref(), CatalogKind::Documents);
            let (probed, marked) = futures::join!(probed, marked);
            match probed {
                // A full disk must not keep a server from reading. The probe was passed when the store was first opened.
                Err(ProbeError::Store(error @ StoreError::Full { .. })) if marked.is_ok() => {
                    tracing::warn!(%error, "the store is full: its conditional writes are not probed");
                }
                probed => probed?,
            }
            if marked.is_err() {
                let id = ids.uuid().to_string();
                marker::verify_or_create(store.as_ref(), &ids, CatalogKind::Documents, &id).await?;
            }
            let catalog = Self::assemble(store, ids, config, false);
            catalog.ensure_root().await?;
            Ok(catalog)
        })
    }

    /// Opens the catalog beside a server: nothing is probed, nothing is written.
    ///
    /// # Errors
    /// [`OpenCatalogError`]
    pub fn open_read_only(store: Arc<dyn ObjectStore>, ids: Ids) -> BoxFuture<'static, Result<Self, OpenCatalogError>> {
        Box::pin(async move {
            marker::verify(store.as_ref(), CatalogKind::Documents).await?;
            Ok(Self::assemble(store, ids, CasConfig::default(), true))
        })
    }

    fn assemble(store: Arc<dyn ObjectStore>, ids: Ids, config: CasConfig, read_only: bool) -> Self {
        let documents = Documents::new(store, ids, config.clone());
        Self {
            documents,
            cache: Cache::default(),
            config,
            read_only,
        }
    }

    async fn ensure_root(&self) -> Result<(), StoreError> {
        let name = paths::catalog_root();
        let decide = |root: Option<&RootDoc>, _| match root {
            Some(_) => Step::Answer(()),
            None => Step::Write(buckets::empty_root(), ()),
        };
        self.documents.update(&name, None, decide).await.map(|_| ())
    }
}

#[async_trait]
impl Catalog for CasCatalog {
    async fn create_bucket(&self, bucket: &BucketInfo) -> Result<CreateBucket, StoreError> {
        self.create_bucket_document(bucket).await
    }

    async fn read_bucket(&self, name: &BucketName) -> Result<Option<BucketInfo>, StoreError> {
        Ok(self.find_bucket(name).await?.map(|bucket| bucket.info))
    }

    async fn list_buckets(&self, page: &NamePage) -> Result<Vec<NameEntry>, StoreError> {
        self.list_bucket_names(page).await
    }

    async fn delete_bucket(&self, name: &BucketName, uuid: BucketUuid) -> Result<DeleteBucket, StoreError> {
        self.delete_bucket_document(name, uuid).await
    }

    async fn create_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.create_index_document(record).await
    }

    async fn foresee_index(&self, record: &IndexRecord) -> Result<CreateIndex, StoreError> {
        self.foresee_index_document(record).await
    }

    async fn delete_index(&self, path: &IndexPath, uuid: IndexUuid, now_ms: u64) -> Result<DeleteIndex, StoreError> {
        self.delete_index_document(path, uuid, now_ms).await
    }

    async fn list_indexes(&self, bucket: &BucketName, page: &NamePage) -> Result<Option<IndexNames>, StoreError> {
        self.list_index_names(bucket, page).await
    }

    async fn read_record(&self, path: &IndexPath) -> Result<Option<IndexRecord>, StoreError> {
        self.find_record(path).await
    }

    async fn append(&self, path: &IndexPath, append: &Append) -> Result<Commit, StoreError> {
        self.commit_append(path, append).await
    }

    async fn publish(&self, path: &IndexPath, publish: &Publish) -> Result<Commit, StoreError> {
        self.commit_publish(path, publish).await
    }

    async fn clear_dirty(&self, path: &IndexPath, clear: &ClearDirty) -> Result<Commit, StoreError> {
        self.commit_clear_dirty(path, clear).await
    }

    async fn raise_floor(
        &self,
        path: &IndexPath,
        uuid: IndexUuid,
        floor: Ulid,
    ) -> Result<Option<IndexRecord>, StoreError> {
        self.commit_floor(path, uuid, floor).await
    }

    async fn set_lease(&self, path: &IndexPath, lease: &SetLease) -> Result<Commit, StoreError> {
        self.commit_lease(path, lease).await
    }

    async fn list_dirty(&self) -> Result<Vec<DirtyIndex>, StoreError> {
        self.walk_dirty().await
    }

    async fn list_all_indexes(&self) -> Result<Vec<(IndexPath, IndexUuid)>, StoreError> {
        self.walk_indexes().await
    }

    async fn list_tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        self.read_tombstones().await
    }

    async fn read_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        self.read_attachment_document(owner, attachment).await
    }

    async fn write_attachment(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        self.write_attachment_document(owner, attachment, text, expected).await
    }
}

#[cfg(test)]
mod tests;
