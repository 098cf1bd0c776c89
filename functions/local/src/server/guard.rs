//! What a server without keys refuses: a web page must not reach a developer's database (DESIGN section 7).
//!
//! A browser adds `Origin` to cross-site requests, and a page that rebinds its own name to 127.0.0.1 still sends
//! that name as `Host`.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use model::ApiError;

/// Judges the headers of an unauthenticated request. `loopback`: the server listens on a loopback address.
pub(crate) fn check(headers: &HeaderMap, loopback: bool) -> Result<(), ApiError> {
    if headers.contains_key(ORIGIN) {
        return Err(denied("requests from web pages (with an Origin header) are refused"));
    }
    if !loopback {
        return Ok(());
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_loopback_host) {
        return Ok(());
    }
    Err(denied("the Host header must name a loopback address"))
}

fn denied(reason: &str) -> ApiError {
    ApiError::AccessDenied {
        message: format!("This server runs without access keys: {reason}"),
    }
}

fn is_loopback_host(host: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        rest.split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
        return true;
    }
    name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "a.localhost:1",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com:80",
            "10.0.0.1:8080",
            "[::2]",
            "0.0.0.0:8080",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn origin_is_always_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        assert!(check(&headers, true).is_ok());
        headers.insert(ORIGIN, "http://localhost".parse().unwrap());
        assert!(check(&headers, true).is_err());
        assert!(check(&headers, false).is_err());
    }
}
