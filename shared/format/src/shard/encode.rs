//! Writing all files of a shard.

use bytes::Bytes;
use model::{Dimension, ShardId};

use super::head::{HEAD_SCHEMA, IvfHead, ShardHead};
use super::{attributes, key_index, keys, rows_parquet};
use crate::{FileEntry, FileKind, FormatError, HeadSummary, IvfSummary, ShardEntry, ShardFiles};

/// One row of a shard to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRow<'a> {
    /// The key; no two rows of a shard share one.
    pub key: &'a str,
    /// The vector as little-endian f32 bytes.
    pub vector: &'a [u8],
    /// The metadata as it was put: the JSON text of an object.
    pub metadata: Option<&'a str>,
}

/// The search structure of a shard that is not flat.
#[derive(Clone, Debug)]
pub struct EncodedIvf {
    /// `index.faiss`
    pub index: Bytes,
    /// What `head.json` says of it.
    pub head: IvfHead,
    /// What the manifest says of it.
    pub summary: IvfSummary,
}

/// The files of a shard, to be stored under one id.
#[derive(Clone, Debug)]
pub struct EncodedShard {
    /// `rows.parquet`
    pub rows: Bytes,
    /// `keys.bin`
    pub keys: Bytes,
    /// `keys.fst`
    pub fst: Bytes,
    /// `attributes.bin`
    pub attributes: Bytes,
    /// `head.json`
    pub head: Bytes,
    /// `index.faiss`; `None` for a flat shard.
    pub index: Option<Bytes>,
    /// The head, decoded.
    pub shard_head: ShardHead,
    /// What the manifest says of `index.faiss`.
    pub ivf: Option<IvfSummary>,
    /// Sizes and checksums of the files.
    pub files: ShardFiles,
}

impl EncodedShard {
    /// The manifest's entry of this shard under the id it is stored by.
    #[must_use]
    pub fn entry(&self, id: ShardId) -> ShardEntry {
        let ShardHead {
            rows,
            dimension,
            min_key,
            max_key,
            summary,
            ..
        } = &self.shard_head;
        ShardEntry {
            id,
            rows: *rows,
            dimension: *dimension,
            files: self.files,
            min_key: min_key.clone(),
            max_key: max_key.clone(),
            head: *summary,
            ivf: self.ivf,
        }
    }
}

/// Writes a shard: the rows in the given order (flat shards: key order; others: the order of `ivf`'s lists).
/// `non_filterable` are the metadata keys that stay out of `attributes.bin`. Needs about as much memory again as the
/// rows.
pub fn encode_shard(
    dimension: Dimension,
    non_filterable: &[String],
    rows: &[ShardRow<'_>],
    ivf: Option<EncodedIvf>,
) -> Result<EncodedShard, FormatError> {
    let order = key_order(dimension, rows)?;
    let keys = keys::encode(rows)?;
    let fst = key_index::encode(rows, &order)?;
    let attributes = attributes::encode(non_filterable, rows)?;
    let rows_parquet::EncodedRows {
        file,
        vectors,
        metadata,
    } = rows_parquet::encode(dimension, rows)?;
    let key_at = |place: Option<&u32>| place.and_then(|row| rows.get(*row as usize)).map_or("", |row| row.key);
    let shard_head = ShardHead {
        schema: HEAD_SCHEMA,
        rows: order.len() as u32, // `key_order` has checked that it fits
        dimension,
        min_key: key_at(order.first()).to_owned(),
        max_key: key_at(order.last()).to_owned(),
        summary: summary(rows),
        vectors,
        metadata,
        ivf: ivf.as_ref().map(|ivf| ivf.head.clone()),
    };
    shard_head.check()?;
    let head = shard_head.encode()?;
    let summary = ivf.as_ref().map(|ivf| ivf.summary);
    let index = ivf.map(|ivf| ivf.index);
    let files = ShardFiles {
        rows: FileEntry::of(&file),
        keys: FileEntry::of(&keys),
        fst: FileEntry::of(&fst),
        attributes: FileEntry::of(&attributes),
        head: FileEntry::of(&head),
        index: index.as_deref().map(FileEntry::of),
    };
    Ok(EncodedShard {
        rows: file,
        keys,
        fst,
        attributes,
        head,
        index,
        shard_head,
        ivf: summary,
        files,
    })
}

/// Row numbers in key order; refuses what no shard can hold.
fn key_order(dimension: Dimension, rows: &[ShardRow<'_>]) -> Result<Vec<u32>, FormatError> {
    let wrong = |what: String| Err(FormatError::input(FileKind::Rows, what));
    if rows.is_empty() {
        return wrong("a shard without rows".into());
    }
    let Ok(count) = u32::try_from(rows.len()) else {
        return wrong("more than 2^32 - 1 rows".into());
    };
    if let Some(row) = rows.iter().find(|row| row.vector.len() != dimension.get() * 4) {
        return wrong(format!(
            "a vector of {} bytes where the dimension is {dimension}",
            row.vector.len()
        ));
    }
    let key = |row: &u32| rows.get(*row as usize).map_or("", |row| row.key);
    let mut order: Vec<u32> = (0..count).collect();
    if !rows.is_sorted_by(|a, b| a.key < b.key) {
        order.sort_unstable_by(|a, b| key(a).cmp(key(b)));
    }
    let twice = order.windows(2).find(|pair| matches!(pair, [a, b] if key(a) == key(b)));
    match twice {
        Some(_) => wrong("a key that occurs twice".into()),
        None => Ok(order),
    }
}

fn summary(rows: &[ShardRow<'_>]) -> HeadSummary {
    let total = |bytes: fn(&ShardRow<'_>) -> usize| rows.iter().map(|row| bytes(row) as u64).sum();
    HeadSummary {
        vector_bytes: total(|row| row.vector.len()),
        key_bytes: total(|row| row.key.len()),
        metadata_bytes: total(|row| row.metadata.map_or(0, str::len)),
    }
}
