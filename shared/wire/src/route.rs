//! Method, raw path and raw query -> operation. The last segment of the path names the operation, so that
//! `/CreateIndex`, `/s3-vectors/CreateIndex` and `/any/stage/CreateIndex` are the same; of the tag operations it is
//! everything after `/tags/`, encoded or not.

use model::{ApiError, Operation};
use percent_encoding::percent_decode_str;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// An operation of the API.
    Operation {
        /// Which one.
        op: Operation,
        /// Of the tag operations: the ARN in the path, decoded.
        resource_arn: Option<String>,
        /// Of UntagResource: each `tagKeys` of the query, decoded, in the order sent.
        tag_keys: Vec<String>,
    },
    /// `GET /health`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `GET /stats`
    Stats,
}

/// The route of a request.
///
/// # Errors
/// UnknownOperationException (404) for every other path and method; ValidationException for bytes that are not text.
pub fn route(method: &str, raw_path: &str, raw_query: &str) -> Result<Route, ApiError> {
    if let Some(resource) = tag_resource(raw_path) {
        return tag_route(method, resource, raw_query);
    }
    let last = raw_path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = decode(last)?;
    match (method, name.as_str()) {
        ("GET" | "HEAD", "health") => return Ok(Route::Health),
        ("GET", "metrics") => return Ok(Route::Metrics),
        ("GET", "stats") => return Ok(Route::Stats),
        ("POST", _) => {}
        _ => return Err(unknown(method, &name)),
    }
    match Operation::parse(&name).filter(|op| !is_tag_operation(*op)) {
        Some(op) => Ok(Route::Operation {
            op,
            resource_arn: None,
            tag_keys: Vec::new(),
        }),
        None => Err(unknown(method, &name)),
    }
}

/// The part of the path after `tags/`, where that is a tag operation's. The first `tags` in front of an ARN counts
/// (a stage may be called `tags`, and so may a bucket inside the ARN); without any ARN, a `tags` in the last place but
/// one, whose resource the operation then refuses.
fn tag_resource(raw_path: &str) -> Option<&str> {
    let places = || raw_path.match_indices('/').filter_map(|(at, _)| raw_path.get(at..));
    let resources = || places().filter_map(|place| place.strip_prefix("/tags/"));
    let is_arn = |resource: &&str| resource.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("arn"));
    let is_operation = |resource: &&str| Operation::parse(resource).is_some_and(|op| !is_tag_operation(op));
    let alone = |resource: &&str| !resource.is_empty() && !resource.contains('/') && !is_operation(resource);
    resources().find(is_arn).or_else(|| resources().find(alone))
}

fn tag_route(method: &str, resource: &str, raw_query: &str) -> Result<Route, ApiError> {
    let op = match method {
        "GET" => Operation::ListTagsForResource,
        "POST" => Operation::TagResource,
        "DELETE" => Operation::UntagResource,
        _ => return Err(unknown(method, "tags")),
    };
    let tag_keys = if op == Operation::UntagResource {
        tag_keys(raw_query)?
    } else {
        Vec::new()
    };
    Ok(Route::Operation {
        op,
        resource_arn: Some(decode(resource)?),
        tag_keys,
    })
}

fn tag_keys(raw_query: &str) -> Result<Vec<String>, ApiError> {
    let mut keys = Vec::new();
    for parameter in raw_query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if decode(name)? == "tagKeys" {
            // In a query a plus is a space; SDKs send `%20` and `%2B`.
            keys.push(decode(&value.replace('+', " "))?);
        }
    }
    Ok(keys)
}

fn is_tag_operation(op: Operation) -> bool {
    matches!(
        op,
        Operation::ListTagsForResource | Operation::TagResource | Operation::UntagResource
    )
}

fn decode(encoded: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(encoded).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ApiError::validation("Request path and query must be UTF-8"))
}

fn unknown(method: &str, name: &str) -> ApiError {
    let shown: String = name.chars().take(64).collect();
    ApiError::UnknownOperation {
        message: format!("Operation '{shown}' is not known for method {method}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const ARN: &str = "arn:aws:s3vectors:us-east-1:123456789012:bucket/tags/index/my-index";
    const ENCODED: &str = "arn%3Aaws%3As3vectors%3Aus-east-1%3A123456789012%3Abucket%2Ftags%2Findex%2Fmy-index";

    fn operation(op: Operation) -> Route {
        Route::Operation {
            op,
            resource_arn: None,
            tag_keys: Vec::new(),
        }
    }

    #[rstest]
    fn every_operation_has_a_route(
        #[values("", "/s3-vectors", "/prod", "/stage/s3-vectors", "/tags", "/a/b/c")] prefix: &str,
    ) {
        for op in Operation::ALL.into_iter().filter(|op| !is_tag_operation(*op)) {
            let path = format!("{prefix}/{}", op.name());
            assert_eq!(route("POST", &path, "").unwrap(), operation(op), "{path}");
            assert_eq!(
                route("POST", &format!("{path}/"), "x=1").unwrap(),
                operation(op),
                "{path}/"
            );
        }
    }

    #[rstest]
    #[case("GET", Operation::ListTagsForResource)]
    #[case("POST", Operation::TagResource)]
    #[case("DELETE", Operation::UntagResource)]
    fn tag_operations(
        #[case] method: &str,
        #[case] op: Operation,
        #[values("", "/s3-vectors", "/prod", "/tags", "/tags/tags")] prefix: &str,
        #[values(ARN, ENCODED, &ARN.replace(':', "%3a"), &ARN.replace('/', "%2F"))] resource: &str,
    ) {
        let found = route(method, &format!("{prefix}/tags/{resource}"), "").unwrap();
        assert_eq!(
            found,
            Route::Operation {
                op,
                resource_arn: Some(ARN.to_owned()),
                tag_keys: Vec::new()
            }
        );
    }

    #[rstest]
    #[case("", &[])]
    #[case("tagKeys=a", &["a"])]
    #[case("tagKeys=b&tagKeys=a&other=c&tagKeys=", &["b", "a", ""])]
    #[case("tagKeys=a%20b%2Bc+d%26%3D%C3%A9", &["a b+c d&=é"])]
    #[case("tag%4Beys=a=b&tagKeys", &["a=b", ""])]
    fn tag_keys_of_the_query(#[case] query: &str, #[case] keys: &[&str]) {
        let Route::Operation { tag_keys, .. } = route("DELETE", &format!("/tags/{ENCODED}"), query).unwrap() else {
            panic!("not an operation");
        };
        assert_eq!(tag_keys, keys);
    }

    #[rstest]
    #[case("GET", "/health", Route::Health)]
    #[case("HEAD", "/health", Route::Health)]
    #[case("GET", "/prod/health/", Route::Health)]
    #[case("GET", "/metrics", Route::Metrics)]
    #[case("GET", "/stats", Route::Stats)]
    #[case("POST", "/Create%49ndex", operation(Operation::CreateIndex))]
    #[case("GET", "/tags/nonsense", Route::Operation { op: Operation::ListTagsForResource, resource_arn: Some("nonsense".to_owned()), tag_keys: Vec::new() })]
    fn other_paths(#[case] method: &str, #[case] path: &str, #[case] expected: Route) {
        assert_eq!(route(method, path, "").unwrap(), expected);
    }

    #[rstest]
    #[case("POST", "/Nonsense", "Operation 'Nonsense' is not known for method POST")]
    #[case("POST", "/prod/createindex", "Operation 'createindex' is not known for method POST")]
    #[case("GET", "/CreateIndex", "Operation 'CreateIndex' is not known for method GET")]
    #[case("PUT", "/CreateIndex", "Operation 'CreateIndex' is not known for method PUT")]
    #[case("POST", "/TagResource", "Operation 'TagResource' is not known for method POST")]
    #[case("POST", "/", "Operation '' is not known for method POST")]
    #[case("POST", "", "Operation '' is not known for method POST")]
    #[case("GET", "/", "Operation '' is not known for method GET")]
    #[case("POST", "/health", "Operation 'health' is not known for method POST")]
    #[case("PUT", "/tags/arn%3Aaws", "Operation 'tags' is not known for method PUT")]
    #[case("GET", "/tags/", "Operation 'tags' is not known for method GET")]
    #[case("POST", "/CreateIndex/more", "Operation 'more' is not known for method POST")]
    fn unknown_operations(#[case] method: &str, #[case] path: &str, #[case] message: &str) {
        let error = route(method, path, "").unwrap_err();
        assert_eq!(
            error,
            ApiError::UnknownOperation {
                message: message.to_owned()
            }
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        for path in ["/%FF", "/tags/arn%FF"] {
            assert_eq!(route("GET", path, "").unwrap_err().status(), 400);
        }
        assert_eq!(route("DELETE", "/tags/arn", "tagKeys=%C3").unwrap_err().status(), 400);
    }

    proptest! {
        #[test]
        fn any_request_line_ends_without_panic(method in "\\PC{0,6}", path in "(/|tags|arn|%|\\PC){0,20}", query in "\\PC{0,20}") {
            let _ = route(&method, &path, &query);
            for method in ["GET", "POST", "DELETE"] {
                let _ = route(method, &path, &query);
            }
        }
    }
}
