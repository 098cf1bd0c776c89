//! What is done, across runs: how many rows from the start of the file are in the index. Rows may be in the index
//! without being counted here, never the other way round; they are put again, which changes nothing.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::args::ImportArgs;
use super::error::ImportError;
use crate::client::{Client, IndexInfo};

const SCHEMA: u32 = 1;

/// What is imported where. Rows counted for one import say nothing about another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fingerprint {
    file: FileStamp,
    keys_file: Option<FileStamp>,
    /// How columns become records.
    mapping: String,
    endpoint: String,
    bucket: String,
    index: String,
    /// An index that was deleted and created again is empty.
    index_created: String,
}

/// Tells one state of a file from the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileStamp {
    bytes: u64,
    modified_ns: u128,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    schema: u32,
    rows_done: u64,
    import: Fingerprint,
}

/// The file beside the file.
#[derive(Debug)]
pub(crate) struct ProgressFile {
    path: PathBuf,
    import: Fingerprint,
    /// As last written.
    saved: Option<u64>,
}

impl Fingerprint {
    pub(crate) fn of(args: &ImportArgs, client: &Client, index: &IndexInfo) -> Result<Self, ImportError> {
        Ok(Self {
            file: FileStamp::of(&args.file)?,
            keys_file: args.keys_file.as_deref().map(FileStamp::of).transpose()?,
            mapping: format!("{:?} {:?}", args.format()?, args.mapping()),
            endpoint: client.endpoint().to_owned(),
            bucket: args.target.bucket.to_string(),
            index: args.target.index.to_string(),
            index_created: index.created.clone(),
        })
    }
}

impl FileStamp {
    fn of(path: &Path) -> Result<Self, ImportError> {
        let metadata = fs::metadata(path).map_err(|error| ImportError::file(path.display(), "read", &error))?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            bytes: Metadata::len(&metadata),
            modified_ns: modified.unwrap_or_default().as_nanos(),
        })
    }
}

impl ProgressFile {
    pub(crate) fn new(path: PathBuf, import: Fingerprint) -> Self {
        Self {
            path,
            import,
            saved: None,
        }
    }

    /// Rows that are done, and a note for the user when a file is there that does not help.
    pub(crate) fn load(&self) -> (u64, Option<String>) {
        let note = |what: &str| Some(format!("{}: {what}; beginning at the first row", self.path.display()));
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (0, None),
            Err(error) => return (0, note(&format!("cannot be read ({error})"))),
        };
        match serde_json::from_slice::<Saved>(&text) {
            Ok(saved) if saved.schema == SCHEMA && saved.import == self.import => (saved.rows_done, None),
            Ok(_) => (
                0,
                note("is about another import, or the file or the index has changed since"),
            ),
            Err(_) => (0, note("is no progress file")),
        }
    }

    /// Remembers that the first `rows` rows are in the index. Readers see the old or the new text.
    pub(crate) fn save(&mut self, rows: u64) -> Result<(), ImportError> {
        if self.saved == Some(rows) {
            return Ok(());
        }
        let failed = |error: io::Error| ImportError::file(self.path.display(), "write", &error);
        let saved = Saved {
            schema: SCHEMA,
            rows_done: rows,
            import: self.import.clone(),
        };
        let text = serde_json::to_vec_pretty(&saved).map_err(|error| failed(error.into()))?;
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(failed)?;
        self.saved = Some(rows);
        Ok(())
    }

    /// Everything is done.
    pub(crate) fn remove(&self) -> Result<(), ImportError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImportError::file(self.path.display(), "remove", &error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::import) fn fingerprint() -> Fingerprint {
        Fingerprint {
            file: FileStamp {
                bytes: 17,
                modified_ns: 1_795_342_500_123_456_789,
            },
            keys_file: None,
            mapping: "m".to_owned(),
            endpoint: "http://127.0.0.1:8080".to_owned(),
            bucket: "b".to_owned(),
            index: "i".to_owned(),
            index_created: "1795342500.123".to_owned(),
        }
    }

    #[test]
    fn remembers_until_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words.parquet.import-progress.json");
        let file = || ProgressFile::new(path.clone(), fingerprint());
        assert_eq!(file().load(), (0, None));
        let mut writing = file();
        writing.save(500).unwrap();
        writing.save(1000).unwrap();
        writing.save(1000).unwrap();
        assert_eq!(file().load(), (1000, None));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        writing.remove().unwrap();
        writing.remove().unwrap();
        assert_eq!(file().load(), (0, None));
    }

    #[test]
    fn another_import_begins_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.json");
        ProgressFile::new(path.clone(), fingerprint()).save(500).unwrap();
        let changes: [fn(&mut Fingerprint); 6] = [
            |import| import.file.bytes += 1,
            |import| import.file.modified_ns += 1,
            |import| {
                import.keys_file = Some(FileStamp {
                    bytes: 0,
                    modified_ns: 0,
                })
            },
            |import| import.mapping.push('x'),
            |import| import.index.push('x'),
            |import| import.index_created.push('1'),
        ];
        for change in changes {
            let mut import = fingerprint();
            change(&mut import);
            let (rows, note) = ProgressFile::new(path.clone(), import).load();
            assert_eq!(rows, 0);
            assert!(note.unwrap().contains("another import"));
        }
    }

    #[test]
    fn torn_files_do_not_stop_anything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.json");
        for text in ["", "{\"schema\":1,\"rowsDo", "[]"] {
            fs::write(&path, text).unwrap();
            let (rows, note) = ProgressFile::new(path.clone(), fingerprint()).load();
            assert_eq!(rows, 0);
            assert!(note.unwrap().contains("no progress file"));
        }
        let unwritable = directory.path().join("missing").join("p.json");
        assert!(ProgressFile::new(unwritable, fingerprint()).save(1).is_err());
    }
}
