//! The database in a directory: opened in one way, to be served and to be mended.

use std::sync::Arc;

use engine::pool::Pool;
use model::{Ids, OsRandom, SystemClock};
use service::{Config, Context, Ports};
use storage::ObjectStore;
use storage::cas::CasCatalog;
use storage::local::{Directory, InProcessDoorbell, OpenError, RingReceiver};

/// Opens the directory as its only process, creating it when missing; its lock is held until the store is dropped.
///
/// # Errors
/// It is not a directory that can be locked.
pub(crate) fn lock(storage: &str) -> Result<Directory, LockError> {
    refuse_urls(storage)?;
    Ok(Directory::open(storage)?)
}

/// Only a directory is supported yet.
pub(crate) fn refuse_urls(storage: &str) -> Result<(), LockError> {
    if storage.contains("://") {
        return Err(LockError::Url(storage.to_owned()));
    }
    Ok(())
}

/// Why a database is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Not a directory.
    #[error("--storage {0}: only a directory is supported yet")]
    Url(String),
    /// The directory cannot be had.
    #[error(transparent)]
    Directory(#[from] OpenError),
}

/// What the service runs on, over a locked directory, and the rings of its doorbell. `stored` is the directory itself,
/// `objects` is it or a cache in front of it.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn open(
    storage: &str,
    stored: Arc<dyn ObjectStore>,
    objects: Arc<dyn ObjectStore>,
    threads: Option<usize>,
    mut config: Config,
) -> Result<(Context, RingReceiver), String> {
    // The directory's lock keeps every other process out.
    config.fold.sole_indexer = true;
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let catalog = CasCatalog::open(stored, ids.clone())
        .await
        .map_err(|error| format!("cannot open the catalog in {storage}: {error}"))?;
    let (doorbell, rings) = InProcessDoorbell::new();
    let ports = Ports {
        objects,
        catalog: Arc::new(catalog),
        doorbell: Arc::new(doorbell),
    };
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    let pool = Arc::new(Pool::new(threads).map_err(|error| error.to_string())?);
    Ok((Context::new(ports, ids, pool, config), rings))
}
