//! The Parquet file: written beside its place and moved there when it is whole. Columns `key`, `vector` (a fixed-size
//! list of floats) and `metadata` (JSON text), so that every Parquet reader can use it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::ExportError;
use super::list::Page;
use crate::client::IndexInfo;
use crate::import::{INDEX_NOTE, IndexNote};

/// A row group is held in memory until it is complete.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A file that is being written; goes away unless it is finished.
#[derive(Debug)]
pub(super) struct ExportFile {
    writer: Option<ArrowWriter<File>>,
    schema: SchemaRef,
    item: FieldRef,
    dimension: i32,
    partial: PathBuf,
    output: PathBuf,
    rows: u64,
}

impl ExportFile {
    pub(super) fn create(output: &Path, index: &IndexInfo) -> Result<Self, ExportError> {
        let item: FieldRef = Arc::new(Field::new("item", DataType::Float32, false));
        let dimension = i32::try_from(index.dimension.get()).unwrap_or(i32::MAX);
        let vector = DataType::FixedSizeList(Arc::clone(&item), dimension);
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("vector", vector, false),
            Field::new("metadata", DataType::Utf8, true),
        ]));
        let mut partial = output.as_os_str().to_owned();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let failed = |reason: &dyn ToString| failure(output, reason);
        let file = File::create(&partial).map_err(|error| failed(&error))?;
        let properties = properties(index).map_err(|error| failed(&error))?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties));
        let writer = Some(writer.map_err(|error| failed(&error))?);
        Ok(Self {
            writer,
            schema,
            item,
            dimension,
            partial,
            output: output.to_owned(),
            rows: 0,
        })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn write(&mut self, page: Page) -> Result<(), ExportError> {
        let rows = page.keys.len() as u64;
        let batch = self.batch(page).map_err(|error| failure(&self.output, &error))?;
        if let Some(writer) = &mut self.writer {
            writer.write(&batch).map_err(|error| failure(&self.output, &error))?;
        }
        self.rows += rows;
        Ok(())
    }

    fn batch(&self, page: Page) -> Result<RecordBatch, ArrowError> {
        let values = Arc::new(Float32Array::from(page.values));
        let vectors = FixedSizeListArray::try_new(Arc::clone(&self.item), self.dimension, values, None)?;
        let keys = StringArray::from(page.keys);
        let metadata = StringArray::from(page.metadata);
        RecordBatch::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(keys), Arc::new(vectors), Arc::new(metadata)],
        )
    }

    /// Completes the file and moves it to its place.
    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        let complete = |writer: ArrowWriter<File>| -> io::Result<()> {
            let file = writer.into_inner().map_err(io::Error::other)?;
            file.sync_all()?;
            fs::rename(&self.partial, &self.output)
        };
        self.writer
            .take()
            .map_or(Ok(()), complete)
            .map_err(|error| failure(&self.output, &error))
    }
}

impl Drop for ExportFile {
    fn drop(&mut self) {
        // After the move there is nothing left to remove.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Vectors are stored plain: they do not compress, and readers can map them. Snappy is what every reader knows.
fn properties(index: &IndexInfo) -> Result<WriterProperties, serde_json::Error> {
    let note = IndexNote {
        distance_metric: index.metric,
        non_filterable_metadata_keys: index.non_filterable.clone(),
    };
    let note = KeyValue::new(INDEX_NOTE.to_owned(), serde_json::to_string(&note)?);
    let vector = || ColumnPath::from(vec!["vector".to_owned(), "list".to_owned(), "item".to_owned()]);
    Ok(WriterProperties::builder()
        .set_key_value_metadata(Some(vec![note]))
        .set_compression(Compression::SNAPPY)
        .set_column_compression(vector(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(vector(), false)
        .set_column_statistics_enabled(vector(), EnabledStatistics::None)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build())
}

fn failure(output: &Path, reason: &dyn ToString) -> ExportError {
    ExportError::File {
        file: output.display().to_string(),
        reason: reason.to_string(),
    }
}
