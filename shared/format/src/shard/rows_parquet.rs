//! Writing `rows.parquet`: the vectors plain and uncompressed in pages of whole rows, so that row n is at an offset
//! that can be computed; the metadata in small compressed pages, so that one row costs one small read.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use model::Dimension;
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, TypePtr};

use super::ShardRow;
use super::head::{MetadataPages, VectorPages};
use crate::{FileKind, FormatError, checksum};

/// Columns of the file, in order.
pub(super) const VECTOR: usize = 0;
pub(super) const METADATA: usize = 2;
/// Key of the file metadata that names the format and its version.
pub(super) const FORMAT_KEY: &str = "genai-vectors";
/// Its value: this and the version.
pub(super) const FORMAT_PREFIX: &str = "rows/";
/// The version that this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// A page of vectors is at most this long, unless one vector is longer.
const VECTOR_PAGE_BYTES: usize = 1 << 20;
/// A row group has this many rows, or one page of vectors when that has more.
const ROW_GROUP_ROWS: usize = 1 << 18;
/// About how much JSON text goes into a page of metadata.
const METADATA_PAGE_BYTES: usize = 16 << 10;
/// About how many bytes of keys go into a page of keys.
const KEY_PAGE_BYTES: usize = 64 << 10;
/// Keys or metadata are handed over in slices of this many rows.
const TEXT_ROWS: usize = 256;

/// Rows in a page of vectors: the largest power of two that fits.
pub(super) fn rows_per_page(dimension: Dimension) -> usize {
    let fit = (VECTOR_PAGE_BYTES / (dimension.get() * 4)).max(1);
    1 << fit.ilog2()
}

fn arrow_schema(dimension: Dimension) -> Schema {
    let element = Arc::new(Field::new("element", DataType::Float32, false));
    let length = i32::try_from(dimension.get()).unwrap_or(i32::MAX);
    Schema::new(vec![
        Field::new("vector", DataType::FixedSizeList(element, length), false),
        Field::new("key", DataType::Utf8, false),
        Field::new("metadata", DataType::Utf8, true),
    ])
}

fn properties(dimension: Dimension, schema: &Schema) -> WriterPropertiesPtr {
    let vector = ColumnPath::from(vec!["vector".to_owned(), "list".to_owned(), "element".to_owned()]);
    let key = ColumnPath::from("key");
    let page_rows = rows_per_page(dimension);
    let mut properties = WriterProperties::builder()
        .set_created_by("genai-vectors".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            FORMAT_KEY.to_owned(),
            format!("{FORMAT_PREFIX}{VERSION}"),
        )]))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_compression(Compression::LZ4_RAW)
        .set_data_page_size_limit(METADATA_PAGE_BYTES)
        .set_write_batch_size(page_rows * dimension.get())
        .set_column_data_page_size_limit(key, KEY_PAGE_BYTES)
        .set_column_compression(vector.clone(), Compression::UNCOMPRESSED)
        .set_column_data_page_size_limit(vector.clone(), 1 << 30)
        .set_column_data_page_row_count_limit(vector, page_rows)
        .build();
    add_encoded_arrow_schema_to_metadata(schema, &mut properties);
    Arc::new(properties)
}

/// What `encode` gives: the file and where its pages are.
pub(super) struct EncodedRows {
    pub(super) file: Bytes,
    pub(super) vectors: VectorPages,
    pub(super) metadata: MetadataPages,
}

fn input(what: impl std::fmt::Display) -> FormatError {
    FormatError::input(FileKind::Rows, what)
}

/// Writes `rows.parquet` and proves its page tables against the rows.
pub(super) fn encode(dimension: Dimension, rows: &[ShardRow<'_>]) -> Result<EncodedRows, FormatError> {
    let file = Bytes::from(write(dimension, rows).map_err(input)?);
    let footer = ParquetMetaDataReader::new()
        .with_offset_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .map_err(input)?;
    let vectors = vector_pages(dimension, rows, &file, &footer)?;
    let metadata = metadata_pages(&file, &footer)?;
    Ok(EncodedRows {
        file,
        vectors,
        metadata,
    })
}

fn write(dimension: Dimension, rows: &[ShardRow<'_>]) -> Result<Vec<u8>, ParquetError> {
    let arrow = arrow_schema(dimension);
    let schema: TypePtr = ArrowSchemaConverter::new()
        .schema_root("rows")
        .convert(&arrow)?
        .root_schema_ptr();
    let text: usize = rows
        .iter()
        .map(|row| row.key.len() + row.metadata.map_or(0, str::len) + 16)
        .sum();
    let levels = dimension.get() / 8 + 8;
    let out = Vec::with_capacity((dimension.get() * 4 + levels) * rows.len() + text + (64 << 10));
    let mut file = SerializedFileWriter::new(out, schema, properties(dimension, &arrow))?;
    let pattern = Levels::new(dimension);
    for group in rows.chunks(ROW_GROUP_ROWS.max(rows_per_page(dimension))) {
        let mut columns = file.next_row_group()?;
        write_vectors(&mut columns, &pattern, group)?;
        write_text(&mut columns, group, |row| Some(row.key))?;
        write_text(&mut columns, group, |row| row.metadata)?;
        columns.close()?;
    }
    file.into_inner()
}

/// The definition and repetition levels of one full page: the same for every page.
struct Levels {
    dimension: usize,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Levels {
    fn new(dimension: Dimension) -> Self {
        let (dimension, rows) = (dimension.get(), rows_per_page(dimension));
        let repetition = (0..rows * dimension).map(|i| i16::from(i % dimension != 0)).collect();
        Self {
            dimension,
            definition: vec![1; rows * dimension],
            repetition,
        }
    }
}

type Columns<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_vectors(columns: &mut Columns<'_>, levels: &Levels, rows: &[ShardRow<'_>]) -> Result<(), ParquetError> {
    let mut column = columns
        .next_column()?
        .ok_or_else(|| ParquetError::General("no vector column".into()))?;
    let typed: &mut ColumnWriterImpl<'_, FloatType> = column.typed();
    let mut values: Vec<f32> = Vec::with_capacity(levels.definition.len());
    for page in rows.chunks(levels.definition.len() / levels.dimension) {
        values.clear();
        for row in page {
            values.extend(
                row.vector
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes)),
            );
        }
        let (definition, repetition) = (
            levels.definition.get(..values.len()),
            levels.repetition.get(..values.len()),
        );
        typed.write_batch(&values, definition, repetition)?;
    }
    column.close()
}

fn write_text<'r>(
    columns: &mut Columns<'_>,
    rows: &[ShardRow<'r>],
    text: impl Fn(&ShardRow<'r>) -> Option<&'r str>,
) -> Result<(), ParquetError> {
    let mut column = columns
        .next_column()?
        .ok_or_else(|| ParquetError::General("no text column".into()))?;
    let typed: &mut ColumnWriterImpl<'_, ByteArrayType> = column.typed();
    let optional = typed.get_descriptor().max_def_level() > 0;
    for slice in rows.chunks(TEXT_ROWS) {
        let definition: Vec<i16> = slice.iter().map(|row| i16::from(text(row).is_some())).collect();
        let joined = Bytes::from(slice.iter().filter_map(&text).collect::<String>());
        let mut start = 0;
        let values: Vec<ByteArray> = slice
            .iter()
            .filter_map(&text)
            .map(|text| {
                let end = start + text.len();
                let value = joined.slice(start..end);
                start = end;
                ByteArray::from(value)
            })
            .collect();
        typed.write_batch(&values, optional.then_some(definition.as_slice()), None)?;
    }
    column.close()
}

/// The pages of one column over all row groups: (first row in the file, location).
fn pages(footer: &ParquetMetaData, column: usize) -> Result<Vec<(u64, PageLocation)>, FormatError> {
    let mut first = 0;
    let mut pages = Vec::new();
    for (number, group) in footer.row_groups().iter().enumerate() {
        let index = footer.page_index_for_row_group(number);
        let locations = index
            .page_locations(column)
            .ok_or_else(|| input("no offset index of a column"))?;
        pages.extend(
            locations
                .iter()
                .map(|page| (first + page.first_row_index as u64, page.clone())),
        );
        first += group.num_rows() as u64;
    }
    Ok(pages)
}

/// Finds the values of every page and compares them with the rows: a wrong offset can never be stored.
fn vector_pages(
    dimension: Dimension,
    rows: &[ShardRow<'_>],
    file: &[u8],
    footer: &ParquetMetaData,
) -> Result<VectorPages, FormatError> {
    let per_page = rows_per_page(dimension);
    let pages = pages(footer, VECTOR)?;
    if pages.len() != rows.len().div_ceil(per_page) {
        return Err(input("an unexpected number of pages"));
    }
    let mut offsets = Vec::with_capacity(pages.len());
    for ((first, page), rows) in pages.iter().zip(rows.chunks(per_page)) {
        let width = dimension.get() * 4;
        let end = (page.offset + i64::from(page.compressed_page_size)) as usize;
        let start = end
            .checked_sub(rows.len() * width)
            .ok_or_else(|| input("a page is too short"))?;
        let values = file
            .get(start..end)
            .ok_or_else(|| input("a page lies outside the file"))?;
        let same = rows
            .iter()
            .zip(values.chunks_exact(width))
            .all(|(row, stored)| row.vector == stored);
        if !same || *first != (offsets.len() * per_page) as u64 {
            return Err(input(format!("the page of row {first} does not hold its rows")));
        }
        offsets.push(start as u64);
    }
    Ok(VectorPages {
        rows_per_page: u32::try_from(per_page).map_err(input)?,
        offsets,
    })
}

fn metadata_pages(file: &[u8], footer: &ParquetMetaData) -> Result<MetadataPages, FormatError> {
    let mut table = MetadataPages::default();
    for (first, page) in pages(footer, METADATA)? {
        let (offset, size) = (page.offset as usize, page.compressed_page_size as usize);
        let bytes = file
            .get(offset..offset + size)
            .ok_or_else(|| input("a page lies outside the file"))?;
        table.first_rows.push(u32::try_from(first).map_err(input)?);
        table.offsets.push(offset as u64);
        table.sizes.push(u32::try_from(size).map_err(input)?);
        table.crc32c.push(checksum::crc32c(bytes));
    }
    Ok(table)
}
