//! Reading `rows.parquet`: vectors straight from the file's bytes (often a memory map), metadata by page.

use std::fmt;
use std::ops::Range;

use arrow_array::cast::AsArray;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{ColumnChunkMask, PageIndexPolicy};

use super::ShardHead;
use super::rows_parquet::{FORMAT_KEY, FORMAT_PREFIX, METADATA, VERSION};
use crate::{FileKind, FormatError};

/// `rows.parquet` of one shard.
#[derive(Clone)]
pub struct RowsFile {
    file: Bytes,
    rows: u32,
    width: usize,
    page_shift: u32,
    offsets: Vec<u64>,
    footer: ArrowReaderMetadata,
}

impl fmt::Debug for RowsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsFile")
            .field("rows", &self.rows)
            .field("bytes", &self.file.len())
            .finish_non_exhaustive()
    }
}

fn corrupt(what: impl fmt::Display) -> FormatError {
    FormatError::corrupt(FileKind::Rows, what)
}

impl RowsFile {
    /// Reads the footer and checks that every page of vectors lies inside the file.
    pub fn open(file: Bytes, head: &ShardHead) -> Result<Self, FormatError> {
        let options = ArrowReaderOptions::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required)
            .with_offset_index_mask(ColumnChunkMask::columns([METADATA]));
        let footer = ArrowReaderMetadata::load(&file, options).map_err(corrupt)?;
        check_version(&footer)?;
        let rows: i64 = footer
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows())
            .sum();
        if rows != i64::from(head.rows) {
            return Err(corrupt(format!("{rows} rows instead of {}", head.rows)));
        }
        let opened = Self {
            file,
            rows: head.rows,
            width: head.dimension.get() * 4,
            page_shift: head.vectors.rows_per_page.trailing_zeros(),
            offsets: head.vectors.offsets.clone(),
            footer,
        };
        let inside = |page| {
            opened
                .page(page)
                .is_some_and(|(rows, values)| values.len() == rows.len() * opened.width)
        };
        if !(0..opened.offsets.len()).all(inside) {
            return Err(corrupt("a page of vectors lies outside the file"));
        }
        Ok(opened)
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of one vector.
    #[must_use]
    pub fn vector_width(&self) -> usize {
        self.width
    }

    /// The rows and the values of a page of vectors.
    fn page(&self, page: usize) -> Option<(Range<u32>, &[u8])> {
        let start = usize::try_from(*self.offsets.get(page)?).ok()?;
        let first = u32::try_from(page).ok()? << self.page_shift;
        let last = self.rows.min(first.saturating_add(1 << self.page_shift));
        let length = (last.checked_sub(first)? as usize) * self.width;
        Some((first..last, self.file.get(start..start.checked_add(length)?)?))
    }

    /// The row's vector as little-endian f32 bytes, straight from the page, at any alignment; empty beyond the last row.
    #[must_use]
    #[inline]
    pub fn vector_bytes(&self, row: u32) -> &[u8] {
        let page = (row >> self.page_shift) as usize;
        let within = (row & ((1 << self.page_shift) - 1)) as usize * self.width;
        if row >= self.rows {
            return &[];
        }
        self.offsets
            .get(page)
            .and_then(|start| {
                self.file
                    .get(*start as usize + within..*start as usize + within + self.width)
            })
            .unwrap_or_default()
    }

    /// Every vector in row order, in long contiguous pieces: the first row of the piece and its vectors' bytes.
    pub fn vector_runs(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.offsets.len())
            .filter_map(|page| self.page(page))
            .map(|(rows, values)| (rows.start, values))
    }

    /// The metadata of some rows (ascending, each once), as it was put. Decodes only the pages that hold them.
    pub fn metadata(&self, rows: &[u32]) -> Result<Vec<Option<String>>, FormatError> {
        let Some(last) = rows.last() else {
            return Ok(Vec::new());
        };
        if *last >= self.rows || !rows.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::input(
                FileKind::Rows,
                "rows are asked for out of order or beyond the last one",
            ));
        }
        let mask = ProjectionMask::leaves(self.footer.parquet_schema(), [METADATA]);
        let selection = RowSelection::from_consecutive_ranges(ranges(rows).into_iter(), self.rows as usize);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.footer.clone())
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(rows.len().min(8192))
            .build()
            .map_err(corrupt)?;
        let mut out = Vec::with_capacity(rows.len());
        for batch in reader {
            let batch = batch.map_err(corrupt)?;
            let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
            let column = column.ok_or_else(|| corrupt("the metadata column is not text"))?;
            out.extend(column.iter().map(|text| text.map(str::to_owned)));
        }
        if out.len() == rows.len() {
            Ok(out)
        } else {
            Err(corrupt("fewer rows of metadata than asked for"))
        }
    }
}

/// Runs of neighbouring rows.
fn ranges(rows: &[u32]) -> Vec<Range<usize>> {
    rows.chunk_by(|a, b| a + 1 == *b)
        .filter_map(|run| Some(*run.first()? as usize..*run.last()? as usize + 1))
        .collect()
}

fn check_version(footer: &ArrowReaderMetadata) -> Result<(), FormatError> {
    let entries = footer
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten();
    let found = entries
        .filter(|entry| entry.key == FORMAT_KEY)
        .find_map(|entry| entry.value.as_deref()?.strip_prefix(FORMAT_PREFIX)?.parse().ok())
        .ok_or_else(|| corrupt("not a rows.parquet of genai-vectors"))?;
    if found != VERSION {
        return Err(FormatError::Version {
            file: FileKind::Rows,
            found,
            supported: VERSION,
        });
    }
    Ok(())
}
