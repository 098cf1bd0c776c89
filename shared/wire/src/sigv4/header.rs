//! The Authorization header:
//! `AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/<service>/aws4_request, SignedHeaders=<a;b>, Signature=<hex>`.

use model::ApiError;

use super::ALGORITHM;

/// Its parts, taken apart but not yet believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// In lower case, sorted, each once.
    pub(super) signed_headers: Vec<&'a str>,
    pub(super) signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    pub(super) fn parse(header: &'a str) -> Result<Self, ApiError> {
        let Some(parameters) = header
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with([' ', '\t']))
        else {
            return refused("Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256.");
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return refused("Authorization header has an invalid key=value pair."),
            };
            if slot.replace(value).is_some() {
                return refused("Authorization header has a parameter twice.");
            }
        }
        let required = |value: Option<&'a str>, name: &str| match value {
            Some(value) if !value.is_empty() => Ok(value),
            _ => refused(&format!("Authorization header requires '{name}' parameter.")),
        };
        let credential: Vec<&str> = required(credential, "Credential")?.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = credential.as_slice() else {
            return refused("Credential must be <access key id>/YYYYMMDD/<region>/<service>/aws4_request.");
        };
        let signed_headers = header_names(required(signed_headers, "SignedHeaders")?)?;
        // A signature that is no signature is answered like one that does not match.
        let signature = unhex(required(signature, "Signature")?).unwrap_or_default();
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            signed_headers,
            signature,
        })
    }
}

fn header_names(list: &str) -> Result<Vec<&str>, ApiError> {
    let names: Vec<&str> = list.split(';').collect();
    let lower_case = names
        .iter()
        .all(|name| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    if lower_case && names.is_sorted_by(|one, other| one < other) {
        Ok(names)
    } else {
        refused("SignedHeaders must be in lower case, sorted and without duplicates.")
    }
}

fn refused<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError::access_denied(message))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn signature() -> String {
        "0f".repeat(32)
    }

    #[test]
    fn parts() {
        for separator in [", ", ",", " , "] {
            let header = [
                "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/s3vectors/aws4_request".to_owned(),
                "SignedHeaders=host;x-amz-date".to_owned(),
                format!("Signature={}", signature()),
            ];
            let expected = Authorization {
                access_key_id: "AKID",
                date: "20261122",
                region: "us-east-1",
                service: "s3vectors",
                signed_headers: vec!["host", "x-amz-date"],
                signature: [15; 32],
            };
            assert_eq!(Authorization::parse(&header.join(separator)).unwrap(), expected);
        }
    }

    #[rstest]
    #[case::empty("", "Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256.")]
    #[case::basic(
        "Basic YTpi",
        "Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256."
    )]
    #[case::asymmetric(
        "AWS4-ECDSA-P256-SHA256 Credential=a",
        "Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256."
    )]
    #[case::glued(
        "AWS4-HMAC-SHA256Credential=a",
        "Unsupported algorithm in the Authorization header: use AWS4-HMAC-SHA256."
    )]
    #[case::nothing("AWS4-HMAC-SHA256 ", "Authorization header has an invalid key=value pair.")]
    #[case::other(
        "AWS4-HMAC-SHA256 Credential=a, Foo=b",
        "Authorization header has an invalid key=value pair."
    )]
    #[case::twice(
        "AWS4-HMAC-SHA256 Credential=a, Credential=b",
        "Authorization header has a parameter twice."
    )]
    #[case::no_credential(
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "Authorization header requires 'Credential' parameter."
    )]
    #[case::no_headers(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, Signature=00",
        "Authorization header requires 'SignedHeaders' parameter."
    )]
    #[case::no_signature(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=",
        "Authorization header requires 'Signature' parameter."
    )]
    #[case::credential(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=00",
        "Credential must be <access key id>/YYYYMMDD/<region>/<service>/aws4_request."
    )]
    #[case::unsorted(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host;accept, Signature=00",
        "SignedHeaders must be in lower case, sorted and without duplicates."
    )]
    #[case::doubled(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host;host, Signature=00",
        "SignedHeaders must be in lower case, sorted and without duplicates."
    )]
    #[case::upper(
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=Host, Signature=00",
        "SignedHeaders must be in lower case, sorted and without duplicates."
    )]
    fn refused_headers(#[case] header: &str, #[case] message: &str) {
        assert_eq!(
            Authorization::parse(header).unwrap_err(),
            ApiError::access_denied(message)
        );
    }

    #[rstest]
    #[case(&signature(), Some([15; 32]))]
    #[case(&signature().to_uppercase(), None)]
    #[case(&"0f".repeat(31), None)]
    #[case(&"0f".repeat(33), None)]
    #[case(&"0g".repeat(32), None)]
    #[case(&"é".repeat(32), None)]
    #[case("", None)]
    fn hexadecimal(#[case] text: &str, #[case] bytes: Option<[u8; 32]>) {
        assert_eq!(unhex(text), bytes);
    }
}
