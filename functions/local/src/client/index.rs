//! The few operations on buckets and indexes that the tools need.

use bytes::Bytes;
use model::{Dimension, DistanceMetric, Operation};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Client, ClientError, Target};

/// What GetIndex says about an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexInfo {
    pub(crate) dimension: Dimension,
    pub(crate) metric: DistanceMetric,
    pub(crate) non_filterable: Vec<String>,
    /// Its creation time, as the server writes it: tells one life of an index from the next.
    pub(crate) created: String,
    /// How many vectors it holds, from servers that say so; not quite up to date.
    pub(crate) vectors: Option<u64>,
}

/// What CreateIndex needs to know beside the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewIndex {
    pub(crate) dimension: Dimension,
    pub(crate) metric: DistanceMetric,
    pub(crate) non_filterable: Vec<String>,
}

#[derive(Deserialize)]
struct GetIndexAnswer<'a> {
    #[serde(borrow)]
    index: IndexAnswer<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexAnswer<'a> {
    dimension: Dimension,
    distance_metric: DistanceMetric,
    #[serde(borrow)]
    creation_time: &'a RawValue,
    #[serde(default)]
    metadata_configuration: Option<MetadataConfiguration>,
    #[serde(default)]
    vector_count: Option<u64>,
    #[serde(default)]
    unindexed_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataConfiguration {
    #[serde(default)]
    non_filterable_metadata_keys: Vec<String>,
}

impl Client {
    /// The index, if it exists. For the first call of a tool.
    pub(crate) async fn describe_index(&self, target: &Target) -> Result<Option<IndexInfo>, ClientError> {
        let request = json!({"vectorBucketName": target.bucket.as_str(), "indexName": target.index.as_str()});
        let answer = match self.first_call(Operation::GetIndex, json_bytes(&request)).await {
            Err(error) if error.is("NotFoundException") => return Ok(None),
            answer => answer?,
        };
        let answer: GetIndexAnswer<'_> = serde_json::from_slice(&answer)
            .map_err(|error| ClientError::answer(Operation::GetIndex, error.to_string()))?;
        let GetIndexAnswer { index } = answer;
        let non_filterable = index
            .metadata_configuration
            .map(|configuration| configuration.non_filterable_metadata_keys);
        Ok(Some(IndexInfo {
            dimension: index.dimension,
            metric: index.distance_metric,
            non_filterable: non_filterable.unwrap_or_default(),
            created: index.creation_time.get().to_owned(),
            vectors: index
                .vector_count
                .map(|indexed| indexed.saturating_add(index.unindexed_count.unwrap_or(0))),
        }))
    }

    /// Creates the bucket and the index unless they exist, whoever created them.
    pub(crate) async fn create(&self, target: &Target, new: &NewIndex) -> Result<(), ClientError> {
        let bucket = json!({"vectorBucketName": target.bucket.as_str()});
        unless_it_exists(self.call(Operation::CreateVectorBucket, json_bytes(&bucket)).await)?;
        let mut index = json!({
            "vectorBucketName": target.bucket.as_str(),
            "indexName": target.index.as_str(),
            "dataType": "float32",
            "dimension": new.dimension.get(),
            "distanceMetric": new.metric.as_str(),
        });
        if let (false, Some(members)) = (new.non_filterable.is_empty(), index.as_object_mut()) {
            let configuration = json!({"nonFilterableMetadataKeys": new.non_filterable});
            members.insert("metadataConfiguration".to_owned(), configuration);
        }
        unless_it_exists(self.call(Operation::CreateIndex, json_bytes(&index)).await)
    }
}

fn unless_it_exists(answer: Result<Bytes, ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(error) if error.is("ConflictException") => Ok(()),
        answer => answer.map(drop),
    }
}

fn json_bytes(value: &serde_json::Value) -> Bytes {
    value.to_string().into_bytes().into()
}
