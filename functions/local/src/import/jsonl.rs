//! JSON lines: one record a line, as in PutVectors or with metadata at the top level.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use wire::members::{Kind, RawJson};
use wire::numbers::parse_f32_array;
use wire::{JsonWriter, Members};

use super::meter::Size;
use super::record::{Mapping, Record, RecordSource, SourceError, merge};

const BUFFER: usize = 1 << 20;
/// A vector of 4,096 values and 40 KiB of metadata take some 120 KiB.
const MAX_LINE: u64 = 16 << 20;
/// Where PutVectors has its vectors.
const PUT_DATA: &str = "data";
const PUT_FLOATS: &str = "float32";

/// Reads one file.
#[derive(Debug)]
pub(crate) struct JsonLines {
    mapping: Mapping,
    lines: Lines,
    dimension: Option<usize>,
    size: u64,
}

#[derive(Debug)]
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Lines read.
    count: u64,
    bytes: u64,
}

impl JsonLines {
    pub(crate) fn open(path: &Path, mapping: Mapping) -> Result<Self, SourceError> {
        let mut first = Self::start(path, mapping.clone())?;
        let mut record = Record::default();
        let dimension = first.next(&mut record)?.then_some(record.vector.len());
        Ok(Self {
            dimension,
            ..Self::start(path, mapping)?
        })
    }

    fn start(path: &Path, mapping: Mapping) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(SourceError::file)?;
        let size = file.metadata().map_err(SourceError::file)?.len();
        let reader = BufReader::with_capacity(BUFFER, file);
        let lines = Lines {
            reader,
            line: Vec::new(),
            count: 0,
            bytes: 0,
        };
        Ok(Self {
            mapping,
            lines,
            dimension: None,
            size,
        })
    }
}

impl RecordSource for JsonLines {
    fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    fn size(&self) -> Size {
        Size::Bytes(self.size)
    }

    fn position(&self) -> u64 {
        self.lines.bytes
    }

    fn skip(&mut self, rows: u64) -> Result<(), SourceError> {
        while self.lines.count < rows && self.lines.read()? {}
        Ok(())
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, SourceError> {
        loop {
            let row = self.lines.count;
            if !self.lines.read()? {
                return Ok(false);
            }
            let line = self.lines.line.trim_ascii();
            if !line.is_empty() {
                record.row = row;
                return fill(record, line, &self.mapping)
                    .map(|()| true)
                    .map_err(|reason| SourceError::record(row, reason));
            }
        }
    }
}

impl Lines {
    /// Reads the next line; false at the end.
    fn read(&mut self) -> Result<bool, SourceError> {
        self.line.clear();
        let mut bounded = self.reader.by_ref().take(MAX_LINE);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(SourceError::file)?;
        if read as u64 == MAX_LINE && self.line.last() != Some(&b'\n') {
            return Err(SourceError::record(self.count, format!("longer than {MAX_LINE} bytes")));
        }
        self.count += u64::from(read > 0);
        self.bytes += read as u64;
        Ok(read > 0)
    }
}

fn fill(record: &mut Record, line: &[u8], mapping: &Mapping) -> Result<(), String> {
    let members = Members::parse(line).map_err(|error| reworded(error.message()))?;
    let key = members
        .raw(&mapping.key)
        .ok_or_else(|| format!("has no {:?}", mapping.key))?;
    match key.kind() {
        Kind::String => record.key = key.as_str().unwrap_or_default().into_owned(),
        Kind::Number if !key.get().contains(['.', 'e', 'E']) => record.key = key.get().to_owned(),
        _ => return Err(format!("{:?} is neither text nor an integer", mapping.key)),
    }
    let from_data = !members.has(&mapping.vector) && members.has(PUT_DATA);
    let vector = if from_data {
        put_data(&members)?
    } else {
        members.raw(&mapping.vector)
    };
    let vector = vector.ok_or_else(|| format!("has no {:?}", mapping.vector))?;
    record.vector = parse_f32_array(vector.get()).map_err(|fault| format!("{:?}: {fault}", mapping.vector))?;
    let mut columns = JsonWriter::new();
    let mut object = Cow::Borrowed("");
    for name in members
        .names()
        .filter(|name| mapping.is_metadata(name) && !(from_data && *name == PUT_DATA))
    {
        let Some(value) = members.raw(name) else {
            continue;
        };
        match value.kind() {
            Kind::Object if name == Mapping::OBJECT => object = Cow::Borrowed(value.get()),
            Kind::String if name == Mapping::OBJECT => object = value.as_str().unwrap_or_default(),
            Kind::Array if is_empty_array(value) => {}
            _ => drop(columns.name(name).raw(value.get())),
        }
    }
    let columns = String::from_utf8(columns.finish()).map_err(|error| error.to_string())?;
    record.metadata = merge(&object, &columns);
    Ok(())
}

/// `{"data": {"float32": [...]}}`
fn put_data<'a>(members: &Members<'a>) -> Result<Option<RawJson<'a>>, String> {
    let Some(data) = members.raw(PUT_DATA) else {
        return Ok(None);
    };
    let data = Members::nested(data, "/data").map_err(|error| error.message().to_owned())?;
    Ok(data.raw(PUT_FLOATS))
}

/// Like null: S3 Vectors has no empty arrays, but data frames write them.
fn is_empty_array(value: RawJson<'_>) -> bool {
    value
        .get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .eq(*b"[]")
}

fn reworded(message: &str) -> String {
    message
        .strip_prefix("Request body is ")
        .or(message.strip_prefix("Request body "))
        .unwrap_or(message)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Mapping {
        Mapping {
            key: "key".to_owned(),
            vector: "vector".to_owned(),
            metadata: None,
        }
    }

    fn read(text: &str, mapping: Mapping, skip: u64) -> Result<Vec<Record>, SourceError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut source = JsonLines::open(&path, mapping)?;
        source.skip(skip)?;
        let (mut record, mut all) = (Record::default(), Vec::new());
        while source.next(&mut record)? {
            all.push(record.clone());
        }
        assert_eq!(source.position(), text.len() as u64);
        Ok(all)
    }

    fn one(text: &str) -> Result<Record, SourceError> {
        read(text, mapping(), 0).map(|mut all| all.remove(0))
    }

    #[test]
    fn records_as_people_write_them() {
        let text = concat!(
            "{\"key\":\"a\",\"vector\":[1,2.5],\"metadata\":{\"n\": 1.50}}\n",
            "\r\n",
            " {\"metadata\":null,\"data\":{\"float32\":[3,4]},\"key\":17} \r\n",
            "{\"key\":\"\\u00e9\",\"vector\":[5,6],\"year\":1999,\"tags\":[],\"gone\":null,\"metadata\":{\"n\":1}}",
        );
        let all = read(text, mapping(), 0).unwrap();
        let record = |row, key: &str, vector: [f32; 2], metadata: &str| Record {
            row,
            key: key.to_owned(),
            vector: vector.to_vec(),
            metadata: metadata.to_owned(),
        };
        let expected = [
            record(0, "a", [1.0, 2.5], "{\"n\": 1.50}"),
            record(2, "17", [3.0, 4.0], ""),
            record(3, "é", [5.0, 6.0], "{\"n\":1,\"year\":1999}"),
        ];
        assert_eq!(all, expected);
        assert_eq!(read(text, mapping(), 1).unwrap(), &expected[1..]);
        assert_eq!(read(text, mapping(), 3).unwrap(), &expected[2..]);
    }

    #[test]
    fn columns_by_name() {
        let text = "{\"id\":\"a\",\"embedding\":[1],\"x\":1,\"y\":2,\"metadata\":{\"z\":3}}";
        let mut mapping = Mapping {
            key: "id".to_owned(),
            vector: "embedding".to_owned(),
            metadata: None,
        };
        let metadata = |mapping: &Mapping| read(text, mapping.clone(), 0).unwrap().remove(0).metadata;
        assert_eq!(metadata(&mapping), "{\"z\":3,\"x\":1,\"y\":2}");
        mapping.metadata = Some(vec!["y".to_owned()]);
        assert_eq!(metadata(&mapping), "{\"y\":2}");
        mapping.metadata = Some(Vec::new());
        assert_eq!(metadata(&mapping), "");
    }

    #[test]
    fn metadata_as_text() {
        let text = "{\"key\":\"a\",\"vector\":[1],\"metadata\":\"{\\\"z\\\":3}\",\"x\":true}";
        assert_eq!(one(text).unwrap().metadata, "{\"z\":3,\"x\":true}");
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, reason) in [
            ("{\"vector\":[1]}", "has no \"key\""),
            ("{\"key\":null,\"vector\":[1]}", "has no \"key\""),
            ("{\"key\":1.5,\"vector\":[1]}", "\"key\" is neither text nor an integer"),
            ("{\"key\":\"a\"}", "has no \"vector\""),
            ("{\"key\":\"a\",\"data\":{\"float64\":[1]}}", "has no \"vector\""),
            ("{\"key\":\"a\",\"data\":[1]}", "Value at '/data' must be an object"),
            ("[1]", "must be an object"),
            ("{\"key\":", "not valid JSON: expected a value at byte 7"),
        ] {
            assert_eq!(one(line), Err(SourceError::record(0, reason)), "{line}");
        }
        assert!(one("{\"key\":\"a\",\"vector\":[\"x\"]}").is_err());
        assert!(one("{\"key\":\"a\",\"vector\":{}}").is_err());
        // Only opening looks at the first line; the fault of a later one has its number.
        let text = "{\"key\":\"a\",\"vector\":[1]}\n\n{\"key\":\"b\"}\n";
        assert_eq!(
            read(text, mapping(), 0),
            Err(SourceError::record(2, "has no \"vector\""))
        );
    }

    #[test]
    fn nothing_to_read() {
        assert_eq!(read("", mapping(), 0), Ok(Vec::new()));
        assert_eq!(read("\n \n", mapping(), 0), Ok(Vec::new()));
    }
}
