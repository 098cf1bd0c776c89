//! The deployment's own access keys (DESIGN.md section 7). Nothing here ever shows a secret, errors included.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use model::policy::{Policy, PolicyFault};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A secret access key; its `Debug` form shows nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The half that requests name.
    pub access_key_id: String,
    /// The half that signs.
    pub secret_access_key: Secret,
    /// The IAM user ARN that this key acts as.
    pub principal: String,
    /// May do everything that no policy denies.
    pub owner: bool,
    /// The key's own policy.
    pub policy: Option<Arc<Policy>>,
}

/// Why keys are refused. Says where, never what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Not JSON, or not of the shape `{"keys": [{"accessKeyId", "secretAccessKey", "principal", "owner", "policy"?}]}`.
    #[error("keys are not of the expected JSON shape at line {line}, column {column}")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// No key at all: nobody could call.
    #[error("there are no access keys")]
    Empty,
    /// Two keys of one id.
    #[error("access key {position} has the id of an earlier one")]
    Duplicate {
        /// Position in the list, from 1.
        position: usize,
    },
    /// An id, secret or principal that no client could use.
    #[error("access key {position} has a missing or malformed {part}")]
    Malformed {
        /// Position in the list, from 1.
        position: usize,
        /// Which part.
        part: &'static str,
    },
    /// A policy that could not be judged.
    #[error("the policy of access key {position} is refused: {fault}")]
    Policy {
        /// Position in the list, from 1.
        position: usize,
        /// Why.
        fault: PolicyFault,
    },
}

/// All access keys of the deployment.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: HashMap<String, AccessKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile<'a> {
    #[serde(borrow)]
    keys: Vec<KeyEntry<'a>>,
}

// Unknown members are refused: a misspelt `owner` or `policy` must not change who may do what.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyEntry<'a> {
    access_key_id: String,
    secret_access_key: String,
    principal: String,
    #[serde(default)]
    owner: bool,
    #[serde(borrow, default)]
    policy: Option<&'a RawValue>,
}

impl KeyRing {
    /// From the text of a keys file: a list of keys, or one key alone.
    ///
    /// # Errors
    /// A text that is not of the shape of DESIGN.md section 7, or keys that [`KeyRing::from_keys`] refuses.
    pub fn from_json(text: &str) -> Result<Self, KeyRingError> {
        let shape = |error: serde_json::Error| KeyRingError::Shape {
            line: error.line(),
            column: error.column(),
        };
        let alone: Result<KeyEntry<'_>, _> = serde_json::from_str(text);
        let entries = match alone {
            Ok(key) => vec![key],
            Err(_) => serde_json::from_str::<KeysFile<'_>>(text).map_err(shape)?.keys,
        };
        let keys = entries.into_iter().enumerate().map(|(position, entry)| {
            Ok(AccessKey {
                policy: entry
                    .policy
                    .map(|policy| read_policy(policy, position + 1))
                    .transpose()?,
                access_key_id: entry.access_key_id,
                secret_access_key: Secret::new(entry.secret_access_key),
                principal: entry.principal,
                owner: entry.owner,
            })
        });
        Self::from_keys(keys.collect::<Result<_, _>>()?)
    }

    /// From keys made in code.
    ///
    /// # Errors
    /// No keys, two of one id, or one without id, secret or principal.
    pub fn from_keys(keys: Vec<AccessKey>) -> Result<Self, KeyRingError> {
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        let mut ring = Self {
            keys: HashMap::with_capacity(keys.len()),
        };
        for (index, key) in keys.into_iter().enumerate() {
            let position = index + 1;
            let malformed = |part| Err(KeyRingError::Malformed { position, part });
            let id = &key.access_key_id;
            if id.is_empty()
                || !id
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/,=".contains(&byte))
            {
                return malformed("access key id");
            }
            if key.secret_access_key.reveal().trim().is_empty() {
                return malformed("secret");
            }
            if key.principal.is_empty() {
                return malformed("principal");
            }
            if ring.keys.insert(id.clone(), key).is_some() {
                return Err(KeyRingError::Duplicate { position });
            }
        }
        Ok(ring)
    }

    /// The key of this id.
    pub fn lookup(&self, access_key_id: &str) -> Option<&AccessKey> {
        self.keys.get(access_key_id)
    }
}

/// A policy is given as an object, or as a string that holds one.
fn read_policy(policy: &RawValue, position: usize) -> Result<Arc<Policy>, KeyRingError> {
    let inner = serde_json::from_str::<String>(policy.get());
    let text = inner.as_deref().unwrap_or(policy.get());
    let read = Policy::parse_identity(text);
    read.map(Arc::new)
        .map_err(|fault| KeyRingError::Policy { position, fault })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FILE: &str = r#"{"keys": [
        {"accessKeyId": "AKIDOWNER", "secretAccessKey": "top-secret", "principal": "arn:aws:iam::123456789012:user/a", "owner": true},
        {"accessKeyId": "AKIDREADER", "secretAccessKey": "s2", "principal": "arn:aws:iam::123456789012:user/b",
         "policy": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}},
        {"accessKeyId": "AKIDTEXT", "secretAccessKey": "s3", "principal": "p", "owner": false, "policy": "{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"}}"}]}"#;

    #[test]
    fn a_keys_file() {
        let ring = KeyRing::from_json(FILE).unwrap();
        let owner = ring.lookup("AKIDOWNER").unwrap();
        assert!(owner.owner && owner.policy.is_none());
        assert_eq!(owner.principal, "arn:aws:iam::123456789012:user/a");
        assert_eq!(owner.secret_access_key.reveal(), "top-secret");
        let reader = ring.lookup("AKIDREADER").unwrap();
        assert!(!reader.owner && reader.policy.is_some());
        assert_eq!(ring.lookup("AKIDTEXT").unwrap().policy, reader.policy);
        assert!(ring.lookup("AKIDOTHER").is_none());
        let alone = r#"{"accessKeyId": "AKIDONE", "secretAccessKey": "s", "principal": "p", "owner": true}"#;
        assert!(KeyRing::from_json(alone).unwrap().lookup("AKIDONE").unwrap().owner);
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", KeyRing::from_json(FILE).unwrap());
        assert!(shown.contains("AKIDOWNER") && !shown.contains("top-secret"));
        let error = KeyRing::from_json(&FILE.replace("\"owner\": true", "\"owner\": \"top-secret\"")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("top-secret"));
    }

    #[rstest]
    #[case::not_json("{", KeyRingError::Shape { line: 1, column: 1 })]
    #[case::no_keys(r#"{"keys":[]}"#, KeyRingError::Empty)]
    #[case::no_secret(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":" ","principal":"p"}]}"#, KeyRingError::Malformed { position: 1, part: "secret" })]
    #[case::no_id(r#"{"keys":[{"accessKeyId":"","secretAccessKey":"s","principal":"p"}]}"#, KeyRingError::Malformed { position: 1, part: "access key id" })]
    #[case::slash_in_id(r#"{"keys":[{"accessKeyId":"a/b","secretAccessKey":"s","principal":"p"}]}"#, KeyRingError::Malformed { position: 1, part: "access key id" })]
    #[case::no_principal(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":""}]}"#, KeyRingError::Malformed { position: 1, part: "principal" })]
    #[case::policy(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p","policy":[]}]}"#, KeyRingError::Policy { position: 1, fault: Policy::parse_identity("[]").unwrap_err() })]
    #[case::policy_of_a_bucket(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p","policy":{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}}]}"#, KeyRingError::Policy { position: 1, fault: Policy::parse_identity(r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#).unwrap_err() })]
    #[case::twice(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p"},{"accessKeyId":"a","secretAccessKey":"t","principal":"p"}]}"#, KeyRingError::Duplicate { position: 2 })]
    #[case::misspelt(r#"{"keys":[{"accessKeyId":"a","secretAccessKey":"s","principal":"p","Owner":true}]}"#, KeyRingError::Shape { line: 1, column: 73 })]
    fn refused(#[case] text: &str, #[case] expected: KeyRingError) {
        assert_eq!(KeyRing::from_json(text).unwrap_err(), expected);
    }
}
