//! The answer that API Gateway takes (payload version 2.0), within what Lambda lets through.

use std::collections::BTreeMap;

use model::ApiError;
use serde::Serialize;

use crate::event::quoted_len;

/// An answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// HTTP status.
    pub status_code: u16,
    headers: BTreeMap<String, String>,
    /// Always empty, as the next one: API Gateway does not want them, `cargo lambda watch` does.
    multi_value_headers: BTreeMap<String, String>,
    cookies: Vec<String>,
    body: String,
    is_base64_encoded: bool,
}

impl HttpResponse {
    /// A success, or the error that the client sees.
    pub fn new(outcome: Result<Vec<u8>, ApiError>, request_id: &str) -> Self {
        let text = outcome.and_then(fitting);
        let (status_code, headers, body) = match text {
            Ok(body) => (200, Vec::new(), body),
            Err(error) => {
                let answer = wire::error_answer(&error);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                (answer.status, answer.headers, body)
            }
        };
        let mut headers: BTreeMap<String, String> = headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        headers.insert("content-type".to_owned(), "application/json".to_owned());
        headers.insert("x-amzn-requestid".to_owned(), request_id.to_owned());
        Self {
            status_code,
            headers,
            multi_value_headers: BTreeMap::new(),
            cookies: Vec::new(),
            body,
            is_base64_encoded: false,
        }
    }

    /// Bytes of the body.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// The operations end their answers before this: the last line before Lambda would cut the connection.
fn fitting(body: Vec<u8>) -> Result<String, ApiError> {
    let text = String::from_utf8(body).map_err(|error| {
        tracing::error!(%error, "an answer is not text");
        ApiError::internal()
    })?;
    if quoted_len(&text) > crate::PAYLOAD_BYTES - 1024 {
        return Err(ApiError::validation(
            "The answer would exceed the 6 MB that a Lambda function can give: ask for less at a time",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_and_errors() {
        let ok = serde_json::to_value(HttpResponse::new(Ok(b"{\"a\":1}".to_vec()), "id-1")).unwrap();
        assert_eq!(ok["statusCode"], 200);
        assert_eq!(ok["body"], "{\"a\":1}");
        assert_eq!(ok["headers"]["x-amzn-requestid"], "id-1");
        let error = HttpResponse::new(Err(ApiError::not_found_bucket()), "id-2");
        let error = serde_json::to_value(error).unwrap();
        assert_eq!(error["statusCode"], 404);
        assert_eq!(error["headers"]["x-amzn-errortype"], "NotFoundException");
        assert_eq!(error["headers"]["content-type"], "application/json");
    }

    #[test]
    fn an_answer_that_lambda_would_not_let_through_is_refused() {
        let quotes = HttpResponse::new(Ok(b"\"".repeat(crate::PAYLOAD_BYTES / 2)), "id");
        assert_eq!(quotes.status_code, 400);
        let digits = HttpResponse::new(Ok(b"1".repeat(crate::PAYLOAD_BYTES - 4096)), "id");
        assert_eq!(digits.status_code, 200);
    }
}
