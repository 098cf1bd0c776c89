//! An opened shard: every file verified, nothing decoded that nobody asked for.
//!
//! The bytes are memory maps where storage can give them, so a shard costs little memory of its own: the parsed
//! Parquet footer, the page tables of its head and the offsets of its files.
//!
//! `rows.parquet` may come later, or never: a shard opened without it says where the vector and the metadata of a row
//! lie in that file, and checks what somebody has read there. Once the file is attached, everything reads from it.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use format::{
    Attributes, FileEntry, FileKind, FormatError, KeyIndex, KeyRange, KeysFile, RowsFile, ShardEntry, ShardHead,
};
use model::{Filter, ShardId};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::error::EngineError;

/// Files longer than this are verified in pieces of this length by all idle threads.
const VERIFY_PIECE: usize = 8 << 20;

/// The files of a shard, whole.
#[derive(Debug, Clone)]
pub struct ShardBytes {
    /// `rows.parquet`; `None` when it is to be read by ranges.
    pub rows: Option<Bytes>,
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
}

/// The search structure of a shard that is not flat.
#[cfg(feature = "ivfpq")]
#[derive(Debug)]
pub struct Searchable {
    /// FAISS's index; its ids are row numbers.
    pub index: crate::ivfpq::Index,
    /// How it sees vectors.
    pub space: crate::ivf::Space,
}

/// An opened shard. No accessor panics: a row beyond the last one has an empty key and an empty vector.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    head: ShardHead,
    rows: OnceLock<RowsFile>,
    rows_entry: FileEntry,
    keys: KeysFile,
    index: KeyIndex,
    attributes: Attributes,
    #[cfg(feature = "ivfpq")]
    ivf: Option<Searchable>,
    /// Length of all files but `rows.parquet`.
    other_bytes: u64,
}

impl Shard {
    /// Verifies every file against the manifest's sizes and CRC32Cs (S4) and reads their headers. Call it on the
    /// [`crate::Pool`]: it uses idle threads for big files. Without the feature `ivfpq` every shard is searched as if
    /// it were flat.
    ///
    /// # Errors
    /// Names the file that is not what the manifest says, or that contradicts the others.
    pub fn open(entry: &ShardEntry, bytes: ShardBytes) -> Result<Self, EngineError> {
        let shard = entry.id;
        let opened = verify_all(entry, &bytes).and_then(|()| Self::read(entry, &bytes));
        let opened = opened.map_err(|source| EngineError::Shard { shard, source })?;
        let opened = opened.with_index(bytes.index.as_deref())?;
        let rows = [
            opened.head.rows,
            opened.rows.get().map_or(opened.head.rows, RowsFile::rows),
            opened.keys.rows(),
            opened.index.len() as u32,
        ];
        if rows.iter().any(|rows| *rows != entry.rows) || opened.head.dimension != entry.dimension {
            let what = format!(
                "shard {shard}: its files have {rows:?} rows, the manifest says {}",
                entry.rows
            );
            return Err(EngineError::Corrupt { what });
        }
        Ok(opened)
    }

    fn read(entry: &ShardEntry, bytes: &ShardBytes) -> Result<Self, FormatError> {
        let head = ShardHead::decode(&bytes.head)?;
        let rows = match &bytes.rows {
            Some(rows) => OnceLock::from(RowsFile::open(rows.clone(), &head)?),
            None => {
                head.check_ranges(entry.files.rows.size)?;
                OnceLock::new()
            }
        };
        Ok(Self {
            id: entry.id,
            rows,
            rows_entry: entry.files.rows,
            keys: KeysFile::open(bytes.keys.clone())?,
            index: KeyIndex::open(bytes.fst.clone())?,
            attributes: Attributes::open(bytes.attributes.clone())?,
            #[cfg(feature = "ivfpq")]
            ivf: None,
            other_bytes: entry.files.size().saturating_sub(entry.files.rows.size),
            head,
        })
    }

    /// Hands the verified bytes of `index.faiss` to FAISS, which copies them.
    #[cfg(feature = "ivfpq")]
    fn with_index(mut self, index: Option<&[u8]>) -> Result<Self, EngineError> {
        let (Some(head), Some(index)) = (&self.head.ivf, index) else {
            return Ok(self);
        };
        let dimension = head.dimension as usize;
        let expected = crate::ivfpq::Expected {
            dimension,
            metric: crate::ivf::train::METRIC,
            nlist: head.nlist(),
            rows: self.head.rows,
        };
        let corrupt = |what: String| EngineError::Shard {
            shard: self.id,
            source: FormatError::corrupt(FileKind::Index, what),
        };
        let index = crate::ivfpq::Index::open(index, &expected).map_err(|error| corrupt(error.to_string()))?;
        if index.list_starts() != head.list_starts {
            return Err(corrupt("its lists are not those of the head".to_owned()));
        }
        let space = crate::ivf::Space::new(head.metric, self.head.dimension.get(), dimension, head.exponent);
        self.ivf = Some(Searchable { index, space });
        Ok(self)
    }

    #[cfg(not(feature = "ivfpq"))]
    fn with_index(self, _: Option<&[u8]>) -> Result<Self, EngineError> {
        Ok(self)
    }

    /// The search structure; `None` for a flat shard.
    #[cfg(feature = "ivfpq")]
    pub fn ivf(&self) -> Option<&Searchable> {
        self.ivf.as_ref()
    }

    /// Its id.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// How many rows, dead ones included.
    pub fn rows(&self) -> u32 {
        self.head.rows
    }

    /// Values per vector.
    pub fn dimension(&self) -> usize {
        self.head.dimension.get()
    }

    /// The head: counts, page tables, smallest and largest key.
    pub fn head(&self) -> &ShardHead {
        &self.head
    }

    /// The key of a row.
    pub fn key(&self, row: u32) -> &str {
        self.keys.key(row)
    }

    /// The row of a key, dead or alive.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.index.find(key)
    }

    /// [`Self::find`] for a key that is looked up in many shards: hash it once with [`format::key_hash`].
    pub fn find_hashed(&self, key: &str, hash: u64) -> Option<u32> {
        self.index.find_hashed(key, hash)
    }

    /// Keys that begin with `prefix` and come after `after`, with their rows, in bytewise order.
    pub fn keys_after(&self, after: Option<&str>, prefix: &str) -> KeyRange<'_> {
        self.index.range(after, prefix)
    }

    /// Whether `rows.parquet` is there, whole. It never goes again.
    pub fn has_rows(&self) -> bool {
        self.rows.get().is_some()
    }

    /// Gives a shard that was opened without it its `rows.parquet`, verified first. Call it on the [`crate::Pool`], as
    /// [`Self::open`].
    ///
    /// # Errors
    /// When the file is not what the manifest and the head say; the shard stays as it was.
    pub fn attach_rows(&self, bytes: Bytes) -> Result<(), EngineError> {
        if self.has_rows() {
            return Ok(());
        }
        let opened = verify(FileKind::Rows, &self.rows_entry, &bytes).and_then(|()| RowsFile::open(bytes, &self.head));
        let file = opened.map_err(|source| self.error(source))?;
        // Somebody else may have attached it meanwhile: the same file.
        let _ = self.rows.set(file);
        Ok(())
    }

    /// A row's vector as little-endian f32 bytes, at any alignment; empty when `rows.parquet` is not there.
    pub fn vector_bytes(&self, row: u32) -> &[u8] {
        self.rows.get().map_or(&[], |rows| rows.vector_bytes(row))
    }

    /// `rows.parquet`, when it is there.
    pub(crate) fn rows_file(&self) -> Option<&RowsFile> {
        self.rows.get()
    }

    /// Every vector in row order, in long contiguous pieces: the first row of a piece and its bytes. None when
    /// `rows.parquet` is not there.
    pub fn vector_runs(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.rows.get().into_iter().flat_map(RowsFile::vector_runs)
    }

    /// The metadata of some rows (ascending, each once), as it was put.
    ///
    /// # Errors
    /// When a page cannot be decoded, the rows are not ascending, or `rows.parquet` is not there.
    pub fn metadata(&self, rows: &[u32]) -> Result<Vec<Option<String>>, EngineError> {
        let file = self.rows.get().ok_or(EngineError::NoRows { shard: self.id })?;
        file.metadata(rows).map_err(|source| self.error(source))
    }

    /// Where a row's vector lies in `rows.parquet`; `None` beyond the last row.
    pub fn vector_range(&self, row: u32) -> Option<Range<u64>> {
        self.head.vector_range(row)
    }

    /// Checks bytes that were read from there.
    ///
    /// # Errors
    /// When they are not the row's vector.
    pub fn check_vector(&self, row: u32, bytes: &[u8]) -> Result<(), EngineError> {
        let (expected, actual) = (self.keys.vector_crc(row), format::crc32c(bytes));
        if bytes.len() == self.head.vector_width() && row < self.head.rows && actual == expected {
            return Ok(());
        }
        let what = format!(
            "row {row}: {} bytes with checksum {actual:08x} instead of {} with {expected:08x}",
            bytes.len(),
            self.head.vector_width()
        );
        Err(self.error(FormatError::corrupt(FileKind::Rows, what)))
    }

    /// The page of metadata that holds a row, and where it lies in `rows.parquet`; `None` beyond the last row.
    pub fn metadata_page(&self, row: u32) -> Option<(usize, Range<u64>)> {
        let page = self.head.metadata_page(row)?;
        Some((page, self.head.metadata_page_range(page)?))
    }

    /// The metadata of some rows of one page (ascending), from bytes that were read from there, which are checked.
    ///
    /// # Errors
    /// When they are not the page, or do not hold these rows.
    pub fn page_metadata(&self, page: usize, bytes: Bytes, rows: &[u32]) -> Result<Vec<Option<String>>, EngineError> {
        let texts = self.head.page_metadata(page, bytes, rows);
        texts.map_err(|source| self.error(source))
    }

    /// The rows, dead or alive, that a filter matches.
    ///
    /// # Errors
    /// When `attributes.bin` cannot be decoded.
    pub fn select(&self, filter: &Filter) -> Result<RoaringBitmap, EngineError> {
        self.attributes.evaluate(filter).map_err(|source| self.error(source))
    }

    /// Length of all its files that are there.
    pub fn size_bytes(&self) -> u64 {
        let rows = if self.has_rows() { self.rows_entry.size } else { 0 };
        self.other_bytes + rows
    }

    fn error(&self, source: FormatError) -> EngineError {
        EngineError::Shard { shard: self.id, source }
    }
}

fn verify_all(entry: &ShardEntry, bytes: &ShardBytes) -> Result<(), FormatError> {
    let files = [
        (FileKind::Head, &entry.files.head, &bytes.head),
        (FileKind::Keys, &entry.files.keys, &bytes.keys),
        (FileKind::Fst, &entry.files.fst, &bytes.fst),
        (FileKind::Attributes, &entry.files.attributes, &bytes.attributes),
    ];
    let rows = bytes.rows.as_ref();
    let rows = rows.map(|rows| (FileKind::Rows, &entry.files.rows, rows));
    files
        .into_iter()
        .chain(rows)
        .try_for_each(|(file, entry, bytes)| verify(file, entry, bytes))?;
    match (&entry.files.index, &bytes.index) {
        (Some(entry), Some(bytes)) => verify(FileKind::Index, entry, bytes),
        (None, None) => Ok(()),
        _ => Err(FormatError::corrupt(
            FileKind::Index,
            "given for a flat shard, or missing for another",
        )),
    }
}

fn verify(file: FileKind, entry: &FileEntry, bytes: &[u8]) -> Result<(), FormatError> {
    if bytes.len() <= VERIFY_PIECE || bytes.len() as u64 != entry.size {
        return format::verify(file, entry, bytes);
    }
    let pieces = bytes
        .par_chunks(VERIFY_PIECE)
        .map(|piece| (format::crc32c(piece), piece.len()));
    let (actual, _) = pieces.reduce(
        || (0, 0),
        |(left, left_length), (right, length)| (crc32c::crc32c_combine(left, right, length), left_length + length),
    );
    if actual == entry.crc32c {
        Ok(())
    } else {
        Err(FormatError::Checksum {
            file,
            expected: entry.crc32c,
            actual,
        })
    }
}
