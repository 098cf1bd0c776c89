//! Every object name of the store, built and taken apart here and nowhere else (DESIGN: storage layout).
//!
//! The uuid, never the name, is in the path (S2). Names inside one directory have one fixed width, because some
//! stores list `a/` before `a-`.

use std::fmt::{self, Display};

use format::ManifestRef;
use model::{
    BucketUuid, CollectionId, DeadId, IndexUuid, ManifestId, ManifestVersion, OwnerUuid, ShardId, TrainId, Ulid, WalId,
};

use crate::catalog::Attachment;

/// Everything the store holds begins with this.
pub const ROOT: &str = "v1/";
/// Every document of the CAS catalog begins with this.
pub const CATALOG_PREFIX: &str = "v1/catalog/";
/// Every tombstone begins with this.
pub const TOMBSTONE_PREFIX: &str = "v1/catalog/tombstone/";
/// Every document of the start-up probe begins with this.
pub const PROBE_PREFIX: &str = "v1/catalog/probe/";

/// The name of one stored object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// A name that a store listed, or that a test made up. Everything else comes from the functions of this module.
    pub(crate) fn from_stored(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ShardFile {
    /// Vectors, keys, metadata.
    Rows,
    /// The FAISS index.
    Index,
    /// Row to key.
    Keys,
    /// Key to row.
    Fst,
    /// Filterable metadata.
    Attributes,
    /// Counts, sizes, offsets, checksums.
    Head,
}

impl ShardFile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rows,
        Self::Index,
        Self::Keys,
        Self::Fst,
        Self::Attributes,
        Self::Head,
    ];

    /// Its name inside the shard's directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Rows => "rows.parquet",
            Self::Index => "index.faiss",
            Self::Keys => "keys.bin",
            Self::Fst => "keys.fst",
            Self::Attributes => "attributes.bin",
            Self::Head => "head.json",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.file_name() == name)
    }
}

/// What an object under an index's prefix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A WAL object.
    Wal(WalId),
    /// A file of a shard.
    Shard(ShardId, ShardFile),
    /// A deletion vector of a shard.
    Dead(ShardId, DeadId),
    /// A training generation.
    Train(TrainId),
    /// A manifest.
    Manifest(ManifestRef),
    /// What a collection found.
    Collection(CollectionId),
}

impl ObjectKind {
    /// The ULID that the collector compares with the floor: that of the object itself.
    pub const fn ulid(&self) -> Ulid {
        match self {
            Self::Wal(id) => id.0,
            Self::Shard(id, _) => id.0,
            Self::Dead(_, id) => id.0,
            Self::Train(id) => id.0,
            Self::Manifest(manifest) => manifest.id.0,
            Self::Collection(id) => id.0,
        }
    }
}

/// The prefix of everything that belongs to one life of an index.
pub fn index_prefix(index: IndexUuid) -> String {
    format!("{ROOT}{index}/")
}

/// A WAL object.
pub fn wal(index: IndexUuid, id: WalId) -> ObjectName {
    ObjectName(format!("{ROOT}{index}/wal/{id}.arrow"))
}

/// A file of a shard.
pub fn shard_file(index: IndexUuid, shard: ShardId, file: ShardFile) -> ObjectName {
    ObjectName(format!("{ROOT}{index}/shard/{shard}/{}", file.file_name()))
}

/// A deletion vector.
pub fn dead(index: IndexUuid, shard: ShardId, id: DeadId) -> ObjectName {
    ObjectName(format!("{ROOT}{index}/dead/{shard}/{id}.roaring"))
}

/// A training generation.
pub fn train(index: IndexUuid, id: TrainId) -> ObjectName {
    ObjectName(format!("{ROOT}{index}/train/{id}.faiss"))
}

/// A manifest. The version is padded to the width of the largest, so that versions sort as names do.
pub fn manifest(index: IndexUuid, manifest: &ManifestRef) -> ObjectName {
    ObjectName(format!(
        "{ROOT}{index}/manifest/{:020}-{}.json",
        manifest.version.0, manifest.id
    ))
}

/// What a collection found.
pub fn collection(index: IndexUuid, id: CollectionId) -> ObjectName {
    ObjectName(format!("{ROOT}{index}/gc/{id}.json"))
}

/// The life of the index that an object belongs to; `None` for the catalog and for strangers.
pub fn owner(name: &ObjectName) -> Option<IndexUuid> {
    let (uuid, _) = name.0.strip_prefix(ROOT)?.split_once('/')?;
    uuid.parse().ok()
}

/// What an object under an index's prefix is; `None` for the catalog and for strangers, which nobody may delete.
pub fn parse(name: &ObjectName) -> Option<ObjectKind> {
    owner(name)?;
    let mut parts = name.0.strip_prefix(ROOT)?.split('/').skip(1);
    let kind = match (parts.next()?, parts.next()?, parts.next()) {
        ("wal", file, None) => ObjectKind::Wal(file.strip_suffix(".arrow")?.parse().ok()?),
        ("shard", shard, Some(file)) => ObjectKind::Shard(shard.parse().ok()?, ShardFile::parse(file)?),
        ("dead", shard, Some(file)) => {
            ObjectKind::Dead(shard.parse().ok()?, file.strip_suffix(".roaring")?.parse().ok()?)
        }
        ("train", file, None) => ObjectKind::Train(file.strip_suffix(".faiss")?.parse().ok()?),
        ("manifest", file, None) => ObjectKind::Manifest(parse_manifest(file)?),
        ("gc", file, None) => ObjectKind::Collection(file.strip_suffix(".json")?.parse().ok()?),
        _ => return None,
    };
    parts.next().is_none().then_some(kind)
}

fn parse_manifest(file: &str) -> Option<ManifestRef> {
    let (version, id) = file.strip_suffix(".json")?.split_once('-')?;
    let all_digits = version.len() == 20 && version.bytes().all(|byte| byte.is_ascii_digit());
    let id: ManifestId = id.parse().ok()?;
    all_digits.then_some(ManifestRef {
        version: ManifestVersion(version.parse().ok()?),
        id,
    })
}

/// Which catalog the store belongs to.
pub fn catalog_marker() -> ObjectName {
    ObjectName(format!("{ROOT}catalog.json"))
}

/// The document of all buckets.
pub fn catalog_root() -> ObjectName {
    ObjectName(format!("{CATALOG_PREFIX}root.json"))
}

/// The document of one bucket.
pub fn catalog_bucket(bucket: BucketUuid) -> ObjectName {
    ObjectName(format!("{CATALOG_PREFIX}bucket/{bucket}.json"))
}

/// The document of one index.
pub fn catalog_index(index: IndexUuid) -> ObjectName {
    ObjectName(format!("{CATALOG_PREFIX}index/{index}.json"))
}

/// The document of one attachment.
pub fn catalog_attachment(owner: OwnerUuid, attachment: Attachment) -> ObjectName {
    ObjectName(format!("{CATALOG_PREFIX}attachment/{owner}/{}.json", attachment.word()))
}

/// The tombstone of a deleted index.
pub fn catalog_tombstone(index: IndexUuid) -> ObjectName {
    ObjectName(format!("{TOMBSTONE_PREFIX}{index}.json"))
}

/// A document of the start-up probe.
pub fn catalog_probe(nonce: u64, suffix: &str) -> ObjectName {
    ObjectName(format!("{PROBE_PREFIX}{nonce:016x}-{suffix}.json"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;

    const INDEX: IndexUuid = IndexUuid(Uuid::from_u128(0xABCD));

    #[test]
    fn names_are_the_documented_ones_and_parse_back() {
        let (a, b) = (Ulid::from_parts(1, 2), Ulid::from_parts(3, 4));
        let current = ManifestRef {
            version: ManifestVersion(42),
            id: ManifestId(b),
        };
        let prefix = "v1/00000000-0000-0000-0000-00000000abcd/";
        let cases = [
            (
                wal(INDEX, WalId(a)),
                format!("wal/{a}.arrow"),
                ObjectKind::Wal(WalId(a)),
            ),
            (
                shard_file(INDEX, ShardId(a), ShardFile::Rows),
                format!("shard/{a}/rows.parquet"),
                ObjectKind::Shard(ShardId(a), ShardFile::Rows),
            ),
            (
                dead(INDEX, ShardId(a), DeadId(b)),
                format!("dead/{a}/{b}.roaring"),
                ObjectKind::Dead(ShardId(a), DeadId(b)),
            ),
            (
                train(INDEX, TrainId(b)),
                format!("train/{b}.faiss"),
                ObjectKind::Train(TrainId(b)),
            ),
            (
                manifest(INDEX, &current),
                format!("manifest/00000000000000000042-{b}.json"),
                ObjectKind::Manifest(current),
            ),
            (
                collection(INDEX, CollectionId(a)),
                format!("gc/{a}.json"),
                ObjectKind::Collection(CollectionId(a)),
            ),
        ];
        assert_eq!(index_prefix(INDEX), prefix);
        for (name, expected, kind) in cases {
            assert_eq!(name.as_str(), format!("{prefix}{expected}"));
            assert_eq!(parse(&name), Some(kind));
            assert_eq!(owner(&name), Some(INDEX));
            let own = if matches!(
                kind,
                ObjectKind::Wal(_) | ObjectKind::Shard(..) | ObjectKind::Collection(_)
            ) {
                a
            } else {
                b
            };
            assert_eq!(kind.ulid(), own);
        }
        for file in ShardFile::ALL {
            let name = shard_file(INDEX, ShardId(b), file);
            assert_eq!(parse(&name), Some(ObjectKind::Shard(ShardId(b), file)));
        }
    }

    /// What the collector does not know, it must not touch.
    #[rstest]
    #[case("wal/01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet")]
    #[case("wal/01arz3ndektsv4rrffq69g5fav.arrow")]
    #[case("wal/x/01ARZ3NDEKTSV4RRFFQ69G5FAV.arrow")]
    #[case("wal")]
    #[case("shard/01ARZ3NDEKTSV4RRFFQ69G5FAV/other.bin")]
    #[case("shard/01ARZ3NDEKTSV4RRFFQ69G5FAV/rows.parquet/x")]
    #[case("manifest/42-01ARZ3NDEKTSV4RRFFQ69G5FAV.json")]
    #[case("manifest/+0000000000000000042-01ARZ3NDEKTSV4RRFFQ69G5FAV.json")]
    #[case("readme.txt")]
    fn strangers_are_not_parsed(#[case] rest: &str) {
        assert_eq!(
            parse(&ObjectName::from_stored(format!("{}{rest}", index_prefix(INDEX)))),
            None
        );
    }

    #[test]
    fn the_catalog_has_no_owner() {
        let owner_uuid = OwnerUuid::from(INDEX);
        for name in [
            catalog_marker(),
            catalog_root(),
            catalog_bucket(BucketUuid(Uuid::from_u128(1))),
            catalog_index(INDEX),
            catalog_attachment(owner_uuid, Attachment::Tags),
            catalog_tombstone(INDEX),
            catalog_probe(7, "present"),
        ] {
            assert_eq!((parse(&name), owner(&name)), (None, None), "{name}");
        }
    }
}
