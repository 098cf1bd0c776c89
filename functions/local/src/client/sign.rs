//! AWS Signature Version 4, the client's side, header form. `wire` holds the server's side and the canonical forms.

use std::convert::Infallible;
use std::fmt::{self, Debug, Write as _};
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use wire::canonical::{canonical_headers, canonical_path};

use super::error::ClientError;

/// Of every request.
pub(crate) const CONTENT_TYPE: &str = "application/json";
const SERVICE: &str = "s3vectors";
const SIGNED_HEADERS: [&str; 3] = ["content-type", "host", "x-amz-date"];

/// A secret access key; its `Debug` form shows nothing.
#[derive(Clone)]
pub(crate) struct SecretKey(String);

impl SecretKey {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for SecretKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Signs requests with one key.
#[derive(Debug)]
pub(crate) struct Signer {
    access_key_id: String,
    secret: SecretKey,
    region: String,
}

/// The headers that carry a signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) date: String,
    pub(crate) authorization: String,
}

impl Signer {
    pub(crate) fn new(access_key_id: String, secret: SecretKey, region: String) -> Self {
        Self {
            access_key_id,
            secret,
            region,
        }
    }

    /// Signs a POST of `body` to `path`.
    pub(crate) fn sign(&self, host: &str, path: &str, body: &[u8], now_ms: u64) -> Result<Signature, ClientError> {
        let date = basic_date(now_ms / 1000);
        let day = date.get(..8).unwrap_or_default();
        let headers = [("content-type", CONTENT_TYPE), ("host", host), ("x-amz-date", &date)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = canonical_headers(&headers, &SIGNED_HEADERS).unwrap_or_default();
        let signed_headers = SIGNED_HEADERS.join(";");
        let path = canonical_path("", path);
        let request = format!(
            "POST\n{path}\n\n{headers}\n{signed_headers}\n{}",
            hex(&Sha256::digest(body))
        );
        let scope = format!("{day}/{}/{SERVICE}/aws4_request", self.region);
        let request_hash = hex(&Sha256::digest(request.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{request_hash}");
        let mut key = hmac(format!("AWS4{}", self.secret.0).as_bytes(), day)?;
        for part in [&self.region, SERVICE, "aws4_request"] {
            key = hmac(&key, part)?;
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={}",
            self.access_key_id,
            hex(&hmac(&key, &to_sign)?)
        );
        Ok(Signature { date, authorization })
    }
}

fn hmac(key: &[u8], text: &str) -> Result<[u8; 32], ClientError> {
    // HMAC takes keys of every length; the error exists for other algorithms.
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| ClientError::HalfKey)?;
    Ok(mac.chain_update(text).finalize().into_bytes().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// `20261122T101500Z` from seconds since 1970. Years are counted from March, so that the leap day is the last one.
fn basic_date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // since 1 March of year 0
    let era_day = days % 146_097;
    let year_of_era = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * year_day + 2) / 153;
    let day = year_day - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
    let clock = seconds % 86_400;
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use wire::{KeyRing, SignedRequest, verify};

    use super::*;

    const NOW_MS: u64 = 1_795_342_500_123;

    fn verified(host: &str, path: &str, sent_body: &[u8], region: &str) -> bool {
        let secret: SecretKey = "secret/+".parse().unwrap();
        let signer = Signer::new("AKID".to_owned(), secret, "eu-west-1".to_owned());
        let Signature { date, authorization } = signer.sign("localhost:8080", path, b"{\"a\":1}", NOW_MS).unwrap();
        let keys = r#"{"keys":[{"accessKeyId":"AKID","secretAccessKey":"secret/+","principal":"arn:aws:iam::123456789012:user/x","owner":true}]}"#;
        let headers = [
            ("host", host),
            ("content-type", CONTENT_TYPE),
            ("x-amz-date", &date),
            ("authorization", &authorization),
            ("accept", "*/*"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = SignedRequest {
            method: "POST",
            raw_path: path,
            base_path: "",
            raw_query: "",
            headers: &headers,
            body_sha256: wire::sigv4::body_sha256(sent_body),
        };
        verify(
            &request,
            &KeyRing::from_json(keys).unwrap(),
            region,
            SERVICE,
            NOW_MS + 60_000,
        )
        .is_ok()
    }

    #[test]
    fn the_server_agrees() {
        let body = b"{\"a\":1}";
        assert!(verified("localhost:8080", "/PutVectors", body, "eu-west-1"));
        assert!(verified("localhost:8080", "/stage/v%201/PutVectors", body, "eu-west-1"));
        assert!(!verified("localhost:8081", "/PutVectors", body, "eu-west-1"));
        assert!(!verified("localhost:8080", "/PutVectors", b"{\"a\":2}", "eu-west-1"));
        assert!(!verified("localhost:8080", "/PutVectors", body, "us-east-1"));
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_868_799, "20000229T235959Z"),
            (1_709_208_000, "20240229T120000Z"),
            (1_795_342_500, "20261122T101500Z"),
        ] {
            assert_eq!(basic_date(seconds), text);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret: SecretKey = "visible".parse().unwrap();
        let signer = Signer::new("AKID".to_owned(), secret, "r".to_owned());
        assert!(!format!("{signer:?}").contains("visible"));
    }
}
