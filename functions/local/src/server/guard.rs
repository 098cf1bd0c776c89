//! What a server without keys refuses (`wire::guard`), from a request's headers.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use model::ApiError;

/// Judges the headers of a request that nobody signed. `loopback`: the server listens on a loopback address.
pub(crate) fn check(headers: &HeaderMap, loopback: bool) -> Result<(), ApiError> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    wire::guard::check(headers.contains_key(ORIGIN), host, loopback)
}
