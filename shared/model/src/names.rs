//! Names of buckets, indexes and vectors (API.md sections 3 and 5.1).
//!
//! Bucket names are lower-case letters, digits and hyphens. The ARN pattern of the service model would also admit
//! dots, but the user guide says hyphens only, and a dotted bucket name can do nothing a hyphenated one cannot: dots are
//! refused. Index names may have dots. Both begin and end with a letter or digit. Names are keys of records and parts
//! of ARNs, never names of files or objects.

use std::borrow::Borrow;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use crate::json::string_serde;
use crate::limits;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long, counted in characters.
    #[error("length must be between {} and {}, but is {actual}", allowed.start(), allowed.end())]
    Length {
        /// The length found.
        actual: usize,
        /// The lengths allowed.
        allowed: RangeInclusive<usize>,
    },
    /// A character that this kind of name cannot have, at this place.
    #[error("contains a character that is not allowed there")]
    Characters,
    /// A vector key whose UTF-8 form is too long although it has few enough characters.
    #[error("longer than {} bytes", limits::KEY_MAX_BYTES)]
    Bytes,
}

macro_rules! name_type {
    ($($(#[$doc:meta])* $name:ident $check:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and takes it as a name.
            ///
            /// # Errors
            /// When the text breaks a rule of this kind of name; length is judged before characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // `Hash`, `Eq` and `Ord` of an `Arc<str>` are those of the `str`, so maps can be asked with a plain text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        string_serde!($name);
    )*};
}

name_type! {
    /// The name of a vector bucket.
    BucketName check_bucket;
    /// The name of an index within its bucket.
    IndexName check_index;
    /// The key of a vector: 1 to 1,024 characters and at most 1,024 bytes of UTF-8, otherwise free.
    VectorKey check_key;
}

fn check_bucket(text: &str) -> Result<(), NameError> {
    check_length(text.chars().count(), limits::NAME_LENGTH)?;
    check_characters(text, |byte| byte == b'-')
}

fn check_index(text: &str) -> Result<(), NameError> {
    check_length(text.chars().count(), limits::NAME_LENGTH)?;
    check_characters(text, |byte| byte == b'-' || byte == b'.')
}

/// Characters are code points: the service refuses 1,024 emoji for their bytes, not for their 2,048 UTF-16 units.
fn check_key(text: &str) -> Result<(), NameError> {
    if text.len() <= limits::KEY_MAX_BYTES && !text.is_empty() {
        return Ok(()); // characters never outnumber bytes
    }
    check_length(text.chars().count(), limits::KEY_LENGTH)?;
    Err(NameError::Bytes)
}

fn check_length(actual: usize, allowed: RangeInclusive<usize>) -> Result<(), NameError> {
    if allowed.contains(&actual) {
        Ok(())
    } else {
        Err(NameError::Length { actual, allowed })
    }
}

fn check_characters(text: &str, inner: impl Fn(u8) -> bool) -> Result<(), NameError> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |end: Option<&u8>| end.is_some_and(|byte| alphanumeric(*byte));
    let bytes = text.as_bytes();
    let legal = bytes.iter().all(|byte| alphanumeric(*byte) || inner(*byte));
    if legal && ends_well(bytes.first()) && ends_well(bytes.last()) {
        Ok(())
    } else {
        Err(NameError::Characters)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LENGTH: fn(usize) -> NameError = |actual| NameError::Length {
        actual,
        allowed: limits::NAME_LENGTH,
    };

    #[rstest]
    #[case::short("abc", Ok(()))]
    #[case::digits("123", Ok(()))]
    #[case::hyphens("a--b", Ok(()))]
    #[case::longest(&"a".repeat(63), Ok(()))]
    #[case::too_short("ab", Err(LENGTH(2)))]
    #[case::empty("", Err(LENGTH(0)))]
    #[case::too_long(&"a".repeat(64), Err(LENGTH(64)))]
    #[case::upper("Abc", Err(NameError::Characters))]
    #[case::underscore("a_b", Err(NameError::Characters))]
    #[case::ampersand("a&b", Err(NameError::Characters))]
    #[case::dot("a.b", Err(NameError::Characters))]
    #[case::slash("a/b", Err(NameError::Characters))]
    #[case::first_hyphen("-ab", Err(NameError::Characters))]
    #[case::last_hyphen("ab-", Err(NameError::Characters))]
    #[case::umlaut("b\u{fc}r", Err(NameError::Characters))]
    #[case::length_counts_characters("\u{fc}\u{fc}", Err(LENGTH(2)))]
    fn bucket_names(#[case] text: &str, #[case] expected: Result<(), NameError>) {
        assert_eq!(BucketName::parse(text).map(|_| ()), expected);
    }

    #[rstest]
    #[case::dots("a.b", Ok(()))]
    #[case::two_dots("a..b", Ok(()))]
    #[case::hyphen("a-b", Ok(()))]
    #[case::first_dot(".ab", Err(NameError::Characters))]
    #[case::last_dot("ab.", Err(NameError::Characters))]
    #[case::underscore("a_b", Err(NameError::Characters))]
    #[case::too_short("ab", Err(LENGTH(2)))]
    fn index_names(#[case] text: &str, #[case] expected: Result<(), NameError>) {
        assert_eq!(IndexName::parse(text).map(|_| ()), expected);
    }

    #[rstest]
    #[case::one("k", Ok(()))]
    #[case::longest(&"k".repeat(1024), Ok(()))]
    #[case::empty("", Err(NameError::Length { actual: 0, allowed: limits::KEY_LENGTH }))]
    #[case::too_long(&"k".repeat(1025), Err(NameError::Length { actual: 1025, allowed: limits::KEY_LENGTH }))]
    #[case::emoji_fits(&"\u{1f600}".repeat(256), Ok(()))]
    #[case::emoji_bytes(&"\u{1f600}".repeat(257), Err(NameError::Bytes))]
    #[case::three_byte_characters(&"\u{20ac}".repeat(342), Err(NameError::Bytes))]
    #[case::emoji_are_one_character(&"\u{1f600}".repeat(1024), Err(NameError::Bytes))]
    #[case::many_emoji(&"\u{1f600}".repeat(1025), Err(NameError::Length { actual: 1025, allowed: limits::KEY_LENGTH }))]
    fn vector_keys(#[case] text: &str, #[case] expected: Result<(), NameError>) {
        assert_eq!(VectorKey::parse(text).map(|_| ()), expected);
    }

    #[test]
    fn serde_checks_what_it_reads() {
        let name: BucketName = serde_json::from_str("\"books\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"books\"");
        assert!(serde_json::from_str::<BucketName>("\"Books\"").is_err());
        let key: VectorKey = serde_json::from_str(r#""a\nb""#).unwrap();
        assert_eq!(key.as_str(), "a\nb");
    }
}
