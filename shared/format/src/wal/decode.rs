//! Reading a WAL object: zero-copy over its bytes, everything checked once so that reading a row cannot fail.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt8Type};
use arrow_array::{Array, ListArray, RecordBatch, StringArray, UInt8Array};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Footer, MetadataVersion, root_as_footer, root_as_message};
use bytes::Bytes;
use model::Dimension;

use super::{CHECKSUM_KEY, DELETE, FORMAT_KEY, FORMAT_PREFIX, PUT, VERSION, ZEROS};
use crate::{FileKind, FormatError, checksum, sealed};

/// Length of the end of an Arrow file: footer length (4) and magic (6).
const END: usize = 10;

/// What every message of an Arrow file begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The columns' buffers: validity and content of `op`, `key` (two), `vector` (one and its items' two), `metadata` (two).
const BUFFERS: usize = 12;
/// Which of them is the validity of `op`, `key`, `vector`, its items, `metadata`.
const VALIDITY: [usize; 5] = [0, 2, 5, 7, 9];

/// A decoded WAL object. Rows are counted from 0; a row that is not there is a caller's mistake and panics.
#[derive(Clone, Debug)]
pub struct WalObject {
    dimension: Dimension,
    size: usize,
    ops: UInt8Array,
    keys: StringArray,
    vectors: ListArray,
    values: ScalarBuffer<f32>,
    metadata: StringArray,
}

fn corrupt(what: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(FileKind::Wal, what)
}

impl WalObject {
    /// Checks the checksum, the version and the content.
    pub fn decode(bytes: Bytes) -> Result<Self, FormatError> {
        check_sum(&bytes)?;
        let size = bytes.len();
        let (dimension, batch) = read_batch(bytes)?;
        let [ops, keys, vectors, metadata] = batch.columns() else {
            return Err(corrupt("not four columns"));
        };
        let vectors = vectors.as_list::<i32>().clone();
        let object = Self {
            dimension,
            size,
            ops: ops.as_primitive::<UInt8Type>().clone(),
            keys: keys.as_string::<i32>().clone(),
            values: vectors.values().as_primitive::<Float32Type>().values().clone(),
            vectors,
            metadata: metadata.as_string::<i32>().clone(),
        };
        object.check_rows()?;
        Ok(object)
    }

    fn check_rows(&self) -> Result<(), FormatError> {
        if self.ops.null_count() > 0 || self.keys.null_count() > 0 || self.vectors.values().null_count() > 0 {
            return Err(corrupt("a null where none may be"));
        }
        for (row, op) in self.ops.values().iter().enumerate() {
            let length = self.vectors.value_length(row);
            let sound = match *op {
                PUT => self.vectors.is_valid(row) && usize::try_from(length) == Ok(self.dimension.get()),
                DELETE => self.vectors.is_null(row) && length == 0 && self.metadata.is_null(row),
                _ => false,
            };
            if !sound {
                return Err(corrupt(format!("row {row} is neither a put nor a delete")));
            }
        }
        Ok(())
    }

    /// Values per vector.
    #[must_use]
    pub fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ops.len()
    }

    /// Is the row a deletion?
    #[must_use]
    pub fn is_delete(&self, row: usize) -> bool {
        self.ops.value(row) == DELETE
    }

    /// The row's key.
    #[must_use]
    pub fn key(&self, row: usize) -> &str {
        self.keys.value(row)
    }

    /// The row's vector; `None` for a deletion.
    #[must_use]
    pub fn vector(&self, row: usize) -> Option<&[f32]> {
        if self.is_delete(row) {
            None
        } else {
            self.values.get(self.value_range(row))
        }
    }

    /// The row's vector as little-endian bytes; empty for a deletion.
    #[must_use]
    pub fn vector_bytes(&self, row: usize) -> &[u8] {
        let Range { start, end } = self.value_range(row);
        self.values
            .inner()
            .as_slice()
            .get(start * 4..end * 4)
            .unwrap_or_default()
    }

    fn value_range(&self, row: usize) -> Range<usize> {
        let ends = self.vectors.value_offsets();
        match (ends.get(row), ends.get(row + 1)) {
            (Some(start), Some(end)) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }

    /// The row's metadata as it was put; `None` when there was none, and for a deletion.
    #[must_use]
    pub fn metadata(&self, row: usize) -> Option<&str> {
        self.metadata.is_valid(row).then(|| self.metadata.value(row))
    }

    /// Length of the object.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size
    }
}

fn footer(file: &[u8]) -> Result<Footer<'_>, FormatError> {
    let (rest, end) = file.split_last_chunk::<END>().ok_or_else(|| corrupt("cut short"))?;
    let length = read_footer_length(*end).map_err(corrupt)?;
    let start = rest.len().checked_sub(length).ok_or_else(|| corrupt("cut short"))?;
    let footer = rest.get(start..).ok_or_else(|| corrupt("cut short"))?;
    root_as_footer(footer).map_err(corrupt)
}

/// Where in the file the digits of the checksum are.
pub(super) fn checksum_place(file: &[u8]) -> Result<Range<usize>, FormatError> {
    let missing = || corrupt("no checksum in the footer");
    let value = footer(file)?
        .custom_metadata()
        .and_then(|entries| entries.iter().find(|entry| entry.key() == Some(CHECKSUM_KEY)))
        .and_then(|entry| entry.value())
        .filter(|value| value.len() == ZEROS.len())
        .ok_or_else(missing)?;
    let start = (value.as_ptr() as usize)
        .checked_sub(file.as_ptr() as usize)
        .ok_or_else(missing)?;
    Ok(start..start + value.len())
}

fn check_sum(file: &[u8]) -> Result<(), FormatError> {
    let place = checksum_place(file)?;
    let missing = || corrupt("no checksum in the footer");
    let digits = file.get(place.clone()).ok_or_else(missing)?;
    let expected = sealed::parse_hex(digits).ok_or_else(missing)?;
    let mut actual = checksum::crc32c(file.get(..place.start).ok_or_else(missing)?);
    actual = checksum::crc32c_append(actual, ZEROS.as_bytes());
    actual = checksum::crc32c_append(actual, file.get(place.end..).ok_or_else(missing)?);
    if actual != expected {
        return Err(FormatError::Checksum {
            file: FileKind::Wal,
            expected,
            actual,
        });
    }
    Ok(())
}

fn read_batch(bytes: Bytes) -> Result<(Dimension, RecordBatch), FormatError> {
    let footer = footer(&bytes)?;
    let schema = try_fb_to_schema(footer.schema().ok_or_else(|| corrupt("no schema"))?).map_err(corrupt)?;
    let dimension = read_format(schema.metadata().get(FORMAT_KEY).map(String::as_str))?;
    if schema != super::schema(dimension) || footer.version() != MetadataVersion::V5 {
        return Err(corrupt("not the columns of a wal object"));
    }
    let blocks = footer.recordBatches().filter(|blocks| blocks.len() == 1);
    let block = *blocks.ok_or_else(|| corrupt("not one record batch"))?.get(0);
    let data = block_bytes(&bytes, &block).ok_or_else(|| corrupt("the record batch lies outside the file"))?;
    check_message(&data, &block).ok_or_else(|| corrupt("the record batch's message is wrong"))?;
    let decoder = FileDecoder::new(Arc::new(schema), footer.version());
    let batch = decoder
        .read_record_batch(&block, &data)
        .map_err(corrupt)?
        .ok_or_else(|| corrupt("an empty message"))?;
    Ok((dimension, batch))
}

fn block_bytes(file: &Bytes, block: &Block) -> Option<Buffer> {
    let start = usize::try_from(block.offset()).ok()?;
    let (head, body) = (
        usize::try_from(block.metaDataLength()).ok()?,
        usize::try_from(block.bodyLength()).ok()?,
    );
    let end = start.checked_add(head.checked_add(body)?)?;
    (end <= file.len()).then(|| Buffer::from(file.clone()).slice_with_length(start, end - start))
}

/// Does every buffer lie inside the body? The Arrow reader takes the message's word for it and would panic.
fn check_message(data: &[u8], block: &Block) -> Option<()> {
    let (head, body) = data.split_at_checked(usize::try_from(block.metaDataLength()).ok()?)?;
    let message = root_as_message(head.strip_prefix(&CONTINUATION)?.get(4..)?).ok()?;
    let batch = message
        .header_as_record_batch()
        .filter(|batch| batch.compression().is_none())?;
    let inside = |offset: i64, length: i64| {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        (offset % 8 == 0 && offset.checked_add(length)? <= body.len()).then_some(())
    };
    let (nodes, buffers) = (batch.nodes()?, batch.buffers()?);
    buffers
        .iter()
        .try_for_each(|buffer| inside(buffer.offset(), buffer.length()))?;
    if nodes.len() != VALIDITY.len() || buffers.len() != BUFFERS {
        return None;
    }
    // Offsets and vectors are read as four-byte values.
    if [3, 6, 8, 10]
        .into_iter()
        .any(|number| buffers.get(number).length() % 4 != 0)
    {
        return None;
    }
    let sound = nodes.iter().zip(VALIDITY).all(|(node, validity)| {
        // Every value of every column takes at least a byte of the body (an op, or an offset).
        let counts =
            0 <= node.null_count() && node.null_count() <= node.length() && node.length() <= block.bodyLength();
        counts && (node.null_count() == 0 || buffers.get(validity).length() >= (node.length() + 7) / 8)
    });
    sound.then_some(())
}

/// Reads `wal/<version> dimension=<d>`.
pub(super) fn read_format(format: Option<&str>) -> Result<Dimension, FormatError> {
    let wrong = || corrupt("not a wal object of genai-vectors");
    let rest = format
        .and_then(|text| text.strip_prefix(FORMAT_PREFIX))
        .ok_or_else(wrong)?;
    let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let found: u32 = version.parse().map_err(|_| wrong())?;
    if found != VERSION {
        return Err(FormatError::Version {
            file: FileKind::Wal,
            found,
            supported: VERSION,
        });
    }
    let dimension = rest.strip_prefix("dimension=").and_then(|text| text.parse().ok());
    dimension.and_then(Dimension::new).ok_or_else(wrong)
}
