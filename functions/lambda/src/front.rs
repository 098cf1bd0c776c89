//! One request: who asks, the body, the operation, its answer. The same order as everywhere: size, signature, then the
//! body is looked at.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use model::{ApiError, Operation};
use service::{Context, Input, errors};
use wire::{Caller, Route, SignedRequest};

use crate::event::{HttpEvent, Request};
use crate::keys::KeySource;
use crate::performer::Performer;
use crate::response::HttpResponse;
use crate::settings::AuthMode;

/// API Gateway gives up after 30 s, whatever the integration's time-out says: the answer must be out before.
const GATEWAY_MS: u64 = 28_500;
/// Before the function's own end.
const LAST_WORDS_MS: u64 = 500;
/// An event whose time is further from ours than this does not say when it was received.
const CLOCK_SKEW_MS: u64 = 60_000;
/// Hashing or inflating more than this is work for the CPU pool (over half a millisecond).
const POOL_BYTES: usize = 256 * 1024;

/// What all requests of a function share.
#[derive(Debug)]
pub struct Front {
    /// The service's context.
    pub context: Arc<Context>,
    /// Who may call.
    pub door: Door,
    /// The path in front of the API that clients sign.
    pub public_base_path: String,
}

/// Who may call.
#[derive(Debug)]
pub enum Door {
    /// Holders of these keys.
    Keys(KeySource),
    /// Whom API Gateway's IAM authorizer lets through.
    Iam,
    /// Anybody on this machine.
    Open,
}

/// How a request ended.
#[derive(Debug)]
pub struct Answered {
    /// What API Gateway gets.
    pub response: HttpResponse,
    /// The error's name; empty for a success.
    pub error: &'static str,
    /// Bytes of the body as sent.
    pub received: usize,
}

impl Door {
    /// The mode of `door`, for messages.
    pub fn mode(&self) -> AuthMode {
        match self {
            Self::Keys(_) => AuthMode::Keys,
            Self::Iam => AuthMode::Iam,
            Self::Open => AuthMode::None,
        }
    }
}

impl Front {
    /// Answers one request; never fails. A panic is an InternalServerException too in QueryVectors; the functions
    /// without FAISS are built to end with one (profile `lean`), and API Gateway answers 500 for them. `ends_ms`: when
    /// Lambda ends the invocation.
    pub async fn answer(&self, performer: &Performer, event: HttpEvent, request_id: &str, ends_ms: u64) -> Answered {
        let mut received = 0;
        let handled = AssertUnwindSafe(self.handle(performer, event, ends_ms, &mut received))
            .catch_unwind()
            .await;
        let outcome = handled.unwrap_or_else(|_| {
            tracing::error!(request_id, "request panicked");
            Err(errors::internal())
        });
        let error = outcome.as_ref().err().map_or("", ApiError::shape);
        Answered {
            response: HttpResponse::new(outcome, request_id),
            error,
            received,
        }
    }

    async fn handle(
        &self,
        performer: &Performer,
        event: HttpEvent,
        ends_ms: u64,
        received: &mut usize,
    ) -> Result<Vec<u8>, ApiError> {
        let request = Request::from_event(event, &self.public_base_path)?;
        *received = request.body.len();
        let deadline_ms = self.deadline_ms(&request, ends_ms);
        let left = Duration::from_millis(deadline_ms.saturating_sub(self.context.now_ms()));
        let answer = tokio::time::timeout(left, self.perform(performer, &request, deadline_ms)).await;
        answer.map_err(|_| errors::unavailable("The request took too long"))?
    }

    /// Whatever this waits for (keys, the CPU pool, the stores), the caller gives up at the deadline.
    async fn perform(&self, performer: &Performer, request: &Request, deadline_ms: u64) -> Result<Vec<u8>, ApiError> {
        let (resource_arn, tag_keys) = routed(request, performer.operation)?;
        let caller = self.caller(request).await?;
        let body = self.inflated(request).await?;
        let input = Input {
            body,
            resource_arn,
            tag_keys,
            caller,
            deadline_ms,
        };
        (performer.perform)(&self.context, &input).await
    }

    /// A cold function has spent some of the time before it began.
    fn deadline_ms(&self, request: &Request, ends_ms: u64) -> u64 {
        let now_ms = self.context.now_ms();
        let plausible = |ms: &u64| ms.abs_diff(now_ms) < CLOCK_SKEW_MS;
        let received_ms = request
            .received_ms
            .filter(plausible)
            .map_or(now_ms, |ms| ms.min(now_ms));
        let gateway_ms = received_ms.saturating_add(GATEWAY_MS);
        gateway_ms.min(ends_ms.saturating_sub(LAST_WORDS_MS))
    }

    async fn caller(&self, request: &Request) -> Result<Caller, ApiError> {
        let keys = match &self.door {
            Door::Keys(keys) => keys,
            Door::Iam => return iam_caller(request),
            Door::Open => {
                wire::guard::check(request.header("origin").is_some(), request.header("host"), true)?;
                return Ok(Caller::anonymous_owner());
            }
        };
        let keys = keys.ring(self.context.ids.clock().as_ref()).await?;
        let body_sha256 = self.hash(&request.body).await?;
        let mut refusal = ApiError::internal();
        for path in &request.paths {
            let signed = SignedRequest {
                method: &request.method,
                raw_path: path,
                base_path: &request.base_path,
                raw_query: &request.query,
                headers: &request.headers,
                body_sha256,
            };
            let region = &self.context.config.region.region;
            match wire::verify(&signed, &keys, region, "s3vectors", self.context.now_ms()) {
                Ok(caller) => return Ok(caller),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    async fn hash(&self, body: &Bytes) -> Result<[u8; 32], ApiError> {
        if body.len() <= POOL_BYTES {
            return Ok(wire::sigv4::body_sha256(body));
        }
        let body = body.clone();
        let hashed = self.context.pool.run(move || wire::sigv4::body_sha256(&body)).await;
        hashed.map_err(|error| errors::pool(&error))
    }

    async fn inflated(&self, request: &Request) -> Result<Bytes, ApiError> {
        let Some(encoding) = request.header("content-encoding") else {
            return Ok(request.body.clone());
        };
        let (body, encoding) = (request.body.clone(), encoding.to_owned());
        let inflate = move || wire::body::inflate(body, Some(&encoding), wire::body::MAX_BODY_BYTES);
        let inflated = self.context.pool.run(inflate).await;
        inflated.map_err(|error| errors::pool(&error))?
    }
}

/// The route's resource and tag keys. The API routes by path too: another operation than the function's means that
/// somebody has invoked it by other ways.
fn routed(request: &Request, expected: Operation) -> Result<(Option<String>, Vec<String>), ApiError> {
    let path = request.paths.first().map_or("/", String::as_str);
    match wire::route(&request.method, path, &request.query)? {
        Route::Operation {
            op,
            resource_arn,
            tag_keys,
        } if op == expected => Ok((resource_arn, tag_keys)),
        _ => Err(ApiError::unknown_operation()),
    }
}

/// IAM has allowed the request on the route; bucket policies may still deny it.
fn iam_caller(request: &Request) -> Result<Caller, ApiError> {
    let principal = request.iam_principal.clone();
    if principal.is_none() {
        return Err(ApiError::access_denied("Missing Authentication Token"));
    }
    Ok(Caller {
        principal,
        owner: true,
        policy: None,
        secure_transport: wire::is_secure_transport(&request.headers),
    })
}
