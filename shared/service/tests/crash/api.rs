//! What a client sees: every row by each of the three ways to read it.

use bytes::Bytes;
use genai_vectors_service::{Input, Service};
use model::{ApiError, Operation};
use serde_json::{Value, json};
use storage::IndexPath;
use wire::Caller;

use super::inspect::differ;
use super::model::{DIMENSION, Rows, State, version_of};

/// The index of all scenarios.
pub const BUCKET: &str = "books";
pub const INDEX: &str = "idx";
/// Keys per GetVectors.
const GET_KEYS: usize = 100;

pub fn path(index: &str) -> IndexPath {
    IndexPath {
        bucket: BUCKET.parse().expect("a name"),
        index: index.parse().expect("a name"),
    }
}

pub async fn call(service: &Service, operation: Operation, index: &str, mut body: Value) -> Result<Value, ApiError> {
    body["vectorBucketName"] = json!(BUCKET);
    if operation != Operation::CreateVectorBucket && operation != Operation::GetVectorBucket {
        body["indexName"] = json!(index);
    }
    let input = Input {
        body: Bytes::from(body.to_string()),
        resource_arn: None,
        tag_keys: Vec::new(),
        caller: Caller::anonymous_owner(),
        deadline_ms: service.context().now_ms() + 30_000,
    };
    let answer = service.call(operation, &input).await?;
    Ok(serde_json::from_slice(&answer).expect("an answer is JSON"))
}

/// Why a look at the database did not show what it should.
#[derive(Debug)]
pub enum Seen {
    /// The service could not answer.
    Failed(ApiError),
    /// It answered something wrong.
    Wrong(String),
}

impl From<ApiError> for Seen {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// Compares what all reading operations say with the state.
pub async fn observe(service: &Service, state: &State) -> Result<(), Seen> {
    let bucket = call(service, Operation::GetVectorBucket, INDEX, json!({})).await;
    if exists(bucket)? != state.bucket {
        return Err(Seen::Wrong(format!("I1: the bucket exists: {}", !state.bucket)));
    }
    let index = call(service, Operation::GetIndex, INDEX, json!({})).await;
    if exists(index)? != state.index.is_some() {
        return Err(Seen::Wrong(format!(
            "I1, I7: the index exists: {}",
            state.index.is_none()
        )));
    }
    let Some(life) = &state.index else {
        return Ok(());
    };
    let wanted = life.rows();
    let listed = list(service, INDEX).await?;
    differ("I1, I2: ListVectors", &listed, wanted).map_err(Seen::Wrong)?;
    let found = query(service, INDEX).await?;
    differ("I1, I2: QueryVectors", &found, wanted).map_err(Seen::Wrong)?;
    // Also keys that are gone, and one that never was.
    let mut keys: Vec<&str> = wanted.keys().map(String::as_str).take(GET_KEYS / 2).collect();
    keys.extend(["a", "b", "c", "d", "e", "f", "g", "h", "i", "z", "row-00000", "never"]);
    keys.sort_unstable();
    keys.dedup();
    let got = get(service, INDEX, &keys).await?;
    let asked = wanted.iter().filter(|(key, _)| keys.contains(&key.as_str()));
    let asked: Rows = asked.map(|(key, version)| (key.clone(), *version)).collect();
    differ("I1, I2: GetVectors", &got, &asked).map_err(Seen::Wrong)
}

fn exists(answer: Result<Value, ApiError>) -> Result<bool, ApiError> {
    match answer {
        Ok(_) => Ok(true),
        Err(ApiError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every row by ListVectors.
pub async fn list(service: &Service, index: &str) -> Result<Rows, Seen> {
    let mut rows = Rows::new();
    let mut token = Value::Null;
    loop {
        let body = json!({"returnData": true, "returnMetadata": true, "maxResults": 1000, "nextToken": token});
        let page = call(service, Operation::ListVectors, index, body).await?;
        add(&mut rows, &page)?;
        token = page["nextToken"].clone();
        if token.is_null() {
            return Ok(rows);
        }
    }
}

/// Rows by GetVectors.
pub async fn get(service: &Service, index: &str, keys: &[&str]) -> Result<Rows, Seen> {
    let body = json!({"keys": keys, "returnData": true, "returnMetadata": true});
    let mut rows = Rows::new();
    add(&mut rows, &call(service, Operation::GetVectors, index, body).await?)?;
    Ok(rows)
}

/// Every row by QueryVectors, which returns no vectors: the distance from the origin stands in for them.
pub async fn query(service: &Service, index: &str) -> Result<Rows, Seen> {
    let body = json!({"queryVector": {"float32": vec![0.0; DIMENSION]}, "topK": 10_000, "returnMetadata": true,
        "returnDistance": true});
    let mut rows = Rows::new();
    let mut token = Value::Null;
    loop {
        let mut body = body.clone();
        if !token.is_null() {
            body["nextToken"] = token;
        }
        let page = call(service, Operation::QueryVectors, index, body).await?;
        for item in page["vectors"].as_array().into_iter().flatten() {
            let (key, version) = (text(&item["key"]), number(&item["metadata"]["version"]));
            let wanted: f32 = super::model::vector(&key, version)
                .iter()
                .map(|value| value * value)
                .sum();
            let distance = item["distance"].as_f64().unwrap_or(-1.0) as f32;
            if (distance - wanted).abs() > wanted * 1e-5 || item["metadata"]["name"] != json!(key) {
                return Err(Seen::Wrong(format!("I1: {item} is not version {version} at {wanted}")));
            }
            once(&mut rows, key, version)?;
        }
        token = page["nextToken"].clone();
        if token.is_null() {
            return Ok(rows);
        }
    }
}

fn add(rows: &mut Rows, page: &Value) -> Result<(), Seen> {
    for item in page["vectors"].as_array().into_iter().flatten() {
        let key = text(&item["key"]);
        let values = item["data"]["float32"].as_array().into_iter().flatten();
        let vector: Vec<f32> = values.map(|value| value.as_f64().unwrap_or(f64::NAN) as f32).collect();
        let version = version_of(&key, &vector, Some(&item["metadata"].to_string())).map_err(Seen::Wrong)?;
        once(rows, key, version)?;
    }
    Ok(())
}

fn once(rows: &mut Rows, key: String, version: u32) -> Result<(), Seen> {
    match rows.insert(key.clone(), version) {
        None => Ok(()),
        Some(other) => Err(Seen::Wrong(format!(
            "I2: {key} is answered twice, as {other} and {version}"
        ))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value
        .as_u64()
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(u32::MAX)
}
