//! The object store's calls on files; all of them block.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::durable::{Durability, Space, WriteFailure, is_full};
use super::listing::Listing;
use super::lock::DirectoryLock;
use crate::error::StoreError;
use crate::etag;
use crate::file_bytes;
use crate::objects::{ETag, ObjectMeta};
use crate::paths::{self, ObjectName};

/// The longest file name of all common file systems.
const LONGEST_COMPONENT: usize = 255;

/// The files of one store.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// `None`: opened for reading.
    durability: Option<Durability>,
    _lock: Option<DirectoryLock>,
}

impl Files {
    pub(super) fn new(root: PathBuf, durability: Option<Durability>, lock: Option<DirectoryLock>) -> Self {
        Self {
            root,
            durability,
            _lock: lock,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn put(&self, name: &ObjectName, bytes: &[u8], space: Space) -> Result<(), StoreError> {
        let path = self.path_of(name)?;
        let durability = self.writable(name)?;
        match durability.write_new(&path, bytes, space) {
            Ok(()) => Ok(()),
            Err(WriteFailure::Exists) => {
                if *self.get(name)? != *bytes {
                    return Err(StoreError::conflict(name));
                }
                // Whoever wrote it may not have come to its fsync.
                let directory = path.parent().unwrap_or(&self.root);
                durability
                    .sync_directory(directory)
                    .map_err(|error| write_error(name, WriteFailure::Unknown(error)))
            }
            Err(failure) => Err(write_error(name, failure)),
        }
    }

    pub(super) fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<ETag, StoreError> {
        let path = self.path_of(name)?;
        self.writable(name)?
            .write_new(&path, bytes, Space::Free)
            .map_err(|failure| write_error(name, failure))?;
        Ok(etag::of(bytes))
    }

    /// The caller keeps every other replace of the same name out.
    pub(super) fn replace(&self, name: &ObjectName, bytes: &[u8], expected: &ETag) -> Result<ETag, StoreError> {
        let path = self.path_of(name)?;
        let durability = self.writable(name)?;
        let (_, current) = self.read_tagged(name)?;
        if current != *expected {
            return Err(StoreError::conflict(name));
        }
        durability
            .write_over(&path, bytes)
            .map_err(|failure| write_error(name, failure))?;
        Ok(etag::of(bytes))
    }

    pub(super) fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        let mut file = self.open(name)?;
        let size = file.metadata().map_err(|error| read_error(name, error))?.len();
        file_bytes::whole(&mut file, size).map_err(|error| read_error(name, error))
    }

    pub(super) fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let file = self.open(name)?;
        let size = file.metadata().map_err(|error| read_error(name, error))?.len();
        let part = file_bytes::part(&file, size, &range).map_err(|error| read_error(name, error))?;
        part.ok_or_else(|| StoreError::corrupt(name, format!("it has {size} bytes, not {range:?}")))
    }

    /// Documents are small and change: they are always read.
    pub(super) fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        let mut bytes = Vec::new();
        self.open(name)?
            .read_to_end(&mut bytes)
            .map_err(|error| read_error(name, error))?;
        let etag = etag::of(&bytes);
        Ok((Bytes::from(bytes), etag))
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        // The deepest directory that holds everything with the prefix; the root holds files that are not objects.
        let inside = prefix
            .rfind('/')
            .map_or("", |slash| prefix.get(..=slash).unwrap_or_default());
        let inside = if inside.is_empty() { paths::ROOT } else { inside };
        let is_sound = inside.split_terminator('/').all(is_sound_component);
        if !inside.starts_with(paths::ROOT) || !is_sound {
            return Ok(Vec::new());
        }
        let directory = self.root.join(inside);
        let after = after.map_or("", ObjectName::as_str);
        let mut listing = Listing {
            prefix,
            after,
            limit,
            found: Vec::new(),
        };
        listing
            .walk(&directory, inside)
            .map_err(|error| read_error(prefix, error))?;
        Ok(listing.found)
    }

    pub(super) fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        for name in names {
            let path = self.path_of(name)?;
            let durability = self.writable(name)?;
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) => match read_error(name, error) {
                    StoreError::NotFound { .. } => continue,
                    error => return Err(error),
                },
            }
            // No fsync: what comes back after a power failure is garbage that is collected again.
            if let Some(directory) = path.parent() {
                durability.remove_empty(directory, &self.root.join(paths::ROOT));
            }
        }
        Ok(())
    }

    fn open(&self, name: &ObjectName) -> Result<File, StoreError> {
        let path = self.path_of(name)?;
        if let (Some(durability), Some(directory)) = (&self.durability, path.parent()) {
            let checked = durability.check_directory(directory);
            checked.map_err(|error| StoreError::unknown_because(format!("reading {name}"), error))?;
        }
        let file = File::open(&path).map_err(|error| read_error(name, error))?;
        let is_directory = file.metadata().is_ok_and(|metadata| metadata.is_dir());
        if is_directory {
            Err(StoreError::not_found(name))
        } else {
            Ok(file)
        }
    }

    fn writable(&self, name: &ObjectName) -> Result<&Durability, StoreError> {
        let read_only = || StoreError::other(format!("writing {name}: the directory is open for reading only"));
        self.durability.as_ref().ok_or_else(read_only)
    }

    fn path_of(&self, name: &ObjectName) -> Result<PathBuf, StoreError> {
        let text = name.as_str();
        if text.starts_with(paths::ROOT) && text.split('/').all(is_sound_component) {
            return Ok(self.root.join(text));
        }
        Err(StoreError::other(format!("{text:?} cannot be a file's name")))
    }
}

fn is_sound_component(component: &str) -> bool {
    let is_special = matches!(component, "" | "." | "..");
    !is_special && component.len() <= LONGEST_COMPONENT && !component.contains('\0')
}

fn read_error(name: impl ToString, error: io::Error) -> StoreError {
    let name = name.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotFound { name },
        _ if is_out_of_files(&error) => StoreError::throttled(name),
        _ => StoreError::other_because(format!("accessing {name}"), error),
    }
}

fn write_error(name: &ObjectName, failure: WriteFailure) -> StoreError {
    match failure {
        WriteFailure::Exists => StoreError::conflict(name),
        WriteFailure::Unknown(error) => StoreError::unknown_because(format!("writing {name}"), error),
        WriteFailure::NotWritten(error) if is_full(&error) => StoreError::full(name),
        WriteFailure::NotWritten(error) if is_out_of_files(&error) => StoreError::throttled(name),
        WriteFailure::NotWritten(error) => StoreError::other_because(format!("writing {name}"), error),
    }
}

/// Too many open files, here or in the whole system: passes.
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}
