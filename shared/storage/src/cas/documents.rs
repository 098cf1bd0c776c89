//! One document: read it, decide, swap it, and after anything but a clear answer read it again and decide anew.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::{AttachmentDoc, BucketDoc, CatalogDocument, IndexDoc, RootDoc};
use model::Ids;

use super::CasConfig;
use crate::error::StoreError;
use crate::locks::KeyedLocks;
use crate::objects::{ETag, ObjectStore};
use crate::paths::ObjectName;

/// What tells one version of a document from every other: `rev` and the random nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) rev: u64,
    nonce: u64,
}

/// A document whose versions can be told apart.
pub(crate) trait Stamped: CatalogDocument + Debug + Send + Sync {
    fn stamp(&self) -> Stamp;
    fn set_stamp(&mut self, stamp: Stamp);
}

macro_rules! stamped {
    ($($document:ty),*) => {$(
        impl Stamped for $document {
            fn stamp(&self) -> Stamp {
                Stamp { rev: self.rev, nonce: self.nonce }
            }

            fn set_stamp(&mut self, stamp: Stamp) {
                self.rev = stamp.rev;
                self.nonce = stamp.nonce;
            }
        }
    )*};
}

stamped!(RootDoc, BucketDoc, IndexDoc, AttachmentDoc);

/// One version of a document, as it was read or written.
#[derive(Debug)]
pub(crate) struct Version<D> {
    pub(crate) document: D,
    etag: ETag,
}

/// What to do about a document.
pub(crate) enum Step<D, T> {
    /// Nothing to write: this is the answer.
    Answer(T),
    /// Make this the document (its stamp is set here); then this is the answer.
    Write(D, T),
    /// An earlier attempt may have taken effect and the document cannot say whether: the caller must find out.
    Undecidable,
}

/// The answer of an update, and the version it was taken from.
pub(crate) type Updated<D, T> = (T, Option<Arc<Version<D>>>);

/// Reads and swaps documents.
#[derive(Debug)]
pub(crate) struct Documents {
    store: Arc<dyn ObjectStore>,
    ids: Ids,
    config: CasConfig,
    /// Tasks of this process do not race each other for one document.
    queues: KeyedLocks<ObjectName>,
}

impl Documents {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, ids: Ids, config: CasConfig) -> Self {
        Self {
            store,
            ids,
            config,
            queues: KeyedLocks::new(),
        }
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The document as it is now; `None` when there is none. A version that is `known` already is not parsed again.
    pub(crate) async fn read<D: Stamped>(
        &self,
        name: &ObjectName,
        known: Option<Arc<Version<D>>>,
    ) -> Result<Option<Arc<Version<D>>>, StoreError> {
        Patience::new(self).read(name, known).await
    }

    /// Decides about a document until the decision holds.
    ///
    /// `decide` sees the document and whether an earlier attempt of this call may have taken effect unseen. `start` is
    /// a version from a cache: good enough to write on, never good enough to answer from.
    pub(crate) async fn update<D: Stamped, T: Send>(
        &self,
        name: &ObjectName,
        start: Option<Arc<Version<D>>>,
        decide: impl Fn(Option<&D>, bool) -> Step<D, T> + Send + Sync,
    ) -> Result<Updated<D, T>, StoreError> {
        let _turn = self.queues.lock(name).await;
        let mut patience = Patience::new(self);
        let mut is_fresh = start.is_none();
        let mut version = match start {
            Some(start) => Some(start),
            None => patience.read(name, None).await?,
        };
        let mut attempts = Vec::new();
        loop {
            let document = version.as_deref().map(|version| &version.document);
            match decide(document, patience.ambiguous) {
                Step::Write(next, answer) => {
                    let (stamp, swapped) = self.swap(name, version.as_deref(), next).await;
                    let error = match swapped {
                        Ok(written) => return Ok((answer, Some(Arc::new(written)))),
                        Err(error) => error,
                    };
                    attempts.push(stamp);
                    patience.failed_swap(error).await?;
                    version = patience.read(name, version).await?;
                    is_fresh = true;
                    // Any attempt: a late one lands only on the version that all attempts since were made from.
                    let is_ours = |version: &Arc<Version<D>>| attempts.contains(&version.document.stamp());
                    if version.as_ref().is_some_and(is_ours) {
                        return Ok((answer, version));
                    }
                }
                Step::Answer(answer) if is_fresh => return Ok((answer, version)),
                Step::Undecidable if is_fresh => return Err(StoreError::unknown(format!("swapping {name}"))),
                Step::Answer(_) | Step::Undecidable => {
                    version = patience.read(name, version).await?;
                    is_fresh = true;
                }
            }
        }
    }

    /// Writes an object that never changes and is part of a deletion; again after a failure that passes, which does no
    /// harm.
    pub(crate) async fn put_for_deletion(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        let mut patience = Patience::new(self);
        loop {
            match self.store.put_from_reserve(name, bytes.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => patience.failed(error).await?,
            }
        }
    }

    async fn swap<D: Stamped>(
        &self,
        name: &ObjectName,
        current: Option<&Version<D>>,
        mut next: D,
    ) -> (Stamp, Result<Version<D>, StoreError>) {
        let rev = current.map_or(0, |version| version.document.stamp().rev) + 1;
        let stamp = Stamp {
            rev,
            nonce: self.ids.nonce(),
        };
        next.set_stamp(stamp);
        let bytes = match next.encode() {
            Ok(bytes) => bytes,
            Err(error) => return (stamp, Err(StoreError::other_because(format!("encoding {name}"), error))),
        };
        let written = match current {
            Some(version) => self.store.replace(name, bytes, &version.etag).await,
            None => self.store.create(name, bytes).await,
        };
        (stamp, written.map(|etag| Version { document: next, etag }))
    }
}

fn parse<D: Stamped>(
    name: &ObjectName,
    bytes: &Bytes,
    etag: ETag,
    known: Option<Arc<Version<D>>>,
) -> Result<Arc<Version<D>>, StoreError> {
    if let Some(known) = known.filter(|known| known.etag == etag) {
        return Ok(known);
    }
    let document = D::decode(bytes).map_err(|error| StoreError::corrupt(name, error))?;
    Ok(Arc::new(Version { document, etag }))
}

/// What is left of a call's patience.
struct Patience<'a> {
    documents: &'a Documents,
    conflicts: u32,
    failures: u32,
    pause: Duration,
    /// A request that may have taken effect has been sent and its answer lost.
    ambiguous: bool,
}

impl<'a> Patience<'a> {
    fn new(documents: &'a Documents) -> Self {
        Self {
            documents,
            conflicts: 0,
            failures: 0,
            pause: documents.config.pause,
            ambiguous: false,
        }
    }

    async fn read<D: Stamped>(
        &mut self,
        name: &ObjectName,
        known: Option<Arc<Version<D>>>,
    ) -> Result<Option<Arc<Version<D>>>, StoreError> {
        loop {
            match self.documents.store.read_tagged(name).await {
                Ok((bytes, etag)) => return parse(name, &bytes, etag, known).map(Some).map_err(|e| self.verdict(e)),
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// A swap was not acknowledged. `Ok`: read again.
    async fn failed_swap(&mut self, error: StoreError) -> Result<(), StoreError> {
        match error {
            StoreError::Conflict { name } | StoreError::NotFound { name } => {
                self.conflicts += 1;
                if self.conflicts > self.documents.config.conflicts {
                    return Err(self.verdict(StoreError::throttled(format!("swapping {name}"))));
                }
                // The first lost race has been paid for by the winner's progress: read and try at once.
                if self.conflicts > 1 {
                    self.rest().await;
                }
                Ok(())
            }
            error => {
                self.ambiguous |= error.is_unknown();
                self.failed(error).await
            }
        }
    }

    /// A request failed. `Ok`: try again.
    async fn failed(&mut self, error: StoreError) -> Result<(), StoreError> {
        let is_passing = matches!(error, StoreError::Unknown { .. } | StoreError::Throttled { .. });
        self.failures += 1;
        if !is_passing || self.failures > self.documents.config.failures {
            return Err(self.verdict(error));
        }
        self.rest().await;
        Ok(())
    }

    /// Once an attempt may have taken effect, no later error may claim that nothing was written.
    fn verdict(&self, error: StoreError) -> StoreError {
        if self.ambiguous && !error.is_unknown() {
            return StoreError::unknown_because("swapping a document", error);
        }
        error
    }

    /// Up to twice as long as the last time, at random: those who collided do not collide again.
    async fn rest(&mut self) {
        let fraction = f64::from((self.documents.ids.nonce() >> 32) as u32) / f64::from(u32::MAX);
        tokio::time::sleep(self.pause.mul_f64(fraction)).await;
        self.pause = (self.pause * 2).min(self.documents.config.longest_pause);
    }
}
