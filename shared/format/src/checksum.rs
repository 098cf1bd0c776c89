//! CRC32C (Castagnoli), the one checksum of everything stored, and the manifest's word about a file.

use serde::{Deserialize, Serialize};

use crate::{FileKind, FormatError};

/// CRC32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC32C of `before` and then `bytes`, given the CRC32C of `before`.
#[must_use]
pub fn crc32c_append(before: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(before, bytes)
}

/// Size and checksum of one file, as the manifest keeps them (S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileEntry {
    /// Length in bytes.
    pub size: u64,
    /// CRC32C of all bytes.
    pub crc32c: u32,
}

impl FileEntry {
    /// The entry of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len() as u64,
            crc32c: crc32c(bytes),
        }
    }
}

/// Are these the bytes that `entry` was made of? To be called when a file is first read into a cache (S4):
/// the readers of shard files trust bytes that passed it.
pub fn verify(file: FileKind, entry: &FileEntry, bytes: &[u8]) -> Result<(), FormatError> {
    let size = bytes.len() as u64;
    if size != entry.size {
        return Err(FormatError::Size {
            file,
            expected: entry.size,
            actual: size,
        });
    }
    let actual = crc32c(bytes);
    if actual != entry.crc32c {
        return Err(FormatError::Checksum {
            file,
            expected: entry.crc32c,
            actual,
        });
    }
    Ok(())
}
