//! The cache's calls on its directory; all of them block.
//!
//! A cached file is written under a temporary name and renamed, so nobody ever sees half of one but for a crash of the
//! machine, which its checksum finds: nothing is fsynced. A temporary file is locked (`flock`) while it is written: a
//! file that can be locked was left behind by a process that died.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::form::{self, FileName};
use super::index::Identity;
use crate::file_bytes;
use crate::paths::ObjectName;

/// Names tried for a temporary file: other processes may use the same ones, in another container even with the same
/// process id.
const NAME_ATTEMPTS: usize = 64;

/// The directory.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    next: AtomicU64,
}

/// A cached file, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    pub(super) identity: Identity,
}

/// A file that is being written, locked; it goes unless it is renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    // First, so that it is removed before the lock is let go.
    path: TemporaryPath,
    file: File,
}

impl Temporary {
    /// Locks it. Whoever looks for leftovers in this very moment may have done so first, and removed it.
    fn is_locked(&self) -> bool {
        let is_same = |found: Identity| identity(&self.file).is_ok_and(|own| own == found);
        self.file.try_lock().is_ok()
            && open_plain(&self.path.path)
                .and_then(|file| identity(&file))
                .is_ok_and(is_same)
    }
}

#[derive(Debug)]
struct TemporaryPath {
    path: PathBuf,
    is_renamed: bool,
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        if !self.is_renamed {
            // What cannot be removed now is removed by a later look.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A cached file that a look at the directory found.
#[derive(Debug)]
struct Found {
    file: FileName,
    size: u64,
    /// The later of its last use and its writing: seconds and nanoseconds.
    used: (i64, i64),
}

impl Files {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory exist. What it will hold is as private as the database.
    pub(super) fn create_directory(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    pub(super) fn open(&self, name: &FileName) -> io::Result<Opened> {
        let file = open_plain(&self.path_of(name))?;
        let identity = identity(&file)?;
        Ok(Opened { file, identity })
    }

    /// A file that is not there is removed.
    pub(super) fn remove(&self, name: &FileName) -> io::Result<()> {
        match fs::remove_file(self.path_of(name)) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the file of an object and gives it its name, over whatever has it.
    pub(super) fn write(&self, name: &FileName, object: &ObjectName, bytes: &[u8]) -> io::Result<Opened> {
        let Temporary { mut path, file } = self.write_temporary(object, bytes)?;
        fs::rename(&path.path, self.path_of(name))?;
        path.is_renamed = true;
        let identity = identity(&file)?;
        Ok(Opened { file, identity })
    }

    pub(super) fn write_temporary(&self, object: &ObjectName, bytes: &[u8]) -> io::Result<Temporary> {
        let mut temporary = self.create_temporary()?;
        temporary.file.write_all(bytes)?;
        temporary.file.write_all(&form::footer(object, bytes))?;
        Ok(temporary)
    }

    fn create_temporary(&self) -> io::Result<Temporary> {
        for _ in 0..NAME_ATTEMPTS {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(form::temporary_name(std::process::id(), number));
            let created = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match created {
                Ok(file) => {
                    let is_renamed = false;
                    let path = TemporaryPath { path, is_renamed };
                    let temporary = Temporary { path, file };
                    if temporary.is_locked() {
                        return Ok(temporary);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The cached files with the space they take, those used longest ago first. Removes temporary files of dead
    /// processes on the way; files of any other name are not ours. A missing directory has no files.
    pub(super) fn look(&self) -> io::Result<Vec<(FileName, u64)>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(file_name) = entry.file_name().into_string() else {
                continue;
            };
            if form::is_temporary(&file_name) {
                remove_if_abandoned(&entry.path());
            } else if let Some(file) = FileName::parse(&file_name)
                // Who vanishes meanwhile is not there.
                && let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                let read = (metadata.atime(), metadata.atime_nsec());
                let written = (metadata.mtime(), metadata.mtime_nsec());
                found.push(Found {
                    file,
                    size: form::disk_bytes(metadata.len()),
                    used: read.max(written),
                });
            }
        }
        found.sort_by(|one, other| (one.used, &one.file).cmp(&(other.used, &other.file)));
        Ok(found.into_iter().map(|found| (found.file, found.size)).collect())
    }

    fn path_of(&self, name: &FileName) -> PathBuf {
        self.directory.join(name.as_str())
    }
}

impl Opened {
    /// The space it takes.
    pub(super) fn size(&self) -> u64 {
        form::disk_bytes(self.identity.length)
    }

    /// The whole file, its footer included.
    pub(super) fn read(&mut self) -> io::Result<Bytes> {
        file_bytes::whole(&mut self.file, self.identity.length)
    }

    /// The whole file as a map; `None` when it is so small that a copy in memory serves better.
    pub(super) fn map(&self) -> io::Result<Option<Bytes>> {
        let is_large = self.identity.length > file_bytes::MAPPED_FROM;
        is_large.then(|| file_bytes::map(&self.file)).transpose()
    }

    /// A part of the object; `None` when the range leaves it.
    pub(super) fn part(&self, range: &Range<u64>) -> io::Result<Option<Bytes>> {
        let length = form::object_length(self.identity.length);
        file_bytes::part(&self.file, length, range)
    }

    /// Notes the use in the file's access time, which mounts keep coarsely or not at all by themselves: the order of
    /// use outlives the process. In a directory that cannot be written it does not.
    pub(super) fn touch(&self) {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            },
            last_modification: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
        };
        let _ = rustix::fs::futimens(&self.file, &times);
    }
}

/// The object in a sound file's bytes.
pub(super) fn object_of(file: &Bytes) -> Bytes {
    let length = form::object_length(file.len() as u64);
    // Not longer than the file, so it fits.
    file.slice(..usize::try_from(length).unwrap_or(0))
}

/// Neither follows a link nor waits for a pipe: whatever lies there was not made by us.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// Removes a temporary file whose writer has died; what cannot be told or removed stays.
fn remove_if_abandoned(path: &Path) {
    let Ok(file) = open_plain(path) else {
        return;
    };
    if file.try_lock().is_ok() {
        let _ = fs::remove_file(path);
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
