//! The HTTP API's event (payload version 2.0), and the request as the client signed it.
//!
//! Only what is needed is read, by structs of our own: the event carries bodies of megabytes, and a crate of all of
//! AWS's event types would bring more code than it saves. API Gateway decodes the path, which signatures cover as it
//! was sent; of our paths only the ARN of tagging routes differs, and every SDK encodes that in one way.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::ApiError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

/// What SDKs leave as it is in a path segment.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What other clients leave as it is: nothing, colons (which a path may hold), slashes.
const ENCODINGS: [AsciiSet; 3] = [ENCODED, ENCODED.remove(b':'), ENCODED.remove(b'/')];
const TAGS: &str = "/tags/";
/// Of an event's JSON: what is around the body, headers left out.
const FRAME_BYTES: usize = 2 * 1024;

/// An event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpEvent {
    /// Decoded.
    raw_path: String,
    /// As sent.
    #[serde(default, deserialize_with = "null_is_absent")]
    raw_query_string: String,
    /// Names in lower case; several headers of one name are joined by commas.
    #[serde(default, deserialize_with = "null_is_absent")]
    headers: BTreeMap<String, String>,
    /// What the header `cookie` held: API Gateway takes it apart.
    #[serde(default, deserialize_with = "null_is_absent")]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: RequestContext,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    http: Http,
    #[serde(default, deserialize_with = "null_is_absent")]
    api_id: String,
    #[serde(default, deserialize_with = "null_is_absent")]
    stage: String,
    /// When API Gateway received the request, in milliseconds since 1970.
    #[serde(default)]
    time_epoch: i64,
    #[serde(default)]
    authorizer: Option<Authorizer>,
}

#[derive(Debug, Clone, Deserialize)]
struct Http {
    method: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Authorizer {
    #[serde(default)]
    iam: Option<Iam>,
}

/// Whom API Gateway's IAM authorizer has let through.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Iam {
    user_arn: Option<String>,
}

/// A request as it was before API Gateway.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: String,
    /// The path as the client most likely sent it, and the other forms that it may have had.
    pub paths: Vec<String>,
    /// Query as sent.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As sent.
    pub body: Bytes,
    /// ARN of the caller whom IAM knows.
    pub iam_principal: Option<String>,
    /// When API Gateway received it.
    pub received_ms: Option<u64>,
    /// `PublicBasePath` of this request.
    pub base_path: String,
}

impl Request {
    /// The request of an event. `{apiId}` and `{stage}` in `public_base_path` are the event's: an emulator's URL has
    /// them in front of the path.
    ///
    /// # Errors
    /// A body that is larger than Lambda takes, or not the base64 that it is said to be.
    pub fn from_event(event: HttpEvent, public_base_path: &str) -> Result<Self, ApiError> {
        check_size(&event)?;
        let context = event.request_context;
        let body = match event.body {
            None => Bytes::new(),
            Some(text) if event.is_base64_encoded => {
                let decoded = STANDARD.decode(text);
                Bytes::from(decoded.map_err(|_| ApiError::validation("The request body could not be decoded"))?)
            }
            Some(text) => Bytes::from(text),
        };
        let mut headers: Vec<(String, String)> = event.headers.into_iter().map(lower_case).collect();
        if !event.cookies.is_empty() {
            headers.push(("cookie".to_owned(), event.cookies.join("; ")));
        }
        let base_path = public_base_path
            .replace("{apiId}", &context.api_id)
            .replace("{stage}", &context.stage);
        Ok(Self {
            method: context.http.method,
            paths: sent_paths(&event.raw_path),
            query: event.raw_query_string,
            headers,
            body,
            iam_principal: context.authorizer.and_then(|authorizer| authorizer.iam?.user_arn),
            received_ms: u64::try_from(context.time_epoch).ok().filter(|ms| *ms > 0),
            base_path,
        })
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }
}

fn lower_case((name, value): (String, String)) -> (String, String) {
    (name.to_ascii_lowercase(), value)
}

/// What API Gateway leaves out, `cargo lambda watch` sends as null.
fn null_is_absent<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(given: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(given)?.unwrap_or_default())
}

/// AWS refuses a larger event before us. Emulators do not, and must not seem to take more than AWS does.
fn check_size(event: &HttpEvent) -> Result<(), ApiError> {
    let headers: usize = event
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum();
    let body = event.body.as_deref().map_or(0, quoted_len);
    if FRAME_BYTES + headers + body <= crate::PAYLOAD_BYTES {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "Request body exceeds max allowed size: its {body} bytes are more than the 6 MB that a Lambda function takes; \
         send fewer vectors per request"
    )))
}

/// Bytes of a text inside a JSON string.
pub(crate) fn quoted_len(text: &str) -> usize {
    let escaped = text
        .bytes()
        .filter(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
        .count();
    text.len() + escaped
}

/// The path as sent: of a tagging route everything behind `/tags/` is one segment, encoded.
fn sent_paths(raw_path: &str) -> Vec<String> {
    let path: Cow<'_, str> = if raw_path.is_empty() {
        "/".into()
    } else {
        raw_path.into()
    };
    let Some((front, resource)) = path.split_once(TAGS) else {
        return vec![path.into_owned()];
    };
    // No ARN of ours has a percent sign: where there is one, nobody has decoded the path.
    if resource.contains('%') {
        return vec![path.into_owned()];
    }
    let encode = |set| format!("{front}{TAGS}{}", utf8_percent_encode(resource, set));
    let mut paths: Vec<String> = ENCODINGS.iter().map(encode).collect();
    paths.push(path.into_owned());
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn event(changes: &Value) -> HttpEvent {
        let mut event = json!({
            "version": "2.0", "routeKey": "POST /CreateIndex", "rawPath": "/CreateIndex", "rawQueryString": "",
            "headers": {"Host": "abc.execute-api.us-east-1.amazonaws.com", "content-type": "application/json"},
            "requestContext": {"apiId": "abc", "stage": "$default", "timeEpoch": 1_795_342_500_000_u64,
                "http": {"method": "POST", "path": "/CreateIndex", "sourceIp": "1.2.3.4"}},
            "body": "{}", "isBase64Encoded": false});
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_event_becomes_the_request_that_was_sent() {
        let request = Request::from_event(event(&json!({})), "/_aws/execute-api/{apiId}/{stage}").unwrap();
        assert_eq!(
            (request.method.as_str(), request.paths),
            ("POST", vec!["/CreateIndex".to_owned()])
        );
        assert_eq!(request.body, "{}");
        assert_eq!(request.base_path, "/_aws/execute-api/abc/$default");
        assert_eq!(
            request.headers[0],
            ("host".to_owned(), "abc.execute-api.us-east-1.amazonaws.com".to_owned())
        );
        assert_eq!(request.headers[1].0, "content-type");
        assert_eq!(
            (request.received_ms, request.iam_principal),
            (Some(1_795_342_500_000), None)
        );
    }

    #[test]
    fn null_is_as_if_it_were_not_there() {
        let null = json!({"rawQueryString": null, "headers": null, "cookies": null, "body": null});
        let request = Request::from_event(event(&null), "").unwrap();
        assert_eq!((request.query.as_str(), request.headers.len()), ("", 0));
    }

    /// Somebody may sign it.
    #[test]
    fn cookies_are_a_header_again() {
        let sent = json!({"cookies": ["a=1", "b=2"]});
        let request = Request::from_event(event(&sent), "").unwrap();
        assert_eq!(request.header("cookie"), Some("a=1; b=2"));
        let none = Request::from_event(event(&json!({})), "").unwrap();
        assert_eq!(none.header("cookie"), None);
    }

    #[test]
    fn bodies() {
        let body = |changes: Value| Request::from_event(event(&changes), "").map(|request| request.body);
        assert_eq!(body(json!({"body": null})).unwrap(), "");
        assert_eq!(
            body(json!({"body": "H4sI", "isBase64Encoded": true})).unwrap().as_ref(),
            [0x1f, 0x8b, 8]
        );
        assert!(body(json!({"body": "%", "isBase64Encoded": true})).is_err());
    }

    #[test]
    fn what_lambda_would_not_take_is_refused() {
        let sized = |text: String| Request::from_event(event(&json!({"body": text})), "");
        assert!(sized("1".repeat(crate::PAYLOAD_BYTES - 8 * 1024)).is_ok());
        let error = sized("1".repeat(crate::PAYLOAD_BYTES)).unwrap_err();
        assert!(
            error.message().starts_with("Request body exceeds max allowed size"),
            "{error:?}"
        );
        assert!(
            sized("\"".repeat(crate::PAYLOAD_BYTES / 2)).is_err(),
            "each quote is two bytes"
        );
    }

    #[rstest]
    #[case::plain("/CreateIndex", &["/CreateIndex"])]
    #[case::nothing("", &["/"])]
    #[case::decoded("/tags/arn:aws:s3vectors:us-east-1:1:bucket/b/index/i", &["/tags/arn%3Aaws%3As3vectors%3Aus-east-1%3A1%3Abucket%2Fb%2Findex%2Fi", "/tags/arn:aws:s3vectors:us-east-1:1:bucket%2Fb%2Findex%2Fi", "/tags/arn%3Aaws%3As3vectors%3Aus-east-1%3A1%3Abucket/b/index/i", "/tags/arn:aws:s3vectors:us-east-1:1:bucket/b/index/i"])]
    #[case::as_sent("/tags/arn%3Aaws%3Abucket%2Fb", &["/tags/arn%3Aaws%3Abucket%2Fb"])]
    #[case::prefix("/s3-vectors/tags/a:b", &["/s3-vectors/tags/a%3Ab", "/s3-vectors/tags/a:b"])]
    #[case::tags_twice("/tags/a/tags/b", &["/tags/a%2Ftags%2Fb", "/tags/a/tags/b"])]
    #[case::nothing_to_encode("/tags/abc", &["/tags/abc"])]
    fn paths(#[case] raw: &str, #[case] expected: &[&str]) {
        assert_eq!(sent_paths(raw), expected);
    }

    #[test]
    fn the_iam_callers_arn() {
        let context = json!({"requestContext": {"http": {"method": "POST"},
            "authorizer": {"iam": {"userArn": "arn:aws:iam::123456789012:user/app"}}}});
        let request = Request::from_event(event(&context), "").unwrap();
        assert_eq!(
            request.iam_principal.as_deref(),
            Some("arn:aws:iam::123456789012:user/app")
        );
        let none = json!({"requestContext": {"http": {"method": "POST"}, "authorizer": {"jwt": {}}}});
        assert_eq!(Request::from_event(event(&none), "").unwrap().iam_principal, None);
    }
}
