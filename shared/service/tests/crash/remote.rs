//! A database on real servers, in a bucket and, if its catalog is in a table, there.

use std::sync::Arc;

use model::{Ids, OsRandom, SystemClock};
use storage::aws::{Aws, AwsSettings, DynamoCatalog, DynamoSettings, S3Location, S3Settings, S3Store};
use storage::{MemoryStore, ObjectStore};

/// Where a database is.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The server of the objects.
    pub s3: AwsSettings,
    /// Its place there.
    pub location: S3Location,
    /// The server of the catalog and its table; `None`: documents among the objects.
    pub table: Option<(AwsSettings, String)>,
}

/// Connections to it.
#[derive(Debug, Clone)]
pub struct Connected {
    pub objects: S3Store,
    pub table: Option<DynamoCatalog>,
}

impl Remote {
    /// New connections; they live as long as the runtime that they were made in.
    pub async fn connect(&self) -> Connected {
        let aws = Aws::load(self.s3.clone()).await;
        let objects = S3Store::new(&aws, self.location.clone(), S3Settings::default());
        let table = match &self.table {
            None => None,
            Some((settings, table)) => {
                let aws = Aws::load(settings.clone()).await;
                let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
                Some(DynamoCatalog::new(&aws, table, ids, DynamoSettings::default()))
            }
        };
        Connected { objects, table }
    }
}

/// Everything that a store at rest holds.
pub async fn image(store: &dyn ObjectStore) -> MemoryStore {
    let image = MemoryStore::new();
    for object in store.list("v1/", None, usize::MAX).await.unwrap() {
        let bytes = store.get(&object.name).await.unwrap();
        image.put(&object.name, bytes).await.unwrap();
    }
    image
}
