//! The form of a cached file: the object's bytes, then a footer that says which object they are and how many.
//!
//! ```text
//! object bytes | magic (8) | object length (u64) | CRC32C of the object (u32) | of its name (u32) | of the footer's first 24 bytes (u32)
//! ```
//!
//! Little-endian. The footer comes last, so that the object lies at the start of a page when the file is mapped. The
//! form is private to this layer: a file of another form is fetched again.

use std::sync::Arc;

use crate::paths::ObjectName;

const MAGIC: [u8; 8] = *b"gvcache1";
/// Bytes of the footer before its own checksum.
const COVERED: usize = 24;
const FOOTER: usize = COVERED + 4;
/// The longest file name of all common file systems.
const LONGEST_NAME: usize = 255;
/// What file systems hand out space in.
const BLOCK: u64 = 4096;

/// Begins every cached file's name: the root of all object names, with its slash replaced.
const PREFIX: &str = "v1~";
const SUFFIX: &str = ".cached";
const TEMPORARY_SUFFIX: &str = ".cached.part";

/// The name of a cached file, without its directory. Distinct objects have distinct ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileName(Arc<str>);

impl FileName {
    /// The object's name with `~` for each slash and what is not plain ASCII in hexadecimal; `None` when that is too
    /// long for a file, which no object of an index is.
    pub(super) fn of(object: &ObjectName) -> Option<Self> {
        let object = object.as_str();
        let mut text = String::with_capacity(object.len() + SUFFIX.len());
        for byte in object.bytes() {
            match byte {
                b'/' => text.push('~'),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
                other => text.push_str(&format!("%{other:02x}")),
            }
        }
        text.push_str(SUFFIX);
        Self::parse(&text)
    }

    /// A file that this layer may have written; everything else in the directory is left alone.
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let is_ours = file_name.starts_with(PREFIX) && file_name.ends_with(SUFFIX) && file_name.len() <= LONGEST_NAME;
        is_ours.then(|| Self(file_name.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a file that is being written; unlike a cached file's, and never the same twice in one process.
pub(super) fn temporary_name(process: u32, number: u64) -> String {
    format!("{process}-{number}{TEMPORARY_SUFFIX}")
}

/// Whether a file of this name was being written by some process.
pub(super) fn is_temporary(file_name: &str) -> bool {
    file_name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|stem| {
        stem.split_once('-').is_some_and(|(process, number)| {
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number(process) && is_number(number)
        })
    })
}

/// The length of the file that holds an object of this length.
pub(super) fn file_length(object_length: usize) -> u64 {
    (object_length as u64).saturating_add(FOOTER as u64)
}

/// The length of the object in a sound file of this length.
pub(super) fn object_length(file_length: u64) -> u64 {
    file_length.saturating_sub(FOOTER as u64)
}

/// The space that a file of this length takes.
pub(super) fn disk_bytes(file_length: u64) -> u64 {
    file_length.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// What follows the object's bytes in its file.
pub(super) fn footer(name: &ObjectName, object: &[u8]) -> Vec<u8> {
    let mut footer = Vec::with_capacity(FOOTER);
    footer.extend_from_slice(&MAGIC);
    footer.extend_from_slice(&(object.len() as u64).to_le_bytes());
    footer.extend_from_slice(&crc32c::crc32c(object).to_le_bytes());
    footer.extend_from_slice(&crc32c::crc32c(name.as_str().as_bytes()).to_le_bytes());
    let sum = crc32c::crc32c(&footer);
    footer.extend_from_slice(&sum.to_le_bytes());
    footer
}

/// Whether a file is what was written for this object, down to the last bit; otherwise what is wrong with it.
pub(super) fn check(name: &ObjectName, file: &[u8]) -> Result<(), &'static str> {
    let Some((object, stored)) = file.split_last_chunk::<FOOTER>() else {
        return Err("it is shorter than its footer");
    };
    // Compared before the object is looked at: most damage (a torn write, another form) shows here at no cost.
    let (covered, sum) = stored.split_at(COVERED);
    if crc32c::crc32c(covered).to_le_bytes() != *sum {
        return Err("its footer is damaged or missing");
    }
    let (magic, rest) = covered.split_at(MAGIC.len());
    if *magic != MAGIC {
        return Err("it has another form");
    }
    if !rest.starts_with(&(object.len() as u64).to_le_bytes()) {
        return Err("its length is another one");
    }
    if !rest.ends_with(&crc32c::crc32c(name.as_str().as_bytes()).to_le_bytes()) {
        return Err("it holds another object");
    }
    if *stored != *footer(name, object) {
        return Err("its checksum does not match");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> ObjectName {
        ObjectName::from_stored(name)
    }

    #[test]
    fn file_names_are_distinct_and_found_again() {
        let names = ["v1/a/b", "v1/a~b", "v1/a%2fb", "v1/a%7eb", "v1/ü", "v1/a b"];
        let files: Vec<FileName> = names.iter().map(|name| FileName::of(&object(name)).unwrap()).collect();
        for (number, file) in files.iter().enumerate() {
            assert_eq!(FileName::parse(file.as_str()).as_ref(), Some(file));
            assert!(!files[..number].contains(file), "{file:?}");
            assert!(!file.as_str().contains('/'));
        }
        assert_eq!(files[0].as_str(), "v1~a~b.cached");
        assert_eq!(FileName::of(&object(&format!("v1/{}", "x".repeat(250)))), None);
    }

    #[test]
    fn other_files_are_not_ours() {
        for name in ["notes.txt", "v1~a", "a.cached", "v1~a.cached.part", ""] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        assert!(is_temporary(&temporary_name(12, 34)));
        for name in [
            "film.part",
            "a-1.cached.part",
            "-1.cached.part",
            "1-.cached.part",
            "1-2.cached",
        ] {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn every_bit_and_every_length_counts() {
        let name = object("v1/a");
        for length in [0, 1, 100] {
            let bytes: Vec<u8> = (0..length).collect();
            let mut file = [bytes.clone(), footer(&name, &bytes)].concat();
            assert_eq!(check(&name, &file), Ok(()));
            assert_eq!(file_length(bytes.len()), file.len() as u64);
            assert!(check(&object("v1/b"), &file).is_err());
            for bit in 0..file.len() * 8 {
                file[bit / 8] ^= 1 << (bit % 8);
                assert!(check(&name, &file).is_err(), "bit {bit} of {length} bytes");
                file[bit / 8] ^= 1 << (bit % 8);
            }
            for cut in 0..file.len() {
                assert!(check(&name, &file[..cut]).is_err(), "{cut} bytes left");
                assert!(check(&name, &file[file.len() - cut..]).is_err(), "the last {cut} bytes");
            }
            file.push(0);
            assert!(check(&name, &file).is_err());
        }
    }
}
