//! Opaque page tokens: base64url of a checksum and the state in a compact form. A token is a hint from the client,
//! never trusted beyond its shape: the checksum only tells damage and tokens of another kind apart from ours. Strings
//! go in as their bytes, so that a state with a key of 1024 bytes stays below the 2048 characters ListVectors allows.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use model::ApiError;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod compact;

/// Longest token that is looked at: QueryVectors' limit, the largest of the API.
pub const MAX_TOKEN_CHARS: usize = 4096;

const CHECK_BYTES: usize = 4;

/// A token of `kind` that carries `state`.
///
/// # Errors
/// Internal: a state that JSON cannot hold.
pub fn encode<T: Serialize>(kind: &str, state: &T) -> Result<String, ApiError> {
    let value = serde_json::to_value(state).map_err(|_| ApiError::internal())?;
    let mut payload = Vec::new();
    compact::write(&mut payload, &value);
    let mut token = check(kind, &payload).to_vec();
    token.extend_from_slice(&payload);
    Ok(BASE64_URL_SAFE_NO_PAD.encode(token))
}

/// The state in a token of `kind`.
///
/// # Errors
/// ValidationException `Invalid nextToken` for everything that [`encode`] did not make with the same kind and type.
pub fn decode<T: DeserializeOwned>(kind: &str, token: &str) -> Result<T, ApiError> {
    state(kind, token).ok_or_else(ApiError::invalid_token)
}

fn state<T: DeserializeOwned>(kind: &str, token: &str) -> Option<T> {
    if token.len() > MAX_TOKEN_CHARS {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sent, payload) = bytes.split_first_chunk::<CHECK_BYTES>()?;
    if *sent != check(kind, payload) {
        return None;
    }
    let value: Value = compact::read(payload)?;
    serde_json::from_value(value).ok()
}

fn check(kind: &str, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(payload)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Position {
        key: String,
        distance_bits: u32,
        version: u64,
        exact: Option<bool>,
        parts: Vec<i64>,
    }

    fn position(key: &str) -> Position {
        Position {
            key: key.to_owned(),
            distance_bits: u32::MAX,
            version: u64::MAX,
            exact: None,
            parts: vec![-1, i64::MIN],
        }
    }

    #[test]
    fn round_trip() {
        let token = encode("list-vectors", &position("ключ\u{0}\"")).unwrap();
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert_eq!(
            decode::<Position>("list-vectors", &token).unwrap(),
            position("ключ\u{0}\"")
        );
        assert_eq!(encode("list-vectors", &position("ключ\u{0}\"")).unwrap(), token);
    }

    #[rstest]
    #[case::letters("a".repeat(1024))]
    #[case::quotes("\"".repeat(1024))]
    #[case::controls("\u{1}".repeat(1024))]
    fn the_longest_key_fits(#[case] key: String) {
        assert!(encode("list-vectors", &position(&key)).unwrap().len() <= 2048);
    }

    #[rstest]
    #[case::empty("")]
    #[case::garbage("garbage")]
    #[case::not_base64("***")]
    #[case::short("AAAA")]
    #[case::zeros("AAAAAAAAAAAA")]
    #[case::long(&"A".repeat(5000))]
    fn other_texts_are_refused(#[case] token: &str) {
        assert_eq!(
            decode::<Position>("list-vectors", token).unwrap_err(),
            ApiError::invalid_token()
        );
    }

    #[test]
    fn another_kind_or_type_is_refused() {
        let token = encode("list-vectors", &position("a")).unwrap();
        assert!(decode::<Position>("list-indexes", &token).is_err());
        assert!(decode::<Vec<u8>>("list-vectors", &token).is_err());
    }

    proptest! {
        #[test]
        fn damage_is_found(key in "\\PC{0,20}", at in 0_usize..1000, letter in "[A-Za-z0-9_-]") {
            let token = encode("q", &position(&key)).unwrap();
            let at = at % token.len();
            let damaged = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            prop_assert!(damaged == token || decode::<Position>("q", &damaged).is_err());
            prop_assert!(decode::<Position>("q", &token[..at]).is_err());
        }

        #[test]
        fn any_payload_ends_without_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = compact::read(&payload);
            let mut token = check("q", &payload).to_vec();
            token.extend_from_slice(&payload);
            let _ = decode::<Position>("q", &BASE64_URL_SAFE_NO_PAD.encode(token));
        }
    }
}
