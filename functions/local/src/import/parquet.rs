//! Parquet files, a batch of rows at a time. Types are read from the Parquet schema alone, so that dictionaries, large
//! strings and fixed-size lists are plain strings and lists here, whatever wrote the file.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, Schema};
use model::DistanceMetric;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use serde::{Deserialize, Serialize};
use wire::JsonWriter;

use super::columns;
use super::meter::Size;
use super::record::{Hints, Mapping, Record, RecordSource, SourceError, merge};

/// Key of the file's metadata under which `export` leaves an [`IndexNote`].
pub(crate) const INDEX_NOTE: &str = "genai-vectors.index";
/// Rows decoded at a time: 16 MiB of 4,096 floats.
const BATCH_ROWS: usize = 1024;

/// What `export` says about the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexNote {
    pub(crate) distance_metric: DistanceMetric,
    pub(crate) non_filterable_metadata_keys: Vec<String>,
}

/// Reads one file.
#[derive(Debug)]
pub(crate) struct ParquetSource {
    file: File,
    metadata: ArrowReaderMetadata,
    layout: Layout,
    dimension: Option<usize>,
    rows: u64,
    /// The next row.
    row: u64,
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<Batch>,
}

/// Which columns of the file are what.
#[derive(Debug, Clone)]
struct Layout {
    key: String,
    vector: String,
    object: Option<String>,
    metadata: Vec<String>,
    projection: ProjectionMask,
}

/// Decoded rows.
#[derive(Debug)]
struct Batch {
    rows: usize,
    next: usize,
    keys: ArrayRef,
    vectors: ArrayRef,
    /// All values of all vectors.
    floats: Vec<f32>,
    object: Option<ArrayRef>,
    metadata: Vec<(String, ArrayRef)>,
}

impl ParquetSource {
    pub(crate) fn open(path: &Path, mapping: &Mapping) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(SourceError::file)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(SourceError::file)?;
        let layout = Layout::of(&metadata, mapping).map_err(SourceError::file)?;
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        let dimension = declared_dimension(&metadata, &layout.vector);
        let mut source = Self {
            file,
            metadata,
            layout,
            dimension,
            rows,
            row: 0,
            reader: None,
            batch: None,
        };
        let mut first = Record::default();
        let mut reader = source
            .builder()?
            .with_batch_size(1)
            .with_limit(1)
            .build()
            .map_err(SourceError::file)?;
        if let Some(batch) = reader.next() {
            source.batch = Some(Batch::decode(&batch.map_err(SourceError::file)?, &source.layout, 0)?);
            source.next(&mut first)?;
            source.dimension = Some(first.vector.len());
        }
        source.skip(0)?;
        Ok(source)
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, SourceError> {
        let file = self.file.try_clone().map_err(SourceError::file)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        Ok(builder
            .with_projection(self.layout.projection.clone())
            .with_batch_size(BATCH_ROWS))
    }

    /// Decodes the next rows; false at the end.
    fn decode(&mut self) -> Result<bool, SourceError> {
        let broken = |error: &dyn std::fmt::Display| SourceError::record(self.row, format!("from here on: {error}"));
        let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else {
            return Ok(false);
        };
        let batch = batch.map_err(|error| broken(&error))?;
        self.batch = Some(Batch::decode(&batch, &self.layout, self.row)?);
        Ok(true)
    }
}

/// The dimension that the vectors' type states, as a fixed-size list does; a Parquet schema has only lists, so the Arrow
/// schema beside it is asked. A file without records has no other.
fn declared_dimension(metadata: &ArrowReaderMetadata, vector: &str) -> Option<usize> {
    let file = metadata.metadata().file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok()?;
    match schema.field_with_name(vector).ok()?.data_type() {
        DataType::FixedSizeList(_, length) => usize::try_from(*length).ok(),
        _ => None,
    }
}

impl RecordSource for ParquetSource {
    fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    fn hints(&self) -> Hints {
        let entries = self.metadata.metadata().file_metadata().key_value_metadata();
        let note = entries.into_iter().flatten().find(|entry| entry.key == INDEX_NOTE);
        let note = note.and_then(|entry| entry.value.as_deref());
        match note.and_then(|note| serde_json::from_str::<IndexNote>(note).ok()) {
            None => Hints::default(),
            Some(note) => Hints {
                metric: Some(note.distance_metric),
                non_filterable: Some(note.non_filterable_metadata_keys),
            },
        }
    }

    fn size(&self) -> Size {
        Size::Rows(self.rows)
    }

    fn position(&self) -> u64 {
        self.row
    }

    fn skip(&mut self, rows: u64) -> Result<(), SourceError> {
        self.row = rows.min(self.rows);
        self.batch = None;
        let offset = usize::try_from(self.row).map_err(SourceError::file)?;
        self.reader = Some(self.builder()?.with_offset(offset).build().map_err(SourceError::file)?);
        Ok(())
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, SourceError> {
        loop {
            if let Some(batch) = self.batch.as_mut().filter(|batch| batch.next < batch.rows) {
                record.row = self.row;
                batch
                    .fill(record)
                    .map_err(|reason| SourceError::record(self.row, reason))?;
                batch.next += 1;
                self.row += 1;
                return Ok(true);
            }
            if !self.decode()? {
                return Ok(false);
            }
        }
    }
}

impl Layout {
    fn of(metadata: &ArrowReaderMetadata, mapping: &Mapping) -> Result<Self, String> {
        let schema = metadata.schema();
        check_names(schema, mapping)?;
        check_key_and_vector(schema, mapping)?;
        for name in mapping.metadata.iter().flatten() {
            column(schema, name, "--metadata-columns")?;
        }
        let is_object = |field: &&FieldRef| {
            field.name() == Mapping::OBJECT
                && mapping.is_metadata(Mapping::OBJECT)
                && matches!(field.data_type(), DataType::Utf8)
        };
        let object = schema.fields().iter().find(is_object).map(|field| field.name().clone());
        let mut others = Vec::new();
        for field in schema
            .fields()
            .iter()
            .filter(|field| mapping.is_metadata(field.name()) && !is_object(field))
        {
            if !columns::is_metadata_type(field.data_type()) {
                return Err(format!(
                    "column {:?} is {}, which metadata cannot hold; name the columns to take with --metadata-columns",
                    field.name(),
                    field.data_type()
                ));
            }
            others.push(field.name().clone());
        }
        let wanted = |name: &String| {
            *name == mapping.key || *name == mapping.vector || object.as_ref() == Some(name) || others.contains(name)
        };
        let roots = schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| wanted(field.name()))
            .map(|(root, _)| root);
        let projection = ProjectionMask::roots(metadata.parquet_schema(), roots);
        Ok(Self {
            key: mapping.key.clone(),
            vector: mapping.vector.clone(),
            object,
            metadata: others,
            projection,
        })
    }
}

/// Columns are taken by name, so of two with one name it would be unknown which was meant.
fn check_names(schema: &Schema, mapping: &Mapping) -> Result<(), String> {
    let mut seen = HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        let is_taken = *name == mapping.key || *name == mapping.vector || mapping.is_metadata(name);
        if is_taken && !seen.insert(name) {
            return Err(format!("two columns have the name {name:?}; rename one of them"));
        }
    }
    Ok(())
}

fn check_key_and_vector(schema: &Schema, mapping: &Mapping) -> Result<(), String> {
    let key = column(schema, &mapping.key, "--key-column")?.data_type();
    if !key.is_integer() && *key != DataType::Utf8 {
        return Err(format!(
            "keys are text or integers, but column {:?} is {key}",
            mapping.key
        ));
    }
    let vector = column(schema, &mapping.vector, "--vector-column")?.data_type();
    match vector {
        DataType::List(item) if item.data_type().is_integer() || item.data_type().is_floating() => Ok(()),
        _ => Err(format!(
            "vectors are lists of numbers, but column {:?} is {vector}",
            mapping.vector
        )),
    }
}

fn column<'a>(schema: &'a Schema, name: &str, flag: &str) -> Result<&'a FieldRef, String> {
    schema
        .fields()
        .iter()
        .find(|field| field.name() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            format!(
                "there is no column {name:?} ({flag}); the columns are {}",
                names.join(", ")
            )
        })
}

impl Batch {
    /// `row` is the number of the first row.
    fn decode(batch: &RecordBatch, layout: &Layout, row: u64) -> Result<Self, SourceError> {
        let column = |name: &str| {
            let missing = || SourceError::record(row, format!("from here on column {name:?} is missing"));
            batch.column_by_name(name).cloned().ok_or_else(missing)
        };
        let vectors = column(&layout.vector)?;
        let lists = vectors
            .as_list_opt::<i32>()
            .map(|lists| columns::floats(lists.values()));
        let floats = lists
            .flatten()
            .ok_or_else(|| SourceError::record(row, "its vector is no list of numbers"))?;
        let metadata = layout.metadata.iter().map(|name| Ok((name.clone(), column(name)?)));
        Ok(Self {
            rows: batch.num_rows(),
            next: 0,
            keys: column(&layout.key)?,
            floats,
            vectors,
            object: layout.object.as_deref().map(column).transpose()?,
            metadata: metadata.collect::<Result<_, _>>()?,
        })
    }

    fn fill(&self, record: &mut Record) -> Result<(), String> {
        let row = self.next;
        columns::key_into(&self.keys, row, &mut record.key).ok_or("its key is null")?;
        record.vector.clear();
        if self.vectors.is_null(row) {
            return Err(format!("key {:?}: its vector is null", record.key));
        }
        let offsets = self
            .vectors
            .as_list_opt::<i32>()
            .map(|lists| lists.value_offsets())
            .unwrap_or_default();
        if let Some([start, end]) = offsets.get(row..row + 2) {
            // Offsets of a list array ascend from 0 and end within its values.
            let values = self.floats.get(*start as usize..*end as usize).unwrap_or_default();
            record.vector.extend_from_slice(values);
        }
        let mut members = JsonWriter::new();
        for (name, array) in &self.metadata {
            columns::write_member(&mut members, name, array, row);
        }
        let members = String::from_utf8(members.finish()).map_err(|error| error.to_string())?;
        let object = self.object.as_ref().filter(|object| object.is_valid(row));
        record.metadata = merge(
            object.map_or("", |object| object.as_string::<i32>().value(row)),
            &members,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
