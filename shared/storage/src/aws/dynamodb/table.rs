//! Does the table belong to the store? `v1/catalog.json` and the table's `STORE` item carry the same id. Both survive
//! a restore under other names; a table and a store that are both new are claimed for each other.

use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableStatus,
};
use format::{CatalogKind, CatalogMarker};
use futures::future::BoxFuture;

use super::DynamoCatalog;
use super::item::Reader;
use super::schema::{self, number, text};
use super::transact::{Attempts, Transacted};
use crate::aws::failure::AwsError;
use crate::cas::marker::{self, MarkerError};
use crate::error::StoreError;
use crate::objects::ObjectStore;
use crate::paths;

/// Between two looks at a table that is being created.
const PAUSE: Duration = Duration::from_millis(250);
/// Looks at it: two minutes.
const LOOKS: u32 = 480;

/// Why a store cannot be served with its catalog in a table.
#[derive(Debug, thiserror::Error)]
pub enum OpenDynamoError {
    /// The store belongs to another catalog.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The table is another store's, or no store's while this store has one.
    #[error("table {table} is not the one that this store's catalog is in")]
    OtherStore {
        /// The table.
        table: String,
    },
    /// AWS refused.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A storage call failed.
    #[error("cannot open the catalog: {0}")]
    Store(#[from] StoreError),
}

/// What the table says of itself.
enum Claim {
    /// There is no table.
    NoTable,
    /// No store has claimed it.
    Free,
    /// The store of this id has.
    Of(String),
}

impl DynamoCatalog {
    /// Verifies that table and store belong together; a store and a table that are both new are claimed for each
    /// other. `create_missing`: a missing table is created, unless the store has its catalog already.
    ///
    /// # Errors
    /// [`OpenDynamoError`]
    pub fn verify<'a>(
        &'a self,
        store: &'a dyn ObjectStore,
        create_missing: bool,
    ) -> BoxFuture<'a, Result<(), OpenDynamoError>> {
        Box::pin(async move {
            let marker = match marker::verify(store, CatalogKind::Dynamodb).await {
                Ok(marker) => Some(marker),
                Err(MarkerError::Missing) => None,
                Err(error) => return Err(error.into()),
            };
            let claim = match self.read_claim().await? {
                Claim::NoTable if create_missing && marker.is_none() => {
                    self.create_table().await?;
                    self.read_claim().await?
                }
                claim => claim,
            };
            match (marker, claim) {
                (_, Claim::NoTable) => Err(self.no_table().into()),
                (Some(marker), Claim::Of(id)) if marker.id == id => Ok(()),
                (_, Claim::Of(_)) => Err(self.other_store()),
                (Some(marker), Claim::Free) => self.claim_for(store, &marker).await,
                (None, Claim::Free) => {
                    let id = self.ids.uuid().to_string();
                    let marker = marker::verify_or_create(store, &self.ids, CatalogKind::Dynamodb, &id).await?;
                    self.claim_for(store, &marker).await
                }
            }
        })
    }

    /// For a store and a table that were made for each other, by the template: they are claimed for each other at any
    /// time, so that tools which come later find that they belong together.
    ///
    /// # Errors
    /// [`OpenDynamoError`]; above all that they do not.
    pub fn adopt<'a>(&'a self, store: &'a dyn ObjectStore) -> BoxFuture<'a, Result<(), OpenDynamoError>> {
        Box::pin(async move {
            let claim = self.read_claim().await?;
            let id = match &claim {
                Claim::NoTable => return Err(self.no_table().into()),
                Claim::Of(id) => id.clone(),
                Claim::Free => self.ids.uuid().to_string(),
            };
            let marker = marker::verify_or_create(store, &self.ids, CatalogKind::Dynamodb, &id).await?;
            match claim {
                Claim::Of(id) if id == marker.id => Ok(()),
                Claim::Free => self.claim(&marker).await,
                Claim::Of(_) | Claim::NoTable => Err(self.other_store()),
            }
        })
    }

    /// [`DynamoCatalog::verify`] beside a server: nothing is written.
    ///
    /// # Errors
    /// [`OpenDynamoError`]
    pub fn verify_read_only<'a>(&'a self, store: &'a dyn ObjectStore) -> BoxFuture<'a, Result<(), OpenDynamoError>> {
        Box::pin(async move {
            let marker = marker::verify(store, CatalogKind::Dynamodb).await?;
            match self.read_claim().await? {
                Claim::NoTable => Err(self.no_table().into()),
                Claim::Of(id) if id == marker.id => Ok(()),
                Claim::Of(_) | Claim::Free => Err(self.other_store()),
            }
        })
    }

    /// Claims a free table, unless the store holds more than its marker: then its records are in another table.
    async fn claim_for(&self, store: &dyn ObjectStore, marker: &CatalogMarker) -> Result<(), OpenDynamoError> {
        let listed = store.list(paths::ROOT, None, 100).await?;
        // The start-up probe's documents may be there for a moment.
        let is_new = listed.iter().all(|object| {
            object.name == paths::catalog_marker() || object.name.as_str().starts_with(paths::PROBE_PREFIX)
        });
        if !is_new {
            return Err(self.other_store());
        }
        self.claim(marker).await
    }

    async fn claim(&self, marker: &CatalogMarker) -> Result<(), OpenDynamoError> {
        let mut claim = schema::store_key();
        claim.insert(schema::ID.to_owned(), text(&marker.id));
        claim.insert(schema::CREATED.to_owned(), number(marker.created_ms));
        let items = [self.put_new(claim)?];
        let mut attempts = Attempts::new(self, format!("claiming table {}", self.table));
        loop {
            if let Transacted::Done = attempts.send(&items).await? {
                return Ok(());
            }
            match self.read_claim().await? {
                Claim::Of(id) if id == marker.id => return Ok(()),
                Claim::Of(_) => return Err(self.other_store()),
                Claim::Free | Claim::NoTable => attempts.conflicted().await?,
            }
        }
    }

    async fn read_claim(&self) -> Result<Claim, OpenDynamoError> {
        let answer = self
            .again
            .get_item()
            .table_name(&self.table)
            .set_key(Some(schema::store_key()))
            .consistent_read(true)
            .send()
            .await;
        match answer {
            Ok(output) => match output.item {
                Some(item) => Ok(Claim::Of(Reader::new(&item, &self.table).text(schema::ID)?.to_owned())),
                None => Ok(Claim::Free),
            },
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(Claim::NoTable),
            Err(error) => Err(self.failure(&error, "dynamodb:GetItem").error.into()),
        }
    }

    async fn create_table(&self) -> Result<(), OpenDynamoError> {
        let request = self.describe_new_table();
        let request = request.map_err(|error| StoreError::other_because("describing the table", error))?;
        match request.send().await {
            Ok(_) => tracing::info!(table = %self.table, "created the table"),
            // Another process creates it.
            Err(error) if error.code() == Some("ResourceInUseException") => {}
            Err(error) => return Err(self.failure(&error, "dynamodb:CreateTable").error.into()),
        }
        for _ in 0..LOOKS {
            if self.is_active().await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StoreError::throttled(format!("creating table {}", self.table)).into())
    }

    fn describe_new_table(
        &self,
    ) -> Result<aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder, BuildError> {
        let dirty = GlobalSecondaryIndex::builder()
            .index_name(schema::DIRTY)
            .key_schema(part(schema::UUID, KeyType::Hash)?)
            .key_schema(part(schema::DIRTY_SINCE, KeyType::Range)?)
            .projection(
                Projection::builder()
                    .projection_type(ProjectionType::Include)
                    .non_key_attributes(schema::RETRY_AT)
                    .build(),
            )
            .build()?;
        Ok(self
            .again
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(schema::PK, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(schema::SK, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(schema::UUID, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(schema::DIRTY_SINCE, ScalarAttributeType::N)?)
            .key_schema(part(schema::PK, KeyType::Hash)?)
            .key_schema(part(schema::SK, KeyType::Range)?)
            .global_secondary_indexes(dirty))
    }

    async fn is_active(&self) -> Result<bool, OpenDynamoError> {
        let answer = self.again.describe_table().table_name(&self.table).send().await;
        match answer {
            Ok(output) => {
                let status = output.table.and_then(|table| table.table_status);
                Ok(status == Some(TableStatus::Active))
            }
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(false),
            Err(error) => Err(self.failure(&error, "dynamodb:DescribeTable").error.into()),
        }
    }

    fn no_table(&self) -> AwsError {
        AwsError::Missing {
            server: self.server.clone(),
            resource: format!("table {}", self.table),
        }
    }

    fn other_store(&self) -> OpenDynamoError {
        OpenDynamoError::OtherStore {
            table: self.table.clone(),
        }
    }
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build()
}

fn part(name: &str, kind: KeyType) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build()
}
