//! Writing a WAL object.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, ListArray, RecordBatch, StringArray, UInt8Array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field};
use bytes::Bytes;
use model::Dimension;

use super::{CHECKSUM_KEY, DELETE, PUT, ZEROS, schema};
use crate::{FileKind, FormatError, checksum};

/// Collects the rows of one commit.
#[derive(Debug)]
pub struct WalWriter {
    dimension: Dimension,
    ops: Vec<u8>,
    keys: Text,
    values: Vec<f32>,
    value_ends: Vec<i32>,
    metadata: Text,
    has_metadata: BooleanBufferBuilder,
    fault: Option<String>,
}

/// A growing UTF-8 column.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Text {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: vec![0],
        }
    }

    fn push(&mut self, text: &str) -> bool {
        self.bytes.extend_from_slice(text.as_bytes());
        push_end(&mut self.ends, self.bytes.len())
    }

    fn finish(self, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        StringArray::try_new(ends, Buffer::from_vec(self.bytes), nulls)
    }
}

fn push_end(ends: &mut Vec<i32>, end: usize) -> bool {
    let fits = i32::try_from(end);
    // The previous end keeps the offsets monotonic; the fault makes `finish` fail.
    ends.push(fits.unwrap_or_else(|_| ends.last().copied().unwrap_or_default()));
    fits.is_ok()
}

impl WalWriter {
    /// A writer for vectors of this dimension.
    #[must_use]
    pub fn new(dimension: Dimension) -> Self {
        Self {
            dimension,
            ops: Vec::new(),
            keys: Text::new(),
            values: Vec::new(),
            value_ends: vec![0],
            metadata: Text::new(),
            has_metadata: BooleanBufferBuilder::new(0),
            fault: None,
        }
    }

    /// Adds an upsert. `metadata` is the JSON text of an object; `None` when there is none.
    pub fn push_put(&mut self, key: &str, vector: &[f32], metadata: Option<&str>) {
        if vector.len() != self.dimension.get() {
            self.fault.get_or_insert_with(|| {
                format!(
                    "a vector of {} values where the dimension is {}",
                    vector.len(),
                    self.dimension.get()
                )
            });
        }
        self.push(PUT, key, vector, metadata);
    }

    /// Adds a deletion.
    pub fn push_delete(&mut self, key: &str) {
        self.push(DELETE, key, &[], None);
    }

    fn push(&mut self, op: u8, key: &str, vector: &[f32], metadata: Option<&str>) {
        self.ops.push(op);
        self.values.extend_from_slice(vector);
        self.has_metadata.append(metadata.is_some());
        let fits = self.keys.push(key)
            & push_end(&mut self.value_ends, self.values.len())
            & self.metadata.push(metadata.unwrap_or_default());
        if !fits {
            self.fault.get_or_insert_with(|| "more than 2 GiB in one column".into());
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ops.len()
    }

    /// About how long the object will be.
    #[must_use]
    pub fn approx_bytes(&self) -> usize {
        let fixed_per_row = 1 + 3 * 4 + 1;
        1536 + self.values.len() * 4 + self.keys.bytes.len() + self.metadata.bytes.len() + self.rows() * fixed_per_row
    }

    /// The object's bytes. Fails when a vector had another length than the dimension, or beyond 2 GiB.
    pub fn finish(mut self) -> Result<Bytes, FormatError> {
        if let Some(fault) = self.fault.take() {
            return Err(FormatError::input(FileKind::Wal, fault));
        }
        let capacity = self.approx_bytes() + 2048;
        self.write(capacity)
            .map_err(|e| FormatError::input(FileKind::Wal, e))
            .and_then(seal)
    }

    fn write(self, capacity: usize) -> Result<Vec<u8>, ArrowError> {
        let schema = Arc::new(schema(self.dimension));
        let mut writer = FileWriter::try_new(Vec::with_capacity(capacity), &schema)?;
        writer.write(&self.into_batch(schema)?)?;
        writer.write_metadata(CHECKSUM_KEY, ZEROS);
        writer.into_inner()
    }

    fn into_batch(mut self, schema: Arc<arrow_schema::Schema>) -> Result<RecordBatch, ArrowError> {
        let is_put: NullBuffer = self.ops.iter().map(|op| *op == PUT).collect();
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.value_ends));
        let values = Arc::new(Float32Array::from(self.values));
        let vectors = ListArray::try_new(item, ends, values, Some(is_put).filter(|nulls| nulls.null_count() > 0))?;
        let has_metadata = NullBuffer::new(self.has_metadata.finish());
        let metadata = self
            .metadata
            .finish(Some(has_metadata).filter(|nulls| nulls.null_count() > 0))?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(self.ops)),
            Arc::new(self.keys.finish(None)?),
            Arc::new(vectors),
            Arc::new(metadata),
        ];
        RecordBatch::try_new(schema, columns)
    }
}

/// Puts the checksum in the place that the footer keeps for it.
fn seal(mut file: Vec<u8>) -> Result<Bytes, FormatError> {
    let sum = checksum::crc32c(&file);
    let place = super::decode::checksum_place(&file)?;
    let digits = file
        .get_mut(place)
        .ok_or_else(|| FormatError::input(FileKind::Wal, "no place for the checksum"))?;
    digits.copy_from_slice(format!("{sum:08x}").as_bytes());
    Ok(file.into())
}
