//! What can be wrong with stored bytes, and which kind of file is wrong.

use std::fmt;

/// The kinds of stored things; errors name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `wal/<ulid>.arrow`
    Wal,
    /// `shard/<ulid>/rows.parquet`
    Rows,
    /// `shard/<ulid>/keys.bin`
    Keys,
    /// `shard/<ulid>/keys.fst`
    Fst,
    /// `shard/<ulid>/attributes.bin`
    Attributes,
    /// `shard/<ulid>/head.json`
    Head,
    /// `shard/<ulid>/index.faiss`
    Index,
    /// `dead/<shard>/<ulid>.roaring`
    Dead,
    /// `manifest/<version>-<ulid>.json`
    Manifest,
    /// the index record
    Record,
    /// `gc/<ulid>.json`
    Collection,
    /// the tombstone of a deleted index
    Tombstone,
    /// a document of the compare-and-swap catalog, or `catalog.json`
    Catalog,
}

impl FileKind {
    /// The word that errors and logs use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wal => "wal object",
            Self::Rows => "rows.parquet",
            Self::Keys => "keys.bin",
            Self::Fst => "keys.fst",
            Self::Attributes => "attributes.bin",
            Self::Head => "head.json",
            Self::Index => "index.faiss",
            Self::Dead => "deletion vector",
            Self::Manifest => "manifest",
            Self::Record => "index record",
            Self::Collection => "collection list",
            Self::Tombstone => "tombstone",
            Self::Catalog => "catalog document",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes could not be turned into a struct, or a struct into bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes are not the ones that were written.
    #[error("{file}: checksum {actual:08x} instead of {expected:08x}")]
    Checksum {
        /// Which kind of file.
        file: FileKind,
        /// The stored checksum.
        expected: u32,
        /// The checksum of the bytes at hand.
        actual: u32,
    },
    /// The file is longer or shorter than its manifest says.
    #[error("{file}: {actual} bytes instead of {expected}")]
    Size {
        /// Which kind of file.
        file: FileKind,
        /// The size in the manifest.
        expected: u64,
        /// The size of the bytes at hand.
        actual: u64,
    },
    /// A newer program wrote this; an older one must not guess.
    #[error("{file}: version {found} is not supported (this program reads up to {supported})")]
    Version {
        /// Which kind of file.
        file: FileKind,
        /// The version in the file.
        found: u32,
        /// The newest version that this program knows.
        supported: u32,
    },
    /// The bytes break the specification.
    #[error("{file}: {what}")]
    Corrupt {
        /// Which kind of file.
        file: FileKind,
        /// What is wrong with it.
        what: String,
    },
    /// The caller asked to encode something the format cannot hold.
    #[error("{file} cannot hold this: {what}")]
    Input {
        /// Which kind of file.
        file: FileKind,
        /// What does not fit.
        what: String,
    },
}

impl FormatError {
    /// A file that contradicts itself or its neighbours.
    pub fn corrupt(file: FileKind, what: impl fmt::Display) -> Self {
        Self::Corrupt {
            file,
            what: what.to_string(),
        }
    }

    pub(crate) fn input(file: FileKind, what: impl fmt::Display) -> Self {
        Self::Input {
            file,
            what: what.to_string(),
        }
    }

    /// Which kind of file is wrong.
    #[must_use]
    pub fn file(&self) -> FileKind {
        match self {
            Self::Checksum { file, .. }
            | Self::Size { file, .. }
            | Self::Version { file, .. }
            | Self::Corrupt { file, .. }
            | Self::Input { file, .. } => *file,
        }
    }
}
