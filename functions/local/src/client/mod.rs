//! A small client of the API for the tools: JSON over HTTP(S) with keep-alive, signed when there are keys, patient with a
//! server that is busy or restarting.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | flags and environment that every tool shares |
//! | `sign` | AWS Signature Version 4, the client's side |
//! | `tls` | whom an https endpoint's certificate must come from |
//! | `retry` | what is worth another attempt, and when |
//! | `error` | what can go wrong, as a person wants to read it |
//! | `index` | the few operations on buckets and indexes that the tools need |

mod args;
mod error;
mod index;
mod retry;
mod sign;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use model::{Clock as _, Operation, OsRandom, Randomness as _, SystemClock};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{StatusCode, Url};

pub(crate) use args::{ClientArgs, Target};
pub(crate) use error::{ClientError, Refusal};
pub(crate) use index::{IndexInfo, NewIndex};
use retry::{Retry, RetryPolicy};
use sign::Signer;

/// Calls operations of one endpoint.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Without a trailing slash.
    endpoint: Url,
    /// As the `host` header says it, which is signed.
    host: String,
    signer: Option<Signer>,
    retry: RetryPolicy,
    clock: SystemClock,
    random: OsRandom,
}

impl Client {
    /// A client as the flags describe it; nothing is sent yet.
    pub(crate) fn new(args: &ClientArgs) -> Result<Self, ClientError> {
        let endpoint = args.endpoint()?;
        let host = host(&endpoint).ok_or_else(|| ClientError::endpoint(&args.endpoint, "has no host"))?;
        let builder = reqwest::Client::builder()
            .timeout(Duration::from_secs(args.timeout_s))
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none());
        let http = tls::trust(builder, &endpoint, args)?
            .build()
            .map_err(|error| tls::explain(&error, args))?;
        let signer = args
            .keys()?
            .map(|(id, secret)| Signer::new(id, secret, args.region.clone()));
        let retry = RetryPolicy {
            attempts: args.retries.saturating_add(1),
            ..RetryPolicy::default()
        };
        Ok(Self {
            http,
            endpoint,
            host,
            signer,
            retry,
            clock: SystemClock::new(),
            random: OsRandom::new(),
        })
    }

    /// The endpoint as a person would type it.
    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Calls an operation with a JSON body until it answers or refuses, or patience ends.
    pub(crate) async fn call(&self, operation: Operation, body: Bytes) -> Result<Bytes, ClientError> {
        self.call_with(operation, body, self.retry).await
    }

    /// The first call of a tool: a server that is not there is reported soon.
    pub(crate) async fn first_call(&self, operation: Operation, body: Bytes) -> Result<Bytes, ClientError> {
        let retry = RetryPolicy {
            attempts: self.retry.attempts.min(4),
            ..self.retry
        };
        self.call_with(operation, body, retry).await
    }

    async fn call_with(&self, operation: Operation, body: Bytes, policy: RetryPolicy) -> Result<Bytes, ClientError> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(operation, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Retry::After(pause) = policy.judge(&error, attempt, self.random.next_u128()) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, operation: Operation, body: Bytes) -> Result<Bytes, ClientError> {
        let path = format!("{}/{}", self.endpoint.path().trim_end_matches('/'), operation.name());
        let mut url = self.endpoint.clone();
        url.set_path(&path);
        let mut request = self.http.post(url).header(CONTENT_TYPE, sign::CONTENT_TYPE);
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&self.host, &path, &body, self.clock.now_ms())?;
            request = request
                .header("x-amz-date", signature.date)
                .header("authorization", signature.authorization);
        }
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            endpoint: self.endpoint().to_owned(),
            reason: error::chain(&error.without_url()),
        };
        let response = request.body(body).send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(refused(operation, status, &headers, &answer))
        }
    }
}

fn refused(operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let refusal = Refusal::read(status.as_u16(), text("x-amzn-errortype"), text("retry-after"), body);
    ClientError::Refused {
        operation,
        refusal: Box::new(refusal),
    }
}

/// `host` or `host:port`, as HTTP clients send it: without the scheme's own port.
fn host(url: &Url) -> Option<String> {
    let name = url.host_str()?;
    Some(
        url.port()
            .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")),
    )
}
