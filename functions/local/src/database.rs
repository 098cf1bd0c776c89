//! The database, opened: to be served, to be mended, to be read beside a server. In a directory or in a bucket.

use std::error::Error;
use std::sync::Arc;

use engine::pool::Pool;
use format::CatalogKind;
use model::{Ids, OsRandom, SystemClock};
use service::{Config, Context, Ports};
use storage::aws::{Aws, AwsError, DynamoCatalog, DynamoSettings, OpenDynamoError, S3Settings, S3Store};
use storage::cas::marker::{self, MarkerError};
use storage::cas::probe::{self, ProbeError};
use storage::cas::{CasCatalog, OpenCatalogError};
use storage::local::{Directory, InProcessDoorbell, OpenError, RingReceiver};
use storage::{Catalog, ObjectStore};

use crate::place::{BucketPlace, Place};

/// A store that may be written: a directory that no other process has, or a bucket that others may serve as well.
pub(crate) struct Store {
    /// Its objects.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The table of its catalog; `None`: documents among the objects.
    table: Option<DynamoCatalog>,
    /// No other process can write it.
    is_sole: bool,
    name: String,
}

/// Why a store cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreRefused {
    /// The directory cannot.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The bucket cannot.
    #[error("cannot use {0}: {1}")]
    Bucket(String, AwsError),
}

impl Store {
    /// Opens a store for writing. A missing directory is created, and so is a missing bucket of a server that is not
    /// AWS's own. A directory stays locked until the store is dropped.
    ///
    /// # Errors
    /// [`StoreRefused`]
    pub(crate) async fn open(place: &Place) -> Result<Self, StoreRefused> {
        let name = place.to_string();
        let bucket = match place {
            Place::Directory(directory) => {
                return Ok(Self {
                    objects: Arc::new(Directory::open(directory)?),
                    table: None,
                    is_sole: true,
                    name,
                });
            }
            Place::Bucket(bucket) => bucket,
        };
        let aws = Aws::load(bucket.aws.clone()).await;
        let objects = bucket_of(&aws, bucket);
        // In an account of AWS a mistyped name must not become a bucket.
        let create_missing = bucket.aws.endpoints.s3.is_some();
        let prepared = objects.prepare(create_missing).await;
        prepared.map_err(|error| StoreRefused::Bucket(name.clone(), error))?;
        Ok(Self {
            objects: Arc::new(objects),
            table: table_of(&aws, bucket),
            is_sole: false,
            name,
        })
    }

    /// What the service runs on, and the rings of its doorbell. `objects`: the store's own, or a cache in front.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) async fn serve(
        self,
        objects: Arc<dyn ObjectStore>,
        threads: Option<usize>,
        mut config: Config,
    ) -> Result<(Context, RingReceiver), String> {
        config.fold.sole_indexer = self.is_sole;
        let ids = ids();
        let catalog = self.open_catalog(&ids).await?;
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
        context(objects, catalog, ids, threads, config)
    }

    async fn open_catalog(&self, ids: &Ids) -> Result<Arc<dyn Catalog>, String> {
        let Some(table) = &self.table else {
            let opened = CasCatalog::open(Arc::clone(&self.objects), ids.clone()).await;
            return match opened {
                Ok(catalog) => Ok(Arc::new(catalog)),
                Err(error) => Err(refusal(&self.name, &error)),
            };
        };
        let verified = async {
            probe::probe(self.objects.as_ref(), ids)
                .await
                .map_err(OpenTableError::Probe)?;
            table
                .verify(self.objects.as_ref(), true)
                .await
                .map_err(OpenTableError::Table)
        };
        verified.await.map_err(|error| refusal(&self.name, &error))?;
        Ok(Arc::new(table.clone()))
    }
}

#[derive(Debug, thiserror::Error)]
enum OpenTableError {
    #[error(transparent)]
    Probe(ProbeError),
    #[error(transparent)]
    Table(OpenDynamoError),
}

/// Refuses a place where no database has been, without creating anything: a mistyped name must not become one.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn require_existing(place: &Place) -> Result<(), String> {
    read_only_objects(place).await.map(|_| ())
}

/// What commands that read beside a server run on: nothing is written.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn read_only(place: &Place) -> Result<Context, String> {
    let name = place.to_string();
    let ids = ids();
    let (objects, table) = read_only_objects(place).await?;
    let catalog: Arc<dyn Catalog> = match table {
        Some(table) => {
            let verified = table.verify_read_only(objects.as_ref()).await;
            verified.map_err(|error| refusal(&name, &error))?;
            Arc::new(table)
        }
        None => {
            let opened = CasCatalog::open_read_only(Arc::clone(&objects), ids.clone()).await;
            Arc::new(opened.map_err(|error| refusal(&name, &error))?)
        }
    };
    let (context, _rings) = context(objects, catalog, ids, 1, Config::default())?;
    Ok(context)
}

async fn read_only_objects(place: &Place) -> Result<(Arc<dyn ObjectStore>, Option<DynamoCatalog>), String> {
    let (objects, table): (Arc<dyn ObjectStore>, _) = match place {
        Place::Directory(directory) => {
            let directory = Directory::open_read_only(directory).map_err(|error| error.to_string())?;
            (Arc::new(directory), None)
        }
        Place::Bucket(bucket) => {
            let aws = Aws::load(bucket.aws.clone()).await;
            let objects = bucket_of(&aws, bucket);
            let prepared = objects.prepare(false).await;
            prepared.map_err(|error| format!("cannot use {place}: {error}"))?;
            (Arc::new(objects), table_of(&aws, bucket))
        }
    };
    let kind = if table.is_some() {
        CatalogKind::Dynamodb
    } else {
        CatalogKind::Documents
    };
    let found = marker::verify(objects.as_ref(), kind).await;
    found.map_err(|error| refusal(&place.to_string(), &error))?;
    Ok((objects, table))
}

fn bucket_of(aws: &Aws, bucket: &BucketPlace) -> S3Store {
    S3Store::new(aws, bucket.location.clone(), S3Settings::default())
}

fn table_of(aws: &Aws, bucket: &BucketPlace) -> Option<DynamoCatalog> {
    let table = bucket.table.as_ref()?;
    Some(DynamoCatalog::new(aws, table, ids(), DynamoSettings::default()))
}

fn ids() -> Ids {
    Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()))
}

fn context(
    objects: Arc<dyn ObjectStore>,
    catalog: Arc<dyn Catalog>,
    ids: Ids,
    threads: usize,
    config: Config,
) -> Result<(Context, RingReceiver), String> {
    let (doorbell, rings) = InProcessDoorbell::new();
    let ports = Ports {
        objects,
        catalog,
        doorbell: Arc::new(doorbell),
    };
    let pool = Arc::new(Pool::new(threads).map_err(|error| error.to_string())?);
    Ok((Context::new(ports, ids, pool, config), rings))
}

/// One line that says what is wrong with a store, and what to do.
fn refusal(name: &str, error: &(dyn Error + 'static)) -> String {
    if let Some(cause) = AwsError::of(error) {
        return format!("cannot use {name}: {cause}");
    }
    let hint = match cause_of(error) {
        Some(Cause::Table) => ": give its name with --table",
        Some(Cause::Documents) => ": leave --table out",
        Some(Cause::Ignores) => ": it cannot hold a database; S3, MinIO and SeaweedFS can",
        None => "",
    };
    format!("cannot open the catalog in {name}: {error}{hint}")
}

enum Cause {
    Table,
    Documents,
    Ignores,
}

fn cause_of(error: &(dyn Error + 'static)) -> Option<Cause> {
    let mut next = Some(error);
    while let Some(error) = next {
        let (marker, probe) = match error.downcast_ref::<OpenCatalogError>() {
            Some(OpenCatalogError::Marker(marker)) => (Some(marker), None),
            Some(OpenCatalogError::Probe(probe)) => (None, Some(probe)),
            _ => match error.downcast_ref::<OpenTableError>() {
                Some(OpenTableError::Probe(probe)) => (None, Some(probe)),
                Some(OpenTableError::Table(OpenDynamoError::Marker(marker))) => (Some(marker), None),
                _ => (error.downcast_ref::<MarkerError>(), None),
            },
        };
        if let Some(MarkerError::OtherKind { found, .. }) = marker {
            return Some(match found {
                CatalogKind::Dynamodb => Cause::Table,
                CatalogKind::Documents => Cause::Documents,
            });
        }
        if probe.is_some_and(|probe| !matches!(probe, ProbeError::Store(_))) {
            return Some(Cause::Ignores);
        }
        next = error.source();
    }
    None
}
