//! A small S3 Vectors in this process, for the tools' tests: it keeps what it is given, and fails as it is told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use model::ApiError;
use serde_json::{Value, json};
use wire::JsonWriter;

/// Vectors of one ListVectors page.
const PAGE: usize = 3;

pub(crate) type Stored = BTreeMap<String, (Vec<f32>, Option<String>)>;

/// How the next PutVectors (or ListVectors) fails.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answers with this; nothing is stored.
    Answer(u16, Option<&'static str>, &'static str),
    /// Stores, then closes the connection without an answer.
    LoseAnswer,
    /// Answers later.
    Delay(Duration),
    None,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buckets: Vec<String>,
    /// CreateIndex's members, by `bucket/index`.
    pub(crate) indexes: HashMap<String, Value>,
    pub(crate) vectors: HashMap<String, Stored>,
    pub(crate) puts: VecDeque<Fault>,
    pub(crate) lists: VecDeque<Fault>,
    /// Operations, in the order they came.
    pub(crate) log: Vec<String>,
    /// Keys of each PutVectors, in the order they came.
    pub(crate) put_keys: Vec<Vec<String>>,
    /// Headers and path of the last request.
    pub(crate) last: (String, Vec<(String, String)>),
}

#[derive(Debug, Clone)]
pub(crate) struct FakeServer {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl FakeServer {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        Self { endpoint, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn stored(&self, path: &str) -> Stored {
        self.state().vectors.get(path).cloned().unwrap_or_default()
    }

    pub(crate) fn with_index(self, path: &str, dimension: usize, metric: &str) -> Self {
        let (bucket, index) = path.split_once('/').unwrap();
        self.state().buckets.push(bucket.to_owned());
        let config =
            json!({"vectorBucketName": bucket, "indexName": index, "dimension": dimension, "distanceMetric": metric});
        self.state().indexes.insert(path.to_owned(), config);
        self
    }
}

type Answer = Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>;

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.collect();
    let body = request.into_body().collect().await?.to_bytes();
    let operation = path.rsplit('/').next().unwrap().to_owned();
    let fault = {
        let mut state = state.lock().unwrap();
        state.last = (path, headers);
        state.log.push(operation.clone());
        match operation.as_str() {
            "PutVectors" => state.puts.pop_front(),
            "ListVectors" => state.lists.pop_front(),
            _ => None,
        }
    };
    match fault.unwrap_or(Fault::None) {
        Fault::Answer(status, retry_after, text) => {
            let mut response = Response::builder().status(status);
            if let Some(seconds) = retry_after {
                response = response.header("Retry-After", seconds);
            }
            return Ok(response.body(Full::from(text))?);
        }
        Fault::Delay(pause) => tokio::time::sleep(pause).await,
        Fault::LoseAnswer => {
            let _ = state.lock().unwrap().run(&operation, &body);
            return Err("lost".into());
        }
        Fault::None => {}
    }
    let outcome = state.lock().unwrap().run(&operation, &body);
    Ok(respond(outcome))
}

fn respond(outcome: Result<Vec<u8>, ApiError>) -> Response<Full<Bytes>> {
    let (status, headers, body) = match outcome {
        Ok(body) => (200, Vec::new(), body),
        Err(error) => {
            let answer = wire::error_answer(&error);
            (answer.status, answer.headers, answer.body)
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::from(body)).unwrap()
}

impl State {
    fn run(&mut self, operation: &str, body: &Bytes) -> Result<Vec<u8>, ApiError> {
        let members: Value = serde_json::from_slice(body).unwrap();
        let bucket = members["vectorBucketName"].as_str().unwrap().to_owned();
        let path = format!("{bucket}/{}", members["indexName"].as_str().unwrap_or_default());
        match operation {
            "CreateVectorBucket" if self.buckets.contains(&bucket) => Err(ApiError::bucket_exists()),
            "CreateVectorBucket" => {
                self.buckets.push(bucket);
                Ok(b"{}".to_vec())
            }
            "CreateIndex" if self.indexes.contains_key(&path) => Err(ApiError::index_exists()),
            "CreateIndex" => {
                self.indexes.insert(path, members);
                Ok(b"{}".to_vec())
            }
            "GetIndex" => {
                let mut index = self.indexes.get(&path).cloned().ok_or_else(ApiError::not_found_index)?;
                index["creationTime"] = json!(1_795_342_500.125);
                index["vectorCount"] = json!(self.vectors.get(&path).map_or(0, BTreeMap::len));
                Ok(json!({"index": index}).to_string().into_bytes())
            }
            "PutVectors" => self.put(&path, body),
            "ListVectors" => Ok(self.list(&path, &members)),
            other => panic!("{other}"),
        }
    }

    fn put(&mut self, path: &str, body: &Bytes) -> Result<Vec<u8>, ApiError> {
        let parsed = wire::parse_put_vectors(body)?;
        self.put_keys
            .push(parsed.records.iter().map(|record| record.key.to_string()).collect());
        for (at, record) in parsed.records.iter().enumerate() {
            if record.metadata.is_some_and(|metadata| metadata.get().len() > 2048) {
                let message = format!(
                    "Invalid record for key '{}': Filterable metadata must have at most 2048 bytes",
                    record.key
                );
                return Err(ApiError::validation_detail(
                    format!("vectors[{at}].metadata"),
                    message,
                    "too large",
                ));
            }
        }
        let stored = self.vectors.entry(path.to_owned()).or_default();
        for record in parsed.records {
            let metadata = record.metadata.map(|metadata| metadata.get().to_owned());
            stored.insert(record.key.into_owned(), (record.vector, metadata));
        }
        Ok(b"{}".to_vec())
    }

    fn list(&self, path: &str, members: &Value) -> Vec<u8> {
        let number = |name: &str| members[name].as_u64().unwrap() as usize;
        let in_segment =
            |key: &str| key.bytes().map(usize::from).sum::<usize>() % number("segmentCount") == number("segmentIndex");
        let after = members["nextToken"].as_str();
        let rows = self.vectors[path]
            .iter()
            .filter(|(key, _)| in_segment(key) && after.is_none_or(|after| key.as_str() > after));
        let rows: Vec<_> = rows.take(PAGE).collect();
        let mut json = JsonWriter::new();
        json.begin_object().name("vectors").begin_array();
        for (key, (vector, metadata)) in &rows {
            json.begin_object().string_member("key", key);
            json.name("data")
                .begin_object()
                .name("float32")
                .f32_array(vector)
                .end_object();
            json.name("metadata")
                .raw(metadata.as_deref().unwrap_or("{}"))
                .end_object();
        }
        json.end_array();
        if let Some((key, _)) = rows.last().filter(|_| rows.len() == PAGE) {
            json.string_member("nextToken", key);
        }
        json.end_object();
        json.finish()
    }
}
