//! `.npy` files: two-dimensional arrays of floats, one row after the other, read as a stream. Keys are row numbers or
//! the lines of a second file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use super::meter::Size;
use super::record::{Record, RecordSource, SourceError};
use header::Header;

mod header;

const BUFFER: usize = 1 << 20;

/// Reads one array.
#[derive(Debug)]
pub(crate) struct NpySource {
    header: Header,
    reader: BufReader<File>,
    row: u64,
    /// The bytes of one row.
    bytes: Vec<u8>,
    keys: Option<Keys>,
}

#[derive(Debug)]
struct Keys {
    name: String,
    lines: BufReader<File>,
}

impl NpySource {
    pub(crate) fn open(path: &Path, keys: Option<&Path>) -> Result<Self, SourceError> {
        let mut reader = BufReader::with_capacity(BUFFER, open(path)?);
        let header = Header::read(&mut reader).map_err(SourceError::file)?;
        let present = reader.get_ref().metadata().map_err(SourceError::file)?.len();
        let missing = header.end()?.saturating_sub(present);
        if missing > 0 {
            return Err(SourceError::file(format!("{missing} bytes are missing at the end")));
        }
        let keys = keys.map(|path| Keys::open(path, header.rows)).transpose()?;
        Ok(Self {
            bytes: vec![0; header.row_bytes()],
            header,
            reader,
            row: 0,
            keys,
        })
    }
}

impl RecordSource for NpySource {
    fn dimension(&self) -> Option<usize> {
        Some(self.header.columns)
    }

    fn size(&self) -> Size {
        Size::Rows(self.header.rows)
    }

    fn position(&self) -> u64 {
        self.row
    }

    fn skip(&mut self, rows: u64) -> Result<(), SourceError> {
        let rows = rows.min(self.header.rows);
        let offset = self.header.start + rows * self.header.row_bytes() as u64;
        self.reader.seek(SeekFrom::Start(offset)).map_err(SourceError::file)?;
        self.row = rows;
        if let Some(keys) = &mut self.keys {
            let mut key = String::new();
            for row in 0..rows {
                keys.next(row, &mut key)?;
            }
        }
        Ok(())
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, SourceError> {
        if self.row == self.header.rows {
            return Ok(false);
        }
        record.row = self.row;
        record.metadata.clear();
        match &mut self.keys {
            Some(keys) => keys.next(self.row, &mut record.key)?,
            None => record.key = self.row.to_string(),
        }
        self.reader
            .read_exact(&mut self.bytes)
            .map_err(|error| SourceError::record(self.row, error))?;
        record.vector.clear();
        self.header.item.append(&self.bytes, &mut record.vector);
        self.row += 1;
        Ok(true)
    }
}

impl Keys {
    /// Counts the lines first: keys that are shifted against their vectors must not reach the index.
    fn open(path: &Path, rows: u64) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let lines = || open(path).map(|file| BufReader::with_capacity(BUFFER, file));
        let mut keys = Self { name, lines: lines()? };
        let mut line = Vec::new();
        let mut count = 0_u64;
        while keys.read_line(&mut line)? {
            count += 1;
        }
        if count != rows {
            let reason = format!("the array has {rows} rows, but {} has {count} lines", keys.name);
            return Err(SourceError::file(reason));
        }
        keys.lines = lines()?;
        Ok(keys)
    }

    fn next(&mut self, row: u64, key: &mut String) -> Result<(), SourceError> {
        let mut line = std::mem::take(key).into_bytes();
        if !self.read_line(&mut line)? {
            return Err(SourceError::record(row, format!("{} has no line for it", self.name)));
        }
        *key = String::from_utf8(line)
            .map_err(|_| SourceError::record(row, format!("its key in {} is not UTF-8", self.name)))?;
        Ok(())
    }

    /// Reads a line without its end; false at the end of the file.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, SourceError> {
        line.clear();
        let read = self.lines.read_until(b'\n', line);
        let read = read.map_err(|error| SourceError::file(format!("{}: {error}", self.name)))?;
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        Ok(read > 0)
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|error| SourceError::file(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend_from_slice(&(dictionary.len() as u16).to_le_bytes());
        file.extend_from_slice(dictionary.as_bytes());
        file.extend_from_slice(data);
        file
    }

    fn records(file: &[u8], keys: Option<&str>, skip: u64) -> Result<Vec<(u64, String, Vec<f32>)>, SourceError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        std::fs::write(&path, file).unwrap();
        let keys_path = directory.path().join("keys.txt");
        std::fs::write(&keys_path, keys.unwrap_or_default()).unwrap();
        let mut source = NpySource::open(&path, keys.map(|_| keys_path.as_path()))?;
        source.skip(skip)?;
        let (mut record, mut all) = (Record::default(), Vec::new());
        while source.next(&mut record)? {
            all.push((record.row, record.key.clone(), record.vector.clone()));
        }
        assert_eq!(Size::Rows(source.position()), source.size());
        Ok(all)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn rows_are_keys() {
        let file = array("<f4", "(3, 2)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let all = records(&file, None, 0).unwrap();
        assert_eq!(all[0], (0, "0".to_owned(), vec![1.0, 2.0]));
        assert_eq!(all[2], (2, "2".to_owned(), vec![5.0, 6.0]));
        assert_eq!(records(&file, None, 2).unwrap(), &all[2..]);
        assert_eq!(records(&file, None, 9).unwrap(), &[]);
    }

    #[test]
    fn lines_are_keys() {
        let file = array("<f4", "(2, 1)", &floats(&[1.0, 2.0]));
        let all = records(&file, Some("ä b\r\nc"), 0).unwrap();
        assert_eq!(all, [(0, "ä b".to_owned(), vec![1.0]), (1, "c".to_owned(), vec![2.0])]);
        assert_eq!(
            records(&file, Some("a\nc\n"), 1).unwrap(),
            [(1, "c".to_owned(), vec![2.0])]
        );
        for (keys, lines) in [("a\n", 1), ("a\nb\nc\n", 3), ("", 0)] {
            let SourceError::File { reason } = records(&file, Some(keys), 0).unwrap_err() else {
                panic!()
            };
            assert!(
                reason.starts_with("the array has 2 rows, but ") && reason.ends_with(&format!(" has {lines} lines"))
            );
        }
    }

    #[test]
    fn files_that_were_cut_are_refused() {
        let file = array("<f8", "(2, 1)", &[0; 15]);
        assert_eq!(
            records(&file, None, 0),
            Err(SourceError::file("1 bytes are missing at the end"))
        );
    }

    #[test]
    fn no_rows() {
        assert_eq!(records(&array("<f4", "(0, 8)", &[]), None, 0), Ok(Vec::new()));
    }
}
