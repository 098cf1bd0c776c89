//! Errors as clients read them: status, `x-amzn-ErrorType` for SDKs, `__type` for people with curl (API.md section 2.1).

use model::ApiError;

use crate::json::JsonWriter;

/// An error's HTTP answer; its content type is `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers beside content type and request id, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body.
    pub body: Vec<u8>,
}

/// The answer that says `error`.
pub fn error_answer(error: &ApiError) -> ErrorAnswer {
    let mut headers = vec![("x-amzn-errortype", error.shape().to_owned())];
    if let ApiError::ServiceUnavailable {
        retry_after_s: Some(seconds),
        ..
    } = error
    {
        headers.push(("retry-after", seconds.to_string()));
    }
    let mut json = JsonWriter::with_capacity(128 + error.message().len());
    json.begin_object();
    json.name("__type").string(error.shape());
    json.name("message").string(error.message());
    if !error.fields().is_empty() {
        json.name("fieldList").begin_array();
        for field in error.fields() {
            json.begin_object();
            json.name("path").string(&field.path);
            json.name("message").string(&field.message);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
    ErrorAnswer {
        status: error.status(),
        headers,
        body: json.finish(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain(ApiError::not_found_index(), 404, &[("x-amzn-errortype", "NotFoundException")], r#"{"__type":"NotFoundException","message":"The specified index could not be found"}"#)]
    #[case::quota(ApiError::ServiceQuotaExceeded { message: "full".to_owned() }, 402, &[("x-amzn-errortype", "ServiceQuotaExceededException")], r#"{"__type":"ServiceQuotaExceededException","message":"full"}"#)]
    #[case::fields(ApiError::validation_detail("vectors[0]", "a \"b\"", "c"), 400, &[("x-amzn-errortype", "ValidationException")], r#"{"__type":"ValidationException","message":"a \"b\"","fieldList":[{"path":"vectors[0]","message":"c"}]}"#)]
    #[case::retry(ApiError::service_unavailable(Some(3)), 503, &[("x-amzn-errortype", "ServiceUnavailableException"), ("retry-after", "3")], r#"{"__type":"ServiceUnavailableException","message":"Currently unable to handle the request"}"#)]
    #[case::no_retry(ApiError::service_unavailable(None), 503, &[("x-amzn-errortype", "ServiceUnavailableException")], r#"{"__type":"ServiceUnavailableException","message":"Currently unable to handle the request"}"#)]
    fn answers(#[case] error: ApiError, #[case] status: u16, #[case] headers: &[(&str, &str)], #[case] body: &str) {
        let answer = error_answer(&error);
        assert_eq!(answer.status, status);
        let sent: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(sent, headers);
        assert_eq!(String::from_utf8(answer.body).unwrap(), body);
    }
}
