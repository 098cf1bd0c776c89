//! CreateIndex: a new, empty vector index in a bucket.

use std::collections::HashSet;
use std::sync::Arc;

use format::record::{self, IndexRecord};
use model::arn::ResourceArn;
use model::tags::{Tags, check_tags};
use model::{ApiError, BucketName, Dimension, DistanceMetric, Encryption, IndexConfig, IndexUuid, Operation, Strictness, Ulid};
use serde_json::json;
use storage::{BucketInfo, CreateIndex, IndexPath, StoreError};
use wire::{Constraints, Members};

use super::settings::{self, EncryptionMembers};
use super::target::BucketMembers;
use super::{target, text_search};
use crate::access::{self, Ask};
use crate::{Context, Input, errors};

const MAX_DIMENSION: i64 = 4096;
const MAX_NON_FILTERABLE_KEYS: usize = 10;
const MAX_NON_FILTERABLE_KEY_LENGTH: usize = 63;
const DATA_TYPES: [&str; 1] = ["float32"];

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let request = Request::read(ctx, input, &members)?;
    let bucket = access::bucket(ctx, &request.ask, &request.path.bucket).await?;
    let tags = request.tags.clone();
    let record = record(ctx, &bucket, request);
    create(ctx, &record, &tags).await?;
    let arn = ResourceArn::index(&ctx.config.region, &record.bucket, &record.index).to_string();
    Ok(json!({"indexArn": arn}).to_string().into_bytes())
}

/// Tags are stored first, under the new uuid: an index is never seen without the tags it was created with. Before them
/// existence is looked at, so that a refusal leaves nothing; only a create that dies or loses a race after that leaves a
/// document that nothing names (ARCHITECTURE.md, "Local mode's catalog").
async fn create(ctx: &Context, record: &IndexRecord, tags: &Tags) -> Result<(), ApiError> {
    let catalog = &ctx.ports.catalog;
    if !tags.is_empty() {
        accept(catalog.foresee_index(record).await)?;
        settings::change_tags(ctx, record.uuid.into(), tags, &[]).await?;
    }
    accept(catalog.create_index(record).await)
}

fn accept(answer: Result<CreateIndex, StoreError>) -> Result<(), ApiError> {
    match answer.map_err(|error| errors::store(&error))? {
        CreateIndex::Created => Ok(()),
        CreateIndex::Exists => Err(ApiError::index_exists()),
        CreateIndex::NoBucket => Err(ApiError::not_found_bucket()),
        CreateIndex::TooMany => Err(ApiError::too_many_indexes()),
    }
}

struct Request {
    ask: Ask,
    path: IndexPath,
    dimension: Dimension,
    metric: DistanceMetric,
    non_filterable_keys: Option<Vec<String>>,
    encryption: Option<Encryption>,
    tags: Tags,
}

impl Request {
    fn read(ctx: &Context, input: &Input, members: &Members<'_>) -> Result<Self, ApiError> {
        let strict = ctx.config.strictness == Strictness::Strict;
        let mut constraints = Constraints::new();
        let bucket = BucketMembers::read(members, &mut constraints);
        let name = constraints.string(members, "indexName", target::name_length(), true);
        // Lenient: upper case and a missing dataType are accepted, for users of the older guide.
        let word = if strict {
            Constraints::enumeration
        } else {
            Constraints::enumeration_any_case
        };
        word(&mut constraints, members, "dataType", &DATA_TYPES, strict);
        let metric = word(
            &mut constraints,
            members,
            "distanceMetric",
            &DistanceMetric::WORDS,
            true,
        );
        let dimension = constraints.integer(members, "dimension", 1..=MAX_DIMENSION, true);
        let metadata = MetadataConfiguration::read(members, &mut constraints);
        let encryption = EncryptionMembers::read(members, &mut constraints);
        let tags = settings::tags(members, &mut constraints, false);
        constraints.finish()?;
        check_tags(&tags)?;
        let non_filterable_keys = metadata.resolve()?;
        let bucket: BucketName = bucket.resolve(ctx)?;
        let index = target::parse_index(&name.unwrap_or_default())?;
        let dimension = dimension
            .and_then(|dimension| u32::try_from(dimension).ok())
            .and_then(Dimension::new)
            .ok_or_else(errors::internal)?;
        let metric = metric
            .and_then(|metric| DistanceMetric::parse_lenient(&metric))
            .ok_or_else(errors::internal)?;
        let path = IndexPath { bucket, index };
        let ask = Ask::index(ctx, input, Operation::CreateIndex, &path)
            .also_if(!tags.is_empty(), Operation::TagResource)
            .with_tags(&tags);
        Ok(Self {
            ask: encryption.describe(ask),
            path,
            dimension,
            metric,
            non_filterable_keys,
            encryption: encryption.resolve()?,
            tags,
        })
    }
}

/// `metadataConfiguration` as sent.
#[derive(Default)]
struct MetadataConfiguration {
    /// `None` when no configuration was given, which GetIndex answers by leaving the member out.
    non_filterable_keys: Option<Vec<String>>,
    text_search: bool,
}

impl MetadataConfiguration {
    fn read(members: &Members<'_>, constraints: &mut Constraints) -> Self {
        let Some(inner) = constraints.object(members, "metadataConfiguration", false) else {
            return Self::default();
        };
        let keys = constraints.strings(
            &inner,
            "nonFilterableMetadataKeys",
            0..=MAX_NON_FILTERABLE_KEYS,
            1..=MAX_NON_FILTERABLE_KEY_LENGTH,
            false,
        );
        Self {
            non_filterable_keys: Some(keys.unwrap_or_default()),
            text_search: text_search::configurations(&inner, constraints) > 0,
        }
    }

    /// The non-filterable keys, if the configuration is one that can be had.
    fn resolve(self) -> Result<Option<Vec<String>>, ApiError> {
        if self.text_search {
            let member = "metadataConfiguration.textSearchConfigurations";
            return Err(ApiError::text_search_unsupported(member));
        }
        check_unique(self.non_filterable_keys.as_deref().unwrap_or_default())?;
        Ok(self.non_filterable_keys)
    }
}

fn check_unique(keys: &[String]) -> Result<(), ApiError> {
    let unique: HashSet<&String> = keys.iter().collect();
    if unique.len() == keys.len() {
        return Ok(());
    }
    Err(ApiError::validation_at(
        "metadataConfiguration.nonFilterableMetadataKeys",
        "Non-filterable metadata keys must be unique",
    ))
}

fn record(ctx: &Context, bucket: &BucketInfo, request: Request) -> IndexRecord {
    let encryption = request.encryption.unwrap_or_else(|| bucket.encryption.clone());
    IndexRecord {
        schema: record::RECORD_SCHEMA,
        bucket: request.path.bucket,
        index: request.path.index,
        uuid: IndexUuid(ctx.ids.uuid()),
        bucket_uuid: bucket.uuid,
        created_ms: ctx.now_ms(),
        config: IndexConfig {
            dimension: request.dimension,
            metric: request.metric,
            non_filterable_keys: request.non_filterable_keys,
            encryption,
        },
        manifest: None,
        wal: Vec::new(),
        wal_base: 0,
        tail_kib: 0,
        floor: Ulid::NIL,
        dirty_since_ms: None,
        lease: None,
    }
}
