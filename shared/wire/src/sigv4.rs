//! AWS Signature Version 4, header form (DESIGN.md section 7). What is covered by a valid signature:
//!
//! 1. method, path, query and the hash of the body, which is computed here and never believed;
//! 2. `host` and every `x-amz-*` header that is present (others if the client signed them);
//! 3. a time within 15 minutes of ours, and this deployment's region and service.
//!
//! Refused: presigned URLs, unsigned and streaming payloads, other algorithms. Session tokens too: our keys are static,
//! so a request that carries one was made with somebody else's credentials (an empty header is fine).

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use model::{ApiError, Policy};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::canonical::{canonical_headers, canonical_path, canonical_query};
use crate::keys::KeyRing;

mod header;
mod time;

use header::Authorization;

/// How far a request's time may be from ours.
const SKEW_S: u64 = 15 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const NO_MATCH: &str = "The request signature we calculated does not match the signature you provided. \
                        Check your AWS Secret Access Key and signing method.";
const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const UNSIGNED_PAYLOAD: &str = "Unsigned and streaming payloads are not supported: sign the SHA-256 of the body.";
const HASH_MISMATCH: &str = "The provided 'x-amz-content-sha256' header does not match what was computed.";
const PRESIGNED: &str = "Presigned requests are not supported: sign with the Authorization header.";

/// The parts of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Method.
    pub method: &'a str,
    /// Path as received, undecoded.
    pub raw_path: &'a str,
    /// Path in front of ours that clients sign (`PublicBasePath`); empty for none.
    pub base_path: &'a str,
    /// Query as received, without `?`.
    pub raw_query: &'a str,
    /// Headers as received, names in lower case.
    pub headers: &'a [(String, String)],
    /// SHA-256 of the body as received, before inflating.
    pub body_sha256: [u8; 32],
}

/// Who calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// IAM ARN of who signed; `None` when nobody signs.
    pub principal: Option<String>,
    /// May do everything that no policy denies.
    pub owner: bool,
    /// The access key's own policy.
    pub policy: Option<Arc<Policy>>,
    /// Whoever ended TLS in front of us says that the request came over it.
    pub secure_transport: bool,
}

impl Caller {
    /// The caller of auth mode `none`.
    pub fn anonymous_owner() -> Self {
        Self {
            principal: None,
            owner: true,
            policy: None,
            secure_transport: false,
        }
    }
}

/// Whether a request came over TLS, by the header that proxies and API Gateway set. A client that lies about it
/// deceives itself alone.
pub fn is_secure_transport(headers: &[(String, String)]) -> bool {
    headers
        .iter()
        .any(|(name, value)| name == "x-forwarded-proto" && value.trim().eq_ignore_ascii_case("https"))
}

/// SHA-256 of a body, as [`SignedRequest`] wants it.
pub fn body_sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Who signed the request.
///
/// # Errors
/// AccessDeniedException with AWS's sentence for what is wrong. An unknown key costs the same work as a known one.
pub fn verify(
    req: &SignedRequest<'_>,
    keys: &KeyRing,
    region: &str,
    service: &str,
    now_ms: u64,
) -> Result<Caller, ApiError> {
    refuse_presigned(req.raw_query)?;
    let authorization = Authorization::parse(single_header(req.headers, "authorization")?)?;
    let signed_at = signing_time(req.headers)?;
    check_scope(&authorization, &signed_at.text, region, service)?;
    check_skew(signed_at.seconds, now_ms / 1000)?;
    check_signed_headers(req.headers, &authorization.signed_headers)?;
    check_content_hash(req)?;

    let known = keys.lookup(authorization.access_key_id);
    let secret = known.map_or("no such key", |key| key.secret_access_key.reveal());
    let expected = signature(req, &authorization, &signed_at.text, secret)?;
    let same = bool::from(expected.ct_eq(&authorization.signature));
    let key = known.ok_or_else(|| ApiError::access_denied(INVALID_TOKEN))?;
    if !same {
        return Err(ApiError::access_denied(NO_MATCH));
    }
    if req
        .headers
        .iter()
        .any(|(name, value)| name == "x-amz-security-token" && !value.trim().is_empty())
    {
        return Err(ApiError::access_denied(INVALID_TOKEN));
    }
    Ok(Caller {
        principal: Some(key.principal.clone()),
        owner: key.owner,
        policy: key.policy.clone(),
        secure_transport: is_secure_transport(req.headers),
    })
}

fn refuse_presigned(raw_query: &str) -> Result<(), ApiError> {
    let presigned = raw_query.split('&').any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
        matches!(
            name.as_str(),
            "x-amz-signature" | "x-amz-credential" | "x-amz-algorithm"
        )
    });
    if presigned {
        Err(ApiError::access_denied(PRESIGNED))
    } else {
        Ok(())
    }
}

/// The value of a header that must be there once.
fn single_header<'a>(headers: &'a [(String, String)], name: &str) -> Result<&'a str, ApiError> {
    let mut values = headers
        .iter()
        .filter(|(sent, _)| sent == name)
        .map(|(_, value)| value.trim());
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (Some(_), Some(_)) => Err(ApiError::access_denied(format!(
            "Header '{name}' was sent more than once."
        ))),
        (None, _) => Err(ApiError::access_denied("Missing Authentication Token")),
    }
}

struct SigningTime {
    seconds: u64,
    /// The basic form, which is signed.
    text: String,
}

/// `x-amz-date`, or `date` where that is missing.
fn signing_time(headers: &[(String, String)]) -> Result<SigningTime, ApiError> {
    let sent = |name: &str| headers.iter().any(|(header, _)| header == name);
    let seconds = if sent("x-amz-date") {
        time::parse_basic(single_header(headers, "x-amz-date")?)
    } else if sent("date") {
        let text = single_header(headers, "date")?;
        time::parse_basic(text).or_else(|| time::parse_http(text))
    } else {
        let message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
        return Err(ApiError::access_denied(message));
    };
    match seconds {
        Some(seconds) => Ok(SigningTime {
            seconds,
            text: time::format_basic(seconds),
        }),
        None => Err(ApiError::access_denied(
            "Date must be in ISO-8601 'basic format', as in 20261122T101500Z.",
        )),
    }
}

fn check_scope(authorization: &Authorization<'_>, date: &str, region: &str, service: &str) -> Result<(), ApiError> {
    let day = date.get(..8).unwrap_or_default();
    let message = if authorization.date != day {
        format!("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}'.")
    } else if authorization.region != region {
        format!("Credential should be scoped to a valid region: '{region}'.")
    } else if authorization.service != service {
        format!("Credential should be scoped to correct service: '{service}'.")
    } else {
        return Ok(());
    };
    Err(ApiError::access_denied(message))
}

fn check_skew(signed: u64, now: u64) -> Result<(), ApiError> {
    let text = time::format_basic;
    let message = if signed + SKEW_S < now {
        let earliest = now - SKEW_S;
        format!(
            "Signature expired: {} is now earlier than {} ({} - 15 min.)",
            text(signed),
            text(earliest),
            text(now)
        )
    } else if signed > now + SKEW_S {
        let latest = now + SKEW_S;
        format!(
            "Signature not yet current: {} is still later than {} ({} + 15 min.)",
            text(signed),
            text(latest),
            text(now)
        )
    } else {
        return Ok(());
    };
    Err(ApiError::access_denied(message))
}

/// What could change a request's meaning must be signed.
fn check_signed_headers(headers: &[(String, String)], signed: &[&str]) -> Result<(), ApiError> {
    let must_sign = |name: &str| name == "host" || name.starts_with("x-amz-");
    let unsigned = headers
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| must_sign(name) && !signed.contains(name));
    let unsigned = unsigned.or_else(|| (!signed.contains(&"host")).then_some("host"));
    match unsigned {
        Some(name) => {
            let shown: String = name.chars().take(64).collect();
            Err(ApiError::access_denied(format!(
                "Header '{shown}' must be a signed header."
            )))
        }
        None => Ok(()),
    }
}

fn check_content_hash(req: &SignedRequest<'_>) -> Result<(), ApiError> {
    for (_, value) in req.headers.iter().filter(|(name, _)| name == "x-amz-content-sha256") {
        let value = value.trim();
        if value.starts_with("UNSIGNED-") || value.starts_with("STREAMING-") {
            return Err(ApiError::access_denied(UNSIGNED_PAYLOAD));
        }
        if value != hex(&req.body_sha256) {
            return Err(ApiError::access_denied(HASH_MISMATCH));
        }
    }
    Ok(())
}

/// The signature that `secret` makes for this request.
fn signature(
    req: &SignedRequest<'_>,
    authorization: &Authorization<'_>,
    date: &str,
    secret: &str,
) -> Result<[u8; 32], ApiError> {
    let headers = canonical_headers(req.headers, &authorization.signed_headers)
        .ok_or_else(|| ApiError::access_denied("A signed header was not sent."))?;
    let request = format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        req.method.to_ascii_uppercase(),
        canonical_path(req.base_path, req.raw_path),
        canonical_query(req.raw_query),
        authorization.signed_headers.join(";"),
        hex(&req.body_sha256),
    );
    let Authorization {
        date: day,
        region,
        service,
        ..
    } = authorization;
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n{}",
        hex(&Sha256::digest(request.as_bytes()).into())
    );
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), day)?;
    for part in [region, service, "aws4_request"] {
        key = hmac(&key, part)?;
    }
    hmac(&key, &to_sign)
}

fn hmac(key: &[u8], text: &str) -> Result<[u8; 32], ApiError> {
    // HMAC takes keys of every length; the error exists for other algorithms.
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| ApiError::internal())?;
    Ok(mac.chain_update(text).finalize().into_bytes().into())
}

fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('?', char::from);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests;
