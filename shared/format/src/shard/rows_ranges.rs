//! Reading `rows.parquet` by ranges: `head.json` alone says where a row's vector and its page of metadata lie, and what
//! a page's bytes must be. The checksums of the vectors are in `keys.bin`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

use super::ShardHead;
use crate::{FileKind, FormatError, checksum};

fn corrupt(what: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(FileKind::Rows, what)
}

impl ShardHead {
    /// Bytes of one vector.
    #[must_use]
    pub fn vector_width(&self) -> usize {
        self.dimension.get() * size_of::<f32>()
    }

    /// Where the row's vector lies in `rows.parquet`; `None` beyond the last row.
    #[must_use]
    pub fn vector_range(&self, row: u32) -> Option<Range<u64>> {
        if row >= self.rows {
            return None;
        }
        let shift = self.vectors.rows_per_page.trailing_zeros();
        let page = self.vectors.offsets.get((row >> shift) as usize)?;
        let width = self.vector_width() as u64;
        let start = page.checked_add(u64::from(row & (self.vectors.rows_per_page - 1)) * width)?;
        Some(start..start.checked_add(width)?)
    }

    /// The page of metadata that holds the row; `None` beyond the last row.
    #[must_use]
    pub fn metadata_page(&self, row: u32) -> Option<usize> {
        let beyond = self.metadata.first_rows.partition_point(|first| *first <= row);
        (row < self.rows).then(|| beyond.checked_sub(1)).flatten()
    }

    /// Where a page of metadata lies in `rows.parquet`.
    #[must_use]
    pub fn metadata_page_range(&self, page: usize) -> Option<Range<u64>> {
        let start = *self.metadata.offsets.get(page)?;
        Some(start..start.checked_add(u64::from(*self.metadata.sizes.get(page)?))?)
    }

    /// Checks that everything that may be read by ranges lies in a file of this length.
    pub fn check_ranges(&self, file_bytes: u64) -> Result<(), FormatError> {
        let vector_pages = (0..self.rows).step_by(self.vectors.rows_per_page as usize);
        let last_rows = vector_pages.map(|first| (first + (self.vectors.rows_per_page - 1)).min(self.rows - 1));
        let vectors = last_rows.map(|row| self.vector_range(row));
        let pages = (0..self.metadata.first_rows.len()).map(|page| self.metadata_page_range(page));
        let is_inside = |range: Option<Range<u64>>| range.is_some_and(|range| range.end <= file_bytes);
        if vectors.chain(pages).all(is_inside) {
            Ok(())
        } else {
            Err(corrupt("a page lies outside the file"))
        }
    }

    /// The metadata of some rows of one page (ascending), as it was put, from the page's bytes, which are checked first.
    pub fn page_metadata(&self, page: usize, bytes: Bytes, rows: &[u32]) -> Result<Vec<Option<String>>, FormatError> {
        let (Some(first), Some(expected)) = (self.metadata.first_rows.get(page), self.metadata.crc32c.get(page)) else {
            return Err(FormatError::input(FileKind::Rows, "a page beyond the last one"));
        };
        let actual = checksum::crc32c(&bytes);
        if actual != *expected {
            return Err(FormatError::Checksum {
                file: FileKind::Rows,
                expected: *expected,
                actual,
            });
        }
        let end = self.metadata.first_rows.get(page + 1).unwrap_or(&self.rows);
        let texts = decode_page(bytes, (end - first) as usize).map_err(corrupt)?;
        let text_of = |row: &u32| {
            let place = row.checked_sub(*first)? as usize;
            texts.get(place)
        };
        let found = rows.iter().map(|row| match text_of(row) {
            None => Err(FormatError::input(FileKind::Rows, "a row of another page")),
            Some(None) => Ok(None),
            Some(Some(text)) => Ok(Some(text.as_utf8().map_err(corrupt)?.to_owned())),
        });
        found.collect()
    }
}

/// The values of a page of the metadata column, which has so many rows.
fn decode_page(page: Bytes, rows: usize) -> Result<Vec<Option<ByteArray>>, ParquetError> {
    let column = Arc::new(metadata_column()?);
    let length = i64::try_from(page.len())?;
    let chunk = ColumnChunkMetaData::builder(Arc::clone(&column))
        .set_compression(Compression::LZ4_RAW)
        .set_data_page_offset(0)
        .set_total_compressed_size(length)
        .set_num_values(i64::try_from(rows)?)
        .build()?;
    let pages = SerializedPageReader::new(Arc::new(page), &chunk, rows, None)?;
    let mut reader = ColumnReaderImpl::<ByteArrayType>::new(column, Box::new(pages));
    let (mut present, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    // One row more than there should be, so that a longer page is found out.
    let (records, ..) = reader.read_records(rows + 1, Some(&mut present), None, &mut values)?;
    let given = present.iter().filter(|level| **level == 1).count();
    if records != rows || present.len() != rows || given != values.len() {
        return Err(ParquetError::General(format!(
            "a page of metadata with {records} rows instead of {rows}"
        )));
    }
    let mut values = values.into_iter();
    let texts = present
        .iter()
        .map(|level| if *level == 1 { values.next() } else { None });
    Ok(texts.collect())
}

/// The column as `rows_parquet` declares it.
fn metadata_column() -> Result<ColumnDescriptor, ParquetError> {
    let text = Type::primitive_type_builder("metadata", PhysicalType::BYTE_ARRAY)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::String))
        .build()?;
    Ok(ColumnDescriptor::new(
        Arc::new(text),
        1,
        0,
        ColumnPath::from("metadata"),
    ))
}
