//! JSON documents that carry a schema version and their own CRC32C.
//!
//! A sealed document is one compact JSON object whose first member is `"schema"` and whose last one is
//! `"crc32c":"<8 lower-case hex digits>"`: the CRC32C of the whole document with these digits set to zero.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError, checksum};

const OPENING: &[u8] = b",\"crc32c\":\"";
const ZEROS: &[u8; 8] = b"00000000";
const CLOSING: &[u8] = b"\"}";
const TRAILER: usize = OPENING.len() + ZEROS.len() + CLOSING.len();

#[derive(Deserialize)]
struct Peek {
    schema: u32,
}

/// Writes `document` (which serialises to a non-empty JSON object) and seals it.
pub(crate) fn seal<T: Serialize>(file: FileKind, document: &T) -> Result<Bytes, FormatError> {
    let mut out = serde_json::to_vec(document).map_err(|e| FormatError::input(file, e))?;
    if out.pop() != Some(b'}') || out.len() < 2 {
        return Err(FormatError::input(file, "not a json object"));
    }
    out.extend_from_slice(OPENING);
    let before = checksum::crc32c(&out);
    let sum = checksum::crc32c_append(checksum::crc32c_append(before, ZEROS), CLOSING);
    out.extend_from_slice(format!("{sum:08x}").as_bytes());
    out.extend_from_slice(CLOSING);
    Ok(out.into())
}

/// Checks the seal and the schema version, then reads the document.
pub(crate) fn unseal<T: DeserializeOwned>(file: FileKind, supported: u32, bytes: &[u8]) -> Result<T, FormatError> {
    check_seal(file, bytes)?;
    check_schema(file, supported, bytes)?;
    serde_json::from_slice(bytes).map_err(|e| FormatError::corrupt(file, e))
}

/// Refuses documents of a newer schema before their other members are looked at.
pub(crate) fn check_schema(file: FileKind, supported: u32, bytes: &[u8]) -> Result<(), FormatError> {
    let peek: Peek = serde_json::from_slice(bytes).map_err(|e| FormatError::corrupt(file, e))?;
    if peek.schema == 0 || peek.schema > supported {
        return Err(FormatError::Version {
            file,
            found: peek.schema,
            supported,
        });
    }
    Ok(())
}

fn check_seal(file: FileKind, bytes: &[u8]) -> Result<(), FormatError> {
    let missing = || FormatError::corrupt(file, "the document does not end with its checksum");
    let split = bytes.len().checked_sub(TRAILER).ok_or_else(missing)?;
    let (content, trailer) = bytes.split_at(split);
    let digits = trailer
        .strip_prefix(OPENING)
        .and_then(|rest| rest.strip_suffix(CLOSING))
        .ok_or_else(missing)?;
    let expected = parse_hex(digits).ok_or_else(missing)?;
    let mut actual = checksum::crc32c(content);
    for part in [OPENING, ZEROS.as_slice(), CLOSING] {
        actual = checksum::crc32c_append(actual, part);
    }
    if actual != expected {
        return Err(FormatError::Checksum { file, expected, actual });
    }
    Ok(())
}

/// Eight lower-case hex digits, nothing else: a flipped case bit must not read as the same number.
pub(crate) fn parse_hex(digits: &[u8]) -> Option<u32> {
    if digits.len() != 8 {
        return None;
    }
    digits.iter().try_fold(0u32, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u32::from(value))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Value, FormatError> {
        unseal(FileKind::Manifest, 1, bytes)
    }

    #[test]
    fn the_seal_is_the_last_member() {
        let sealed = seal(FileKind::Manifest, &json!({"schema": 1, "x": "y"})).unwrap();
        let text = std::str::from_utf8(&sealed).unwrap();
        assert!(text.starts_with(r#"{"schema":1,"x":"y","crc32c":""#), "{text}");
        let zeroed = format!("{}00000000\"}}", &text[..text.len() - 10]);
        assert_eq!(
            &text[text.len() - 10..text.len() - 2],
            format!("{:08x}", checksum::crc32c(zeroed.as_bytes()))
        );
        assert_eq!(read(&sealed).unwrap()["x"], "y");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let sealed = seal(
            FileKind::Manifest,
            &json!({"schema": 1, "text": "abc\u{e9}", "n": [1, 2.5]}),
        )
        .unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(read(&sealed[..length]).is_err());
        }
    }

    #[test]
    fn a_newer_schema_is_refused_before_its_members_are_read() {
        let sealed = seal(FileKind::Manifest, &json!({"schema": 2, "shards": "something new"})).unwrap();
        let error = unseal::<crate::Manifest>(FileKind::Manifest, 1, &sealed).unwrap_err();
        assert_eq!(
            error,
            FormatError::Version {
                file: FileKind::Manifest,
                found: 2,
                supported: 1
            }
        );
    }

    #[test]
    fn only_objects_can_be_sealed() {
        for document in [json!({}), json!([1]), json!("x")] {
            assert!(seal(FileKind::Manifest, &document).is_err());
        }
    }
}
