//! What is refused where nobody has to sign: a web page must not reach a developer's database (DESIGN.md section 7).
//!
//! A browser adds `Origin` to cross-site requests, and a page that rebinds its own name to 127.0.0.1 still sends
//! that name as `Host`.

use std::net::IpAddr;

use model::ApiError;

/// Judges the headers of a request that nobody signed. `loopback`: only this machine reaches the server.
///
/// # Errors
/// AccessDenied: the request may come from a web page.
pub fn check(has_origin: bool, host: Option<&str>, loopback: bool) -> Result<(), ApiError> {
    if has_origin {
        return Err(denied("requests from web pages (with an Origin header) are refused"));
    }
    if !loopback || host.is_some_and(is_loopback_host) {
        return Ok(());
    }
    Err(denied("the Host header must name a loopback address"))
}

fn denied(reason: &str) -> ApiError {
    ApiError::access_denied(format!("This server runs without access keys: {reason}"))
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
        let host = Some("localhost");
        assert!(check(false, host, true).is_ok());
        assert!(check(true, host, true).is_err());
        assert!(check(true, host, false).is_err());
        assert!(check(false, None, true).is_err());
        assert!(check(false, None, false).is_ok());
    }
}
