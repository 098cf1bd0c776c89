//! Requests signed by botocore (tests/fixtures/make_sigv4.py) verify; every change to one of them is refused.

use rstest::rstest;
use serde::Deserialize;

use super::*;
use crate::keys::{AccessKey, Secret};

#[derive(Deserialize)]
struct Golden {
    access_key_id: String,
    secret_access_key: String,
    region: String,
    service: String,
    now_ms: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone)]
struct Case {
    name: String,
    method: String,
    base_path: String,
    raw_path: String,
    raw_query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Golden {
    fn load() -> Self {
        serde_json::from_str(include_str!("../../tests/fixtures/sigv4.json")).unwrap()
    }

    fn keys(&self) -> KeyRing {
        let key = AccessKey {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: Secret::new(self.secret_access_key.clone()),
            principal: "arn:aws:iam::123456789012:user/tester".to_owned(),
            owner: true,
            policy: None,
        };
        KeyRing::from_keys(vec![key]).unwrap()
    }

    fn case(&self, name: &str) -> Case {
        self.cases.iter().find(|case| case.name == name).unwrap().clone()
    }

    fn verify(&self, case: &Case) -> Result<Caller, String> {
        self.verify_at(case, self.now_ms)
    }

    fn verify_at(&self, case: &Case, now_ms: u64) -> Result<Caller, String> {
        verify(&case.request(), &self.keys(), &self.region, &self.service, now_ms).map_err(|error| {
            assert_eq!((error.shape(), error.status()), ("AccessDeniedException", 403));
            error.message().to_owned()
        })
    }
}

impl Case {
    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            raw_path: &self.raw_path,
            base_path: &self.base_path,
            raw_query: &self.raw_query,
            headers: &self.headers,
            body_sha256: body_sha256(self.body.as_bytes()),
        }
    }

    fn path(&mut self) -> &mut String {
        &mut self.raw_path
    }

    fn query(&mut self) -> &mut String {
        &mut self.raw_query
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(sent, _)| sent == name).unwrap().1
    }

    fn replace(&mut self, header: &str, from: &str, to: &str) {
        let value = self.header(header);
        assert!(value.contains(from));
        *value = value.replacen(from, to, 1);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(sent, _)| sent != name);
    }
}

#[test]
fn requests_of_real_clients_verify() {
    let golden = Golden::load();
    assert_eq!(golden.cases.len(), 42);
    let caller = Caller {
        principal: Some("arn:aws:iam::123456789012:user/tester".to_owned()),
        owner: true,
        policy: None,
        secure_transport: false,
    };
    for case in &golden.cases {
        assert_eq!(golden.verify(case), Ok(caller.clone()), "{}", case.name);
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let golden = Golden::load();
    for case in &golden.cases {
        let refused = |changed: &Case, what: &str| assert!(golden.verify(changed).is_err(), "{} {what}", case.name);
        for at in 0..case.body.len() {
            let mut request = case.request();
            let mut body = case.body.clone().into_bytes();
            body[at] ^= 1;
            request.body_sha256 = body_sha256(&body);
            assert!(verify(&request, &golden.keys(), &golden.region, &golden.service, golden.now_ms).is_err());
        }
        for text in [Case::path as fn(&mut Case) -> &mut String, Case::query] {
            let length = text(&mut case.clone()).len();
            for at in (0..length).filter(|at| text(&mut case.clone()).as_bytes()[*at].is_ascii_alphabetic()) {
                let mut changed = case.clone();
                let letter = if text(&mut changed).as_bytes()[at] == b'z' {
                    "y"
                } else {
                    "z"
                };
                text(&mut changed).replace_range(at..=at, letter);
                refused(&changed, "path or query");
            }
        }
        let mut changed = case.clone();
        changed.method = "PUT".to_owned();
        refused(&changed, "method");
        let mut changed = case.clone();
        changed.base_path.push_str("/x");
        refused(&changed, "base path");
        for (at, (name, value)) in case.headers.iter().enumerate() {
            if ["user-agent", "accept-encoding"].contains(&name.as_str()) {
                continue;
            }
            for letter in (0..value.len()).filter(|at| value.as_bytes()[*at].is_ascii_alphanumeric()) {
                let mut changed = case.clone();
                let other = if value.as_bytes()[letter] == b'0' { "1" } else { "0" };
                changed.headers[at].1.replace_range(letter..=letter, other);
                refused(&changed, name);
            }
            let mut changed = case.clone();
            changed.headers.remove(at);
            refused(&changed, name);
        }
    }
}

#[test]
fn what_is_not_signed_may_change() {
    let golden = Golden::load();
    let mut case = golden.case("boto3 query");
    *case.header("user-agent") = "other".to_owned();
    case.remove("accept-encoding");
    case.add("x-amzn-trace-id", "Root=1-2-3");
    case.add("x-forwarded-for", "10.0.0.1");
    case.add("content-length", "110");
    *case.header("content-type") = "  application/json ".to_owned();
    assert!(golden.verify(&case).is_ok());
}

#[rstest]
#[case::now(0, None)]
#[case::late(900_000, None)]
#[case::early(-900_000, None)]
#[case::too_late(
    901_000,
    Some("Signature expired: 20261122T101500Z is now earlier than 20261122T101501Z (20261122T103001Z - 15 min.)")
)]
#[case::too_early(-901_000, Some("Signature not yet current: 20261122T101500Z is still later than 20261122T101459Z (20261122T095959Z + 15 min.)"))]
fn skew(#[case] by_ms: i64, #[case] message: Option<&str>) {
    let golden = Golden::load();
    for name in ["boto3 query", "date header"] {
        let verified = golden.verify_at(&golden.case(name), golden.now_ms.wrapping_add_signed(by_ms));
        assert_eq!(verified.err().as_deref(), message);
    }
}

#[test]
fn a_clock_at_zero_is_no_overflow() {
    let golden = Golden::load();
    assert!(
        golden
            .verify_at(&golden.case("boto3 query"), 0)
            .unwrap_err()
            .starts_with("Signature not yet current")
    );
    assert!(
        golden
            .verify_at(&golden.case("boto3 query"), u64::MAX)
            .unwrap_err()
            .starts_with("Signature expired")
    );
}

type Change = fn(&mut Case);

#[rstest]
#[case::unsigned(|c: &mut Case| c.remove("authorization"), "Missing Authentication Token")]
#[case::twice(|c: &mut Case| c.add("authorization", "x"), "Header 'authorization' was sent more than once.")]
#[case::bearer(|c: &mut Case| *c.header("authorization") = "Bearer x".to_owned(), "Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256.")]
#[case::unknown_key(|c: &mut Case| c.replace("authorization", "AKIDEXAMPLE", "AKIDUNKNOWN"), "The security token included in the request is invalid.")]
#[case::region(|c: &mut Case| c.replace("authorization", "us-east-1", "eu-west-1"), "Credential should be scoped to a valid region: 'us-east-1'.")]
#[case::service(|c: &mut Case| c.replace("authorization", "s3vectors", "execute-api"), "Credential should be scoped to correct service: 's3vectors'.")]
#[case::terminator(|c: &mut Case| c.replace("authorization", "aws4_request", "aws5_request"), "Credential must be <access key id>/YYYYMMDD/<region>/<service>/aws4_request.")]
#[case::scope_date(|c: &mut Case| c.replace("authorization", "20261122", "20261121"), "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261122'.")]
#[case::signature(|c: &mut Case| *c.header("authorization") += "0", NO_MATCH)]
#[case::no_date(|c: &mut Case| c.remove("x-amz-date"), "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")]
#[case::bad_date(|c: &mut Case| *c.header("x-amz-date") = "2026-11-22".to_owned(), "Date must be in ISO-8601 'basic format', as in 20261122T101500Z.")]
#[case::two_dates(|c: &mut Case| c.add("x-amz-date", "20261122T101500Z"), "Header 'x-amz-date' was sent more than once.")]
#[case::unsigned_header(|c: &mut Case| c.add("x-amz-target", "a"), "Header 'x-amz-target' must be a signed header.")]
#[case::host_not_signed(|c: &mut Case| c.replace("authorization", "content-type;host;", "content-type;"), "Header 'host' must be a signed header.")]
#[case::host_absent(|c: &mut Case| c.remove("host"), "A signed header was not sent.")]
#[case::date_not_signed(|c: &mut Case| c.replace("authorization", ";x-amz-date", ""), "Header 'x-amz-date' must be a signed header.")]
#[case::signed_but_absent(|c: &mut Case| c.replace("authorization", "content-type;host", "accept;content-type;host"), "A signed header was not sent.")]
#[case::presigned(|c: &mut Case| c.raw_query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00".to_owned(), PRESIGNED)]
#[case::unsigned_token(|c: &mut Case| c.add("x-amz-security-token", "token"), "Header 'x-amz-security-token' must be a signed header.")]
fn refusals(#[case] change: Change, #[case] message: &str) {
    let golden = Golden::load();
    let mut case = golden.case("boto3 query");
    change(&mut case);
    assert_eq!(golden.verify(&case), Err(message.to_owned()));
}

#[rstest]
#[case::unsigned_payload("UNSIGNED-PAYLOAD", UNSIGNED_PAYLOAD)]
#[case::streaming("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", UNSIGNED_PAYLOAD)]
#[case::wrong("0000000000000000000000000000000000000000000000000000000000000000", HASH_MISMATCH)]
#[case::empty("", HASH_MISMATCH)]
fn content_hashes_are_never_believed(#[case] sent: &str, #[case] message: &str) {
    let golden = Golden::load();
    let mut case = golden.case("litellm query");
    *case.header("x-amz-content-sha256") = sent.to_owned();
    assert_eq!(golden.verify(&case), Err(message.to_owned()));
}

/// Signs as a client would, over the headers named.
fn sign_again(golden: &Golden, case: &mut Case, signed: &[&str]) {
    let scope = "20261122/us-east-1/s3vectors/aws4_request";
    let authorization = Authorization {
        access_key_id: &golden.access_key_id,
        date: "20261122",
        region: &golden.region,
        service: &golden.service,
        signed_headers: signed.to_vec(),
        signature: [0; 32],
    };
    let signature = signature(
        &case.request(),
        &authorization,
        "20261122T101500Z",
        &golden.secret_access_key,
    )
    .unwrap();
    let (names, signature) = (signed.join(";"), hex(&signature));
    *case.header("authorization") = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        golden.access_key_id
    );
}

#[rstest]
#[case::token("token", Some(INVALID_TOKEN))]
#[case::empty("", None)]
fn session_tokens(#[case] token: &str, #[case] message: Option<&str>) {
    let golden = Golden::load();
    let mut case = golden.case("boto3 query");
    case.add("x-amz-security-token", token);
    sign_again(
        &golden,
        &mut case,
        &["content-type", "host", "x-amz-date", "x-amz-security-token"],
    );
    assert_eq!(golden.verify(&case).err().as_deref(), message);
}

#[test]
fn repeated_signed_headers_are_one_value() {
    let golden = Golden::load();
    let mut case = golden.case("boto3 query");
    case.add("x-amz-tag", "one");
    case.add("x-amz-tag", "two");
    sign_again(&golden, &mut case, &["content-type", "host", "x-amz-date", "x-amz-tag"]);
    assert!(golden.verify(&case).is_ok());
    case.headers.pop();
    assert_eq!(golden.verify(&case), Err(NO_MATCH.to_owned()));
}
