//! Does the store obey conditions? Several servers that call themselves compatible answer 200 to every conditional
//! write and ignore the condition: on those, two writers would overwrite each other's commits.

use bytes::Bytes;
use model::Ids;

use crate::error::StoreError;
use crate::objects::{ETag, ObjectStore};
use crate::paths::{self, ObjectName};

/// What the store does wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A second create of the same name was not refused (`If-None-Match: *`).
    #[error("this store overwrites an object that was to be created only if missing (If-None-Match is ignored)")]
    CreatesTwice,
    /// A replace with an outdated ETag was not refused (`If-Match`).
    #[error("this store overwrites an object that has changed since it was read (a stale If-Match is ignored)")]
    ReplacesStale,
    /// A replace of a missing name was not refused.
    #[error(
        "this store creates an object that was to be replaced only if present (If-Match on a missing name is ignored)"
    )]
    ReplacesMissing,
    /// A replace with the current ETag was refused, or one that should have succeeded had no effect.
    #[error("this store does not replace an object whose ETag is the current one: {0}")]
    RefusesCurrent(String),
    /// A write that was refused changed the object all the same.
    #[error("this store refuses a conditional write and makes it nevertheless")]
    WritesWhatItRefuses,
    /// A call failed for another reason.
    #[error("cannot probe the store's conditional writes: {0}")]
    Store(#[from] StoreError),
}

/// Tries every conditional write that the catalog stands on, on documents of its own.
///
/// # Errors
/// What the store does wrong.
pub async fn probe(store: &dyn ObjectStore, ids: &Ids) -> Result<(), ProbeError> {
    let nonce = ids.nonce();
    let name = paths::catalog_probe(nonce, "present");
    let missing = paths::catalog_probe(nonce, "missing");
    let outcome = run(store, &name, &missing).await;
    // Best effort: what stays is a few bytes that nothing reads.
    if let Err(error) = store.delete(&[name, missing]).await {
        tracing::debug!(%error, "the probe's documents stay");
    }
    outcome
}

async fn run(store: &dyn ObjectStore, name: &ObjectName, missing: &ObjectName) -> Result<(), ProbeError> {
    let first = store.create(name, Bytes::from_static(b"first")).await?;
    let (on_present, on_missing) = futures::join!(present(store, name, &first), absent(store, missing, &first));
    on_present.and(on_missing)
}

/// What becomes of a document that is there.
async fn present(store: &dyn ObjectStore, name: &ObjectName, first: &ETag) -> Result<(), ProbeError> {
    refused(
        store.create(name, Bytes::from_static(b"again")).await,
        ProbeError::CreatesTwice,
    )?;
    let second = match store.replace(name, Bytes::from_static(b"second"), first).await {
        Ok(etag) => etag,
        Err(error) if is_refusal(&error) => return Err(ProbeError::RefusesCurrent(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    refused(
        store.replace(name, Bytes::from_static(b"stale"), first).await,
        ProbeError::ReplacesStale,
    )?;
    let (bytes, etag) = store.read_tagged(name).await?;
    if bytes != "second" {
        return Err(ProbeError::WritesWhatItRefuses);
    }
    if etag != second {
        return Err(ProbeError::RefusesCurrent(
            "a read gives another ETag than the write did".to_owned(),
        ));
    }
    Ok(())
}

/// What becomes of one that is not; `etag` is another's.
async fn absent(store: &dyn ObjectStore, missing: &ObjectName, etag: &ETag) -> Result<(), ProbeError> {
    refused(
        store.replace(missing, Bytes::from_static(b"missing"), etag).await,
        ProbeError::ReplacesMissing,
    )?;
    match store.read_tagged(missing).await {
        Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(ProbeError::WritesWhatItRefuses),
    }
}

fn refused(answer: Result<ETag, StoreError>, obeyed: ProbeError) -> Result<(), ProbeError> {
    match answer {
        Ok(_) => Err(obeyed),
        Err(error) if is_refusal(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Servers differ between 404 and 412 for a condition on a missing name.
fn is_refusal(error: &StoreError) -> bool {
    error.is_conflict() || error.is_not_found()
}
