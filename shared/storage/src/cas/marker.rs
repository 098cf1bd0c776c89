//! `v1/catalog.json`: which catalog a store belongs to. Created once; a store must never be served with another one,
//! since its objects mean nothing without the records that reach them.

use format::{CATALOG_SCHEMA, CatalogDocument, CatalogKind, CatalogMarker};
use model::Ids;

use crate::error::StoreError;
use crate::objects::ObjectStore;
use crate::paths;

/// Reads again after a lost answer.
const ATTEMPTS: usize = 3;

/// Why the marker forbids to serve the store.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// Another kind of catalog has the records of this store.
    #[error("this store's catalog is {}, not {}", kind_name(*found), kind_name(*expected))]
    OtherKind {
        /// The store's kind.
        found: CatalogKind,
        /// The kind that was asked for.
        expected: CatalogKind,
    },
    /// The store has no marker: it is not a genai-vectors store, or nothing has ever served it.
    #[error("there is no genai-vectors store here ({} is missing)", paths::catalog_marker())]
    Missing,
    /// A storage call failed.
    #[error("cannot read which catalog the store belongs to: {0}")]
    Store(#[from] StoreError),
}

/// The marker of a store that was served before.
///
/// # Errors
/// [`MarkerError`]
pub async fn verify(store: &dyn ObjectStore, kind: CatalogKind) -> Result<CatalogMarker, MarkerError> {
    let marker = read(store).await?.ok_or(MarkerError::Missing)?;
    check(marker, kind)
}

/// The marker of a store; a store without one is claimed for this catalog.
///
/// # Errors
/// [`MarkerError`]
pub async fn verify_or_create(
    store: &dyn ObjectStore,
    ids: &Ids,
    kind: CatalogKind,
    id: &str,
) -> Result<CatalogMarker, MarkerError> {
    let new = CatalogMarker {
        schema: CATALOG_SCHEMA,
        kind,
        id: id.to_owned(),
        created_ms: ids.now_ms(),
    };
    let name = paths::catalog_marker();
    let bytes = new
        .encode()
        .map_err(|error| StoreError::other_because(format!("encoding {name}"), error))?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        if let Some(marker) = read(store).await? {
            return check(marker, kind);
        }
        match store.create(&name, bytes.clone()).await {
            Ok(_) => return Ok(new),
            // Somebody else claimed the store first, or the answer was lost: the marker says.
            Err(error @ (StoreError::Conflict { .. } | StoreError::Unknown { .. })) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last
        .unwrap_or_else(|| StoreError::unknown(format!("creating {name}")))
        .into())
}

async fn read(store: &dyn ObjectStore) -> Result<Option<CatalogMarker>, StoreError> {
    let name = paths::catalog_marker();
    match store.read_tagged(&name).await {
        Ok((bytes, _)) => {
            let marker = CatalogMarker::decode(&bytes).map_err(|error| StoreError::corrupt(&name, error))?;
            Ok(Some(marker))
        }
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(marker: CatalogMarker, expected: CatalogKind) -> Result<CatalogMarker, MarkerError> {
    if marker.kind == expected {
        return Ok(marker);
    }
    Err(MarkerError::OtherKind {
        found: marker.kind,
        expected,
    })
}

const fn kind_name(kind: CatalogKind) -> &'static str {
    match kind {
        CatalogKind::Documents => "documents in the store itself",
        CatalogKind::Dynamodb => "a DynamoDB table",
    }
}
