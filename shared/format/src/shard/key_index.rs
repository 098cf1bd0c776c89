//! `keys.fst`: sorted key -> row, with the key filter beside it.
//!
//! Header (`GVKF`), rows (u32), filter length (u32), the filter, then an `fst::Map` to the end of the file.

use bytes::Bytes;
use fst::{IntoStreamer, Map, MapBuilder, Streamer};

use super::{ShardRow, key_filter};
use crate::binary::{HEADER, Magic, u32_at};
use crate::{FileKind, FormatError};

const MAGIC: Magic = Magic {
    file: FileKind::Fst,
    bytes: *b"GVKF",
    major: 1,
};
/// Where the filter begins.
const FILTER: usize = HEADER + 8;

/// `keys.fst` of one shard.
#[derive(Clone, Debug)]
pub struct KeyIndex {
    filter: Bytes,
    map: Map<Bytes>,
}

fn corrupt(what: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(FileKind::Fst, what)
}

impl KeyIndex {
    /// Reads the headers; nothing is decoded.
    pub fn open(file: Bytes) -> Result<Self, FormatError> {
        let rest = MAGIC.read(&file)?;
        let (Some(rows), Some(filter)) = (u32_at(rest, 0), u32_at(rest, 1)) else {
            return Err(corrupt("cut short"));
        };
        let end = FILTER + filter as usize;
        if filter as usize != key_filter::size(rows as usize) || end > file.len() {
            return Err(corrupt("the key filter has a wrong size"));
        }
        let map = Map::new(file.slice(end..)).map_err(corrupt)?;
        if map.len() != rows as usize {
            return Err(corrupt("another number of keys than rows"));
        }
        Ok(Self {
            filter: file.slice(FILTER..end),
            map,
        })
    }

    /// The row of a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<u32> {
        self.find_hashed(key, key_hash(key))
    }

    /// `find` with the key's hash at hand: a key that is looked up in many shards is hashed once.
    #[must_use]
    pub fn find_hashed(&self, key: &str, hash: u64) -> Option<u32> {
        if !self.may_contain(hash) {
            return None;
        }
        self.map.get(key).and_then(|row| u32::try_from(row).ok())
    }

    /// The filter's word: `false` means that no key with this hash is here.
    #[must_use]
    pub fn may_contain(&self, hash: u64) -> bool {
        key_filter::contains(&self.filter, hash)
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Is it empty? (No shard is.)
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The keys that begin with `prefix` and come after `after`, with their rows, in bytewise order.
    #[must_use]
    pub fn range(&self, after: Option<&str>, prefix: &str) -> KeyRange<'_> {
        let range = match after {
            Some(after) if after >= prefix => self.map.range().gt(after),
            _ => self.map.range().ge(prefix),
        };
        KeyRange {
            stream: range.into_stream(),
            prefix: prefix.to_owned(),
        }
    }
}

pub use key_filter::key_hash;

/// Keys in order; see `KeyIndex::range`.
pub struct KeyRange<'a> {
    stream: fst::map::Stream<'a>,
    prefix: String,
}

impl Iterator for KeyRange<'_> {
    type Item = (String, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, row) = self.stream.next()?;
        if !key.starts_with(self.prefix.as_bytes()) {
            return None; // sorted: no later key begins with it either
        }
        let key = std::str::from_utf8(key).ok()?;
        Some((key.to_owned(), u32::try_from(row).ok()?))
    }
}

/// Writes `keys.fst`; `order` are the row numbers in key order.
pub(super) fn encode(rows: &[ShardRow<'_>], order: &[u32]) -> Result<Bytes, FormatError> {
    let input = |e: &dyn std::fmt::Display| FormatError::input(FileKind::Fst, e);
    let mut filter = vec![0; key_filter::size(rows.len())];
    let filter_size = u32::try_from(filter.len()).map_err(|e| input(&e))?;
    let key_bytes: usize = rows.iter().map(|row| row.key.len()).sum();
    let mut out = Vec::with_capacity(FILTER + filter.len() + 8 * rows.len() + key_bytes / 2);
    MAGIC.write(&mut out);
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    out.extend_from_slice(&filter_size.to_le_bytes());
    for row in rows {
        key_filter::insert(&mut filter, key_hash(row.key));
    }
    out.extend_from_slice(&filter);
    let mut map = MapBuilder::new(&mut out).map_err(|e| input(&e))?;
    for number in order {
        if let Some(row) = rows.get(*number as usize) {
            map.insert(row.key, u64::from(*number)).map_err(|e| input(&e))?;
        }
    }
    map.finish().map_err(|e| input(&e))?;
    Ok(out.into())
}
