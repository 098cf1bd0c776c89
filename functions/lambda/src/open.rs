//! The ports on AWS, and the context over them. A function opens only what its operation needs: what is not opened is
//! not linked, and its role does not permit it.

use std::sync::Arc;
use std::time::Duration;

use engine::pool::{Pool, PoolError};
use model::{Ids, OsRandom, SystemClock};
use service::{Config, Context, Ports};
use storage::absent::Absent;
use storage::aws::s3::NotAnS3Location;
use storage::aws::{
    Aws, AwsSettings, DynamoCatalog, DynamoSettings, OpenDynamoError, QueueUrls, S3Location, S3Settings, S3Store,
    SqsDoorbell, Timeouts,
};
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::{Doorbell, ObjectStore};

use crate::settings::Settings;

/// Why a function does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The objects are not in S3.
    #[error("GENAI_VECTORS_STORAGE: {0}")]
    Location(#[from] NotAnS3Location),
    /// Something rings, and the queues are not named.
    #[error("GENAI_VECTORS_FOLD_QUEUE_URL and GENAI_VECTORS_COMPACT_QUEUE_URL are needed")]
    Queues,
    /// Bucket and table do not belong together.
    #[error(transparent)]
    Table(#[from] OpenDynamoError),
    /// No threads.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// What all AWS clients share. `timeouts`: [`request_timeouts`] where a client waits. Lambda has the role's key in the
/// environment, where it stays the same for as long as the process lives.
pub fn aws(settings: &Settings, timeouts: Timeouts) -> Aws {
    let aws = AwsSettings {
        endpoints: settings.endpoints.clone(),
        timeouts,
        ..AwsSettings::default()
    };
    Aws::with_role(aws, &settings.config.region.region, &settings.role)
}

/// Time-outs of a function whose client waits for 29 s: an attempt that hangs is given up early enough for the next
/// ones, and two requests, one after the other, may each need all of their attempts.
pub fn request_timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        answer: Duration::from_secs(3),
        transfer: Duration::from_secs(8),
    }
}

/// The objects, with a cache of shard files on the function's own disk in front.
///
/// # Errors
/// The settings name no place in S3.
pub async fn objects(settings: &Settings, aws: &Aws) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let location: S3Location = settings.storage.parse()?;
    let store: Arc<dyn ObjectStore> = Arc::new(S3Store::new(aws, location, S3Settings::default()));
    let cache = DiskCacheConfig::new(&settings.cache_directory, settings.cache_bytes);
    Ok(Arc::new(DiskCache::open(store, cache).await))
}

/// Claims bucket and table for each other, as they are named by the template: operators' commands ask for that.
///
/// # Errors
/// One of them belongs to another one.
pub async fn adopt(settings: &Settings) -> Result<(), OpenError> {
    let aws = aws(settings, Timeouts::default());
    let location: S3Location = settings.storage.parse()?;
    let store = S3Store::new(&aws, location, S3Settings::default());
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let catalog = DynamoCatalog::new(&aws, &settings.table, ids, DynamoSettings::default());
    Ok(catalog.adopt(&store).await?)
}

/// The doorbell.
///
/// # Errors
/// The queues are not named.
pub fn doorbell(settings: &Settings, aws: &Aws) -> Result<Arc<dyn Doorbell>, OpenError> {
    let (Some(fold), Some(compact)) = (settings.fold_queue.clone(), settings.compact_queue.clone()) else {
        return Err(OpenError::Queues);
    };
    Ok(Arc::new(SqsDoorbell::new(aws, QueueUrls { fold, compact })))
}

/// The objects of a function that needs none.
pub fn no_objects() -> Arc<dyn ObjectStore> {
    Arc::new(Absent)
}

/// The doorbell of a function that rings nobody.
pub fn no_doorbell() -> Arc<dyn Doorbell> {
    Arc::new(Absent)
}

/// The context over the table's catalog and these ports.
///
/// # Errors
/// The system gives no threads.
pub fn context(
    settings: &Settings,
    aws: &Aws,
    objects: Arc<dyn ObjectStore>,
    doorbell: Arc<dyn Doorbell>,
    config: Config,
) -> Result<Context, OpenError> {
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let catalog = DynamoCatalog::new(aws, &settings.table, ids.clone(), DynamoSettings::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pool = Arc::new(Pool::new(threads)?);
    let ports = Ports {
        objects,
        catalog: Arc::new(catalog),
        doorbell,
    };
    Ok(Context::new(ports, ids, pool, config))
}
