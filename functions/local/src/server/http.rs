//! One request: route, body, signature, memory to work on it, service, answer, one log event.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use model::{ApiError, Operation};
use service::{Input, Service};
use storage::layers::disk_cache::DiskCache;
use wire::{Caller, KeyRing, Route, SignedRequest};

use super::body::{self, Received};
use super::budget::{self, MemoryBudget, Share};
use super::metrics::RequestMetrics;
use super::{guard, status};

/// Answers are due within this time: under the 60 s that SDKs wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Hashing or inflating more than this is work for the CPU pool (over half a millisecond).
const POOL_BYTES: usize = 256 * 1024;

/// What every request shares.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) service: Service,
    pub(crate) keys: Option<Arc<KeyRing>>,
    pub(crate) loopback: bool,
    pub(crate) status_endpoints: bool,
    pub(crate) budget: MemoryBudget,
    pub(crate) metrics: RequestMetrics,
    pub(crate) disk_cache: Option<DiskCache>,
}

/// What the log event and the metrics say of a request.
struct Seen {
    operation: Option<Operation>,
    label: &'static str,
    received: usize,
}

impl Server {
    /// Answers one request; never fails, never panics.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let clock = Arc::clone(self.service.context().ids.clock());
        let started = clock.monotonic();
        let request_id = self.service.context().ids.uuid().to_string();
        let mut seen = Seen {
            operation: None,
            label: "Unknown",
            received: 0,
        };
        let handled = AssertUnwindSafe(self.handle(request, &mut seen)).catch_unwind().await;
        let outcome = handled.unwrap_or_else(|_| {
            tracing::error!(request_id, "request panicked");
            Err(ApiError::Internal {
                message: "An internal error occurred; the server's log has the details".to_owned(),
            })
        });
        let elapsed = clock.monotonic().saturating_sub(started);
        let (mut response, error) = match outcome {
            Ok(response) => (response, None),
            Err(error) => (error_response(&error), Some(error)),
        };
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-amzn-requestid"), value);
        }
        let sent = response.body().size_hint().exact().unwrap_or(0);
        let code = response.status().as_u16();
        self.metrics
            .record(seen.label, code, error.as_ref().map(ApiError::shape), elapsed);
        let error_shape = error.as_ref().map_or("", |error| error.shape());
        tracing::info!(
            operation = seen.label,
            status = code,
            error = error_shape,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            bytes_in = seen.received,
            bytes_out = sent,
            request_id,
            "S3 Vectors API request"
        );
        Ok(response)
    }

    async fn handle(&self, request: Request<Incoming>, seen: &mut Seen) -> Result<Response<Full<Bytes>>, ApiError> {
        let (parts, incoming) = request.into_parts();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let routed = wire::route(parts.method.as_str(), path, query)?;
        let (operation, resource_arn, tag_keys) = match routed {
            Route::Operation {
                op,
                resource_arn,
                tag_keys,
            } => (op, resource_arn, tag_keys),
            other => {
                seen.label = "Status";
                return status::answer(self, &other, &parts.headers, path).await;
            }
        };
        seen.operation = Some(operation);
        seen.label = operation.name();
        let received = body::read(incoming, content_length(&parts.headers), &self.budget).await?;
        seen.received = received.bytes.len();
        let caller = self.authenticate(&parts, &received.bytes).await?;
        let (body, share) = self
            .let_in(&parts.headers, received, self.largest_answer(operation))
            .await?;
        let now_ms = self.service.context().now_ms();
        let input = Input {
            body,
            resource_arn,
            tag_keys,
            caller,
            deadline_ms: now_ms.saturating_add(DEADLINE.as_millis() as u64),
        };
        let call = self.service.call(operation, &input);
        let answer = tokio::time::timeout(DEADLINE, call)
            .await
            .map_err(|_| service::errors::unavailable("The request took too long"))??;
        let answer = self.budget.answer(answer)?;
        drop(share);
        Ok(response(StatusCode::OK, answer))
    }

    /// Bytes that the answer may have, where that is much.
    fn largest_answer(&self, operation: Operation) -> usize {
        let bounds = &self.service.context().config.answer;
        match operation {
            Operation::QueryVectors => bounds.query_bytes,
            Operation::ListVectors => bounds.list_bytes,
            Operation::GetVectors => bounds.get_bytes,
            _ => 0,
        }
    }

    /// Signature first, before anything of the body is parsed or inflated.
    async fn authenticate(&self, parts: &Parts, body: &Bytes) -> Result<Caller, ApiError> {
        let Some(keys) = &self.keys else {
            guard::check(&parts.headers, self.loopback)?;
            return Ok(Caller::anonymous_owner());
        };
        let context = self.service.context();
        let body_sha256 = if body.len() > POOL_BYTES {
            let body = body.clone();
            context
                .pool
                .run(move || wire::sigv4::body_sha256(&body))
                .await
                .map_err(|error| service::errors::pool(&error))?
        } else {
            wire::sigv4::body_sha256(body)
        };
        let headers: Vec<(String, String)> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        let signed = SignedRequest {
            method: parts.method.as_str(),
            raw_path: parts.uri.path(),
            base_path: "",
            raw_query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body_sha256,
        };
        let region = &context.config.region.region;
        wire::verify(&signed, keys, region, "s3vectors", context.now_ms())
    }

    /// The body to parse, and the memory to work on it.
    async fn let_in(
        &self,
        headers: &HeaderMap,
        received: Received,
        answer_bytes: usize,
    ) -> Result<(Bytes, Share), ApiError> {
        let Some(encoding) = headers.get(CONTENT_ENCODING) else {
            let bytes = budget::weight(received.bytes.len(), received.commas, answer_bytes);
            let share = self.budget.work(bytes).await?;
            return Ok((received.bytes, share));
        };
        let encoding = encoding.to_str().unwrap_or("?").to_owned();
        let mut share = self.budget.work(body::MAX_BODY_BYTES).await?;
        let inflate = move || {
            let inflated = wire::body::inflate(received.bytes, Some(&encoding), body::MAX_BODY_BYTES)?;
            let commas = body::commas(&inflated);
            Ok::<_, ApiError>((inflated, commas))
        };
        let inflated = self.service.context().pool.run(inflate).await;
        let (body, commas) = inflated.map_err(|error| service::errors::pool(&error))??;
        share.grow_to(budget::weight(body.len(), commas, answer_bytes)).await?;
        Ok((body, share))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(hyper::header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

pub(crate) fn json_response(code: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    response(code, Bytes::from(body))
}

fn response(code: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error_response(error: &ApiError) -> Response<Full<Bytes>> {
    let answer = wire::error_answer(error);
    let code = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(code, answer.body);
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&value);
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
