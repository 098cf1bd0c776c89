//! Records -> finished PutVectors bodies. Numbers are printed straight into the body, as the shortest text that reads
//! back as the same f32.

use bytes::Bytes;
use wire::JsonWriter;

use super::record::Record;
use crate::client::Target;

/// How large a batch may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) records: u16,
    /// A batch is full as soon as it has this many bytes; one record has at most some 300 KB.
    pub(crate) bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 500,
            bytes: 4 << 20,
        }
    }
}

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) body: Bytes,
    /// The row of each record.
    pub(crate) rows: Vec<u64>,
    /// Where the batch before it ends.
    pub(crate) begin: u64,
    /// All rows before this one are in this batch or an earlier one.
    pub(crate) end: u64,
    /// Position of the source after it.
    pub(crate) position: u64,
    /// Holds a key that an earlier batch may still be writing: it must be sent after them.
    pub(crate) last: bool,
}

/// Collects records.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// The body's beginning, up to the first record.
    head: Vec<u8>,
    limits: BatchLimits,
    json: JsonWriter,
    rows: Vec<u64>,
    begin: u64,
    last: bool,
}

impl BatchBuilder {
    /// Collects from row `begin` on.
    pub(crate) fn new(target: &Target, limits: BatchLimits, begin: u64) -> Self {
        let mut head = JsonWriter::new();
        head.begin_object();
        head.string_member("vectorBucketName", target.bucket.as_str());
        head.string_member("indexName", target.index.as_str());
        head.name("vectors").begin_array();
        let json = JsonWriter::with_capacity(1 << 16);
        Self {
            head: head.finish(),
            limits,
            json,
            rows: Vec::new(),
            begin,
            last: false,
        }
    }

    /// The row of the first record, or where it will be.
    pub(crate) fn begin(&self) -> u64 {
        self.begin
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of the last record.
    pub(crate) fn last_row(&self) -> Option<u64> {
        self.rows.last().copied()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= usize::from(self.limits.records) || self.json.len() >= self.limits.bytes
    }

    /// Sends this batch after all earlier ones.
    pub(crate) fn send_last(&mut self) {
        self.last = true;
    }

    pub(crate) fn push(&mut self, record: &Record) {
        self.json.begin_object().string_member("key", &record.key);
        self.json
            .name("data")
            .begin_object()
            .name("float32")
            .f32_array(&record.vector)
            .end_object();
        if !record.metadata.is_empty() {
            self.json.name("metadata").raw(&record.metadata);
        }
        self.json.end_object();
        self.rows.push(record.row);
    }

    /// The batch so far, of rows before `end`; the next one begins there.
    pub(crate) fn finish(&mut self, end: u64, position: u64) -> Batch {
        let capacity = self.json.len() + self.json.len() / 16;
        let records = std::mem::replace(&mut self.json, JsonWriter::with_capacity(capacity)).finish();
        let mut body = Vec::with_capacity(self.head.len() + records.len() + 2);
        body.extend_from_slice(&self.head);
        body.extend_from_slice(&records);
        body.extend_from_slice(b"]}");
        Batch {
            body: body.into(),
            rows: std::mem::take(&mut self.rows),
            begin: std::mem::replace(&mut self.begin, end),
            end,
            position,
            last: std::mem::take(&mut self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BucketName, IndexName};

    use super::*;

    fn builder(limits: BatchLimits) -> BatchBuilder {
        let target = Target {
            bucket: BucketName::parse("bucket").unwrap(),
            index: IndexName::parse("index").unwrap(),
        };
        BatchBuilder::new(&target, limits, 5)
    }

    fn record(row: u64, key: &str, metadata: &str) -> Record {
        Record {
            row,
            key: key.to_owned(),
            vector: vec![0.1, -0.0, 16_777_216.0, 1e-40],
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn bodies() {
        let mut builder = builder(BatchLimits {
            records: 2,
            ..BatchLimits::default()
        });
        builder.push(&record(5, "a\"", ""));
        assert!(!builder.is_full() && !builder.is_empty());
        builder.push(&record(7, "b", "{\"x\": 1.0}"));
        assert!(builder.is_full());
        builder.send_last();
        let batch = builder.finish(8, 99);
        let vectors = "{\"float32\":[0.1,-0.0,16777216.0,1e-40]}";
        let expected = format!(
            "{{\"vectorBucketName\":\"bucket\",\"indexName\":\"index\",\"vectors\":[{{\"key\":\"a\\\"\",\"data\":{vectors}}},\
             {{\"key\":\"b\",\"data\":{vectors},\"metadata\":{{\"x\": 1.0}}}}]}}"
        );
        assert_eq!(std::str::from_utf8(&batch.body).unwrap(), expected);
        assert_eq!((batch.rows, batch.begin, batch.end), (vec![5, 7], 5, 8));
        assert_eq!((batch.position, batch.last), (99, true));
        assert_eq!((builder.begin(), builder.is_empty()), (8, true));
        builder.push(&record(8, "c", ""));
        let batch = builder.finish(9, 100);
        assert!(batch.body.starts_with(b"{\"vectorBucketName\":\"bucket\"") && !batch.last);
    }

    #[test]
    fn bytes_fill_a_batch() {
        let mut builder = builder(BatchLimits {
            records: 500,
            bytes: 100,
        });
        builder.push(&record(0, "a", ""));
        assert!(!builder.is_full());
        builder.push(&record(1, "b", ""));
        assert!(builder.is_full());
    }
}
