//! `keys.bin`: row -> key, and the CRC32C of each row's vector.
//!
//! Header (`GVKB`), rows (u32), CRC32C per row (u32), end offset of each row's key (u32), the keys' bytes in row order.

use bytes::Bytes;

use super::ShardRow;
use crate::binary::{HEADER, Magic, u32_at};
use crate::{FileKind, FormatError, checksum};

const MAGIC: Magic = Magic {
    file: FileKind::Keys,
    bytes: *b"GVKB",
    major: 1,
};
/// Where the tables begin.
const TABLES: usize = HEADER + 4;

/// `keys.bin` of one shard.
#[derive(Clone, Debug)]
pub struct KeysFile {
    rows: u32,
    crcs: Bytes,
    ends: Bytes,
    keys: Bytes,
}

fn corrupt(what: &str) -> FormatError {
    FormatError::corrupt(FileKind::Keys, what)
}

impl KeysFile {
    /// Reads the tables; checks that every key is UTF-8 and where its neighbours say.
    pub fn open(file: Bytes) -> Result<Self, FormatError> {
        let rest = MAGIC.read(&file)?;
        let rows = u32_at(rest, 0).ok_or_else(|| corrupt("cut short"))?;
        let table = 4 * rows as usize;
        if file.len() < TABLES + 2 * table {
            return Err(corrupt("cut short"));
        }
        let crcs = file.slice(TABLES..TABLES + table);
        let ends = file.slice(TABLES + table..TABLES + 2 * table);
        let keys = file.slice(TABLES + 2 * table..);
        let opened = Self { rows, crcs, ends, keys };
        opened.check()?;
        Ok(opened)
    }

    fn check(&self) -> Result<(), FormatError> {
        let text = std::str::from_utf8(&self.keys).map_err(|_| corrupt("a key is not utf-8"))?;
        let mut before = 0;
        for end in self.ends.as_chunks::<4>().0 {
            let end = u32::from_le_bytes(*end) as usize;
            if end < before || !text.is_char_boundary(end) {
                return Err(corrupt("a key's offset is wrong"));
            }
            before = end;
        }
        if before != text.len() {
            return Err(corrupt("bytes that belong to no key"));
        }
        Ok(())
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The row's key; empty beyond the last row.
    #[must_use]
    pub fn key(&self, row: u32) -> &str {
        let row = row as usize;
        let start = if row == 0 { Some(0) } else { u32_at(&self.ends, row - 1) };
        let (Some(start), Some(end)) = (start, u32_at(&self.ends, row)) else {
            return "";
        };
        let bytes = self.keys.get(start as usize..end as usize).unwrap_or_default();
        // `open` has seen that this is UTF-8; keys are short, so seeing it again costs nothing that matters.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// CRC32C of the row's vector bytes, for ranged reads; 0 beyond the last row.
    #[must_use]
    pub fn vector_crc(&self, row: u32) -> u32 {
        u32_at(&self.crcs, row as usize).unwrap_or_default()
    }
}

/// Writes `keys.bin`.
pub(super) fn encode(rows: &[ShardRow<'_>]) -> Result<Bytes, FormatError> {
    let key_bytes: usize = rows.iter().map(|row| row.key.len()).sum();
    let too_large = |_| FormatError::input(FileKind::Keys, "4 GiB of keys in one shard");
    u32::try_from(key_bytes).map_err(too_large)?;
    let count = u32::try_from(rows.len()).map_err(too_large)?;
    let mut out = Vec::with_capacity(TABLES + 8 * rows.len() + key_bytes);
    MAGIC.write(&mut out);
    out.extend_from_slice(&count.to_le_bytes());
    for row in rows {
        out.extend_from_slice(&checksum::crc32c(row.vector).to_le_bytes());
    }
    let mut end = 0u32;
    for row in rows {
        end += row.key.len() as u32; // the sum was checked above
        out.extend_from_slice(&end.to_le_bytes());
    }
    for row in rows {
        out.extend_from_slice(row.key.as_bytes());
    }
    Ok(out.into())
}
