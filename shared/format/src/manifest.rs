//! The manifest: the complete list of an index's shards and deletion vectors at one version (DESIGN section 4).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::{DeadId, Dimension, IndexUuid, ManifestId, ManifestVersion, ShardId, TrainId, Ulid, WalId};
use roaring::RoaringBitmap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::dead::{decode_roaring, encode_roaring};
use crate::{FileEntry, FileKind, FormatError, sealed};

/// The newest schema of the manifest that this program reads and the one that it writes.
pub const MANIFEST_SCHEMA: u32 = 1;
/// How many WAL ULIDs `folded` keeps.
pub const FOLDED_KEPT: usize = 1000;
/// How many manifest ULIDs `parents` keeps.
pub const PARENTS_KEPT: usize = 100;
/// A deletion vector of at most this many bytes (portable roaring) lives inside the manifest.
pub const DEAD_INLINE_BYTES: usize = 8 * 1024;

/// The files of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFiles {
    /// `rows.parquet`
    pub rows: FileEntry,
    /// `keys.bin`
    pub keys: FileEntry,
    /// `keys.fst`
    pub fst: FileEntry,
    /// `attributes.bin`
    pub attributes: FileEntry,
    /// `head.json`
    pub head: FileEntry,
    /// `index.faiss`; absent for flat shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<FileEntry>,
}

impl ShardFiles {
    /// Bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        [&self.rows, &self.keys, &self.fst, &self.attributes, &self.head]
            .into_iter()
            .chain(&self.index)
            .map(|file| file.size)
            .sum()
    }
}

/// What a reader wants to know of a shard before it fetches anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadSummary {
    /// Bytes of all vectors (rows x dimension x 4).
    pub vector_bytes: u64,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Bytes of all metadata, as JSON text.
    pub metadata_bytes: u64,
}

/// What the manifest says of a shard's `index.faiss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IvfSummary {
    /// The training generation.
    pub generation: TrainId,
    /// Its lists.
    pub nlist: u32,
    /// Measured recall@10 at the operating point that the builder would choose, in parts of 10,000.
    pub recall10: u32,
    /// The same for recall@100.
    pub recall100: u32,
}

/// One shard of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Names the shard.
    pub id: ShardId,
    /// Rows in it, dead ones included.
    pub rows: u32,
    /// Values per vector.
    pub dimension: Dimension,
    /// Sizes and checksums of its files.
    pub files: ShardFiles,
    /// The smallest key in it.
    pub min_key: String,
    /// The largest key in it.
    pub max_key: String,
    /// Totals.
    pub head: HeadSummary,
    /// Present exactly when `files.index` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ivf: Option<IvfSummary>,
}

/// The whole dead set of one shard: inside the manifest, or an object of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadRef {
    /// Portable roaring, base64 in JSON.
    Inline(#[serde(with = "inline_bitmap")] RoaringBitmap),
    /// `dead/<shard>/<id>.roaring`
    Object {
        /// Names the object.
        id: DeadId,
        /// Its length in bytes.
        size: u64,
        /// CRC32C of all its bytes.
        crc32c: u32,
        /// How many rows are dead.
        dead: u32,
    },
}

impl DeadRef {
    /// Does a deletion vector go into the manifest itself?
    #[must_use]
    pub fn is_small(dead: &RoaringBitmap) -> bool {
        encode_roaring(FileKind::Manifest, dead).is_ok_and(|bytes| bytes.len() <= DEAD_INLINE_BYTES)
    }

    /// The reference to a deletion vector stored as `object` (the bytes of `encode_dead`).
    #[must_use]
    pub fn object(id: DeadId, dead: &RoaringBitmap, object: &[u8]) -> Self {
        let FileEntry { size, crc32c } = FileEntry::of(object);
        Self::Object {
            id,
            size,
            crc32c,
            dead: u32::try_from(dead.len()).unwrap_or(u32::MAX),
        }
    }

    /// How many rows are dead.
    #[must_use]
    pub fn dead(&self) -> u64 {
        match self {
            Self::Inline(bitmap) => bitmap.len(),
            Self::Object { dead, .. } => u64::from(*dead),
        }
    }
}

mod inline_bitmap {
    use super::*;

    pub(super) fn serialize<S: Serializer>(dead: &RoaringBitmap, out: S) -> Result<S::Ok, S::Error> {
        let bytes = encode_roaring(FileKind::Manifest, dead).map_err(serde::ser::Error::custom)?;
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RoaringBitmap, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        decode_roaring(FileKind::Manifest, &bytes).map_err(de::Error::custom)
    }
}

/// A training generation: the coarse quantizer and codebooks that its shards share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainRef {
    /// Names `train/<id>.faiss`.
    pub id: TrainId,
    /// Its length in bytes.
    pub size: u64,
    /// CRC32C of all its bytes.
    pub crc32c: u32,
    /// Live rows of the index when it was trained.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Euclidean: FAISS sees each value times two to this power; else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exponent: i32,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `MANIFEST_SCHEMA` of the writer.
    pub schema: u32,
    /// The index it belongs to.
    pub index: IndexUuid,
    /// One more than its parent's.
    pub version: ManifestVersion,
    /// Names it.
    pub id: ManifestId,
    /// Sequence number of the first WAL entry that no shard holds; the record's `wal_base` is the same.
    pub wal_base: u64,
    /// Every shard, oldest first.
    pub shards: Vec<ShardEntry>,
    /// The dead rows of the shards that have any.
    pub dead: BTreeMap<ShardId, DeadRef>,
    /// Sequence number of `folded[0]`: how far back `folded` reaches.
    pub folded_from: u64,
    /// The last folded WAL ULIDs in commit order; `folded_from + folded.len() == wal_base`.
    pub folded: Vec<WalId>,
    /// WAL ULIDs that an operator gave up: folded without rows.
    #[serde(default)]
    pub quarantined: Vec<WalId>,
    /// The manifests before this one, oldest first, its direct parent last.
    pub parents: Vec<ManifestId>,
    /// The current training generation, used by a shard yet or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainRef>,
}

impl Manifest {
    /// What an index without a manifest reads as: version 0, never stored.
    #[must_use]
    pub fn empty(index: IndexUuid) -> Self {
        Self {
            schema: MANIFEST_SCHEMA,
            index,
            version: ManifestVersion(0),
            id: ManifestId(Ulid::NIL),
            wal_base: 0,
            shards: Vec::new(),
            dead: BTreeMap::new(),
            folded_from: 0,
            folded: Vec::new(),
            quarantined: Vec::new(),
            parents: Vec::new(),
            train: None,
        }
    }

    /// A successor with the same content: next version, `self` as its direct parent.
    #[must_use]
    pub fn child(&self, id: ManifestId) -> Self {
        let mut child = self.clone();
        if self.version.0 > 0 {
            child.parents.push(self.id);
            keep_last(&mut child.parents, PARENTS_KEPT);
        }
        child.version = ManifestVersion(self.version.0.saturating_add(1));
        child.id = id;
        child
    }

    /// Notes that these WAL entries, the oldest of the tail, are folded now.
    pub fn note_folded(&mut self, entries: impl IntoIterator<Item = WalId>) {
        self.folded.extend(entries);
        self.wal_base = self.folded_from.saturating_add(self.folded.len() as u64);
        let dropped = keep_last(&mut self.folded, FOLDED_KEPT);
        self.folded_from = self.folded_from.saturating_add(dropped as u64);
    }

    /// Was this WAL entry folded, as far back as `folded` reaches?
    #[must_use]
    pub fn has_folded(&self, id: WalId) -> bool {
        self.folded.contains(&id)
    }

    /// Does `folded` name every entry from sequence number `base` on?
    #[must_use]
    pub fn folded_reaches(&self, base: u64) -> bool {
        self.folded_from <= base
    }

    /// Is `id` this manifest or one of the parents it remembers?
    #[must_use]
    pub fn descends_from(&self, id: ManifestId) -> bool {
        self.id == id || self.parents.contains(&id)
    }

    /// The entry of a shard.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> Option<&ShardEntry> {
        self.shards.iter().find(|shard| shard.id == id)
    }

    /// The stored form: JSON, sealed with its own CRC32C.
    pub fn encode(&self) -> Result<Bytes, FormatError> {
        self.check()?;
        sealed::seal(FileKind::Manifest, self)
    }

    /// Reads and checks the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest: Self = sealed::unseal(FileKind::Manifest, MANIFEST_SCHEMA, bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), FormatError> {
        let wrong = |what: String| Err(FormatError::corrupt(FileKind::Manifest, what));
        if self.folded_from.checked_add(self.folded.len() as u64) != Some(self.wal_base) {
            return wrong("folded does not end at wal_base".into());
        }
        let mut rows = BTreeMap::new();
        for shard in &self.shards {
            if rows.insert(shard.id, u64::from(shard.rows)).is_some() {
                return wrong(format!("shard {} is listed twice", shard.id));
            }
            if shard.ivf.is_some() != shard.files.index.is_some() {
                return wrong(format!(
                    "shard {} has index.faiss without its summary, or the reverse",
                    shard.id
                ));
            }
        }
        for (shard, dead) in &self.dead {
            let Some(rows) = rows.get(shard) else {
                return wrong(format!("dead rows of an unknown shard {shard}"));
            };
            let beyond = match dead {
                DeadRef::Inline(bitmap) => bitmap.max().is_some_and(|max| u64::from(max) >= *rows),
                DeadRef::Object { dead, .. } => u64::from(*dead) > *rows,
            };
            if beyond {
                return wrong(format!("more dead rows than shard {shard} has rows"));
            }
        }
        Ok(())
    }
}

fn keep_last<T>(list: &mut Vec<T>, kept: usize) -> usize {
    let dropped = list.len().saturating_sub(kept);
    list.drain(..dropped);
    dropped
}

#[cfg(test)]
mod tests;
