//! What makes a write last: temporary files, fsync of files, of directories and of every new parent.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::RenameFlags;

use super::Hooks;
use super::reserve::Reserve;

const TEMPORARY: &str = ".tmp";
const SUFFIX: &str = ".part";
/// Directories remembered as durable; forgetting one costs an fsync.
const KEPT_DIRECTORIES: usize = 100_000;

pub(crate) type SyncHook = Box<dyn Fn(&File, &Path) -> io::Result<()> + Send + Sync>;

/// How a write failed.
#[derive(Debug)]
pub(super) enum WriteFailure {
    /// Something has the name already.
    Exists,
    /// Nothing was written.
    NotWritten(io::Error),
    /// It may have been written, and may not last.
    Unknown(io::Error),
}

/// Writes files so that they last.
pub(super) struct Durability {
    root: PathBuf,
    sync: SyncHook,
    next: AtomicU64,
    /// Directories whose own entry, and those of all above, this process has brought to the disk.
    durable: Mutex<HashSet<PathBuf>>,
    /// Held while directories come or go.
    changing: Mutex<()>,
    /// Directories whose last fsync failed: what is seen in them may not last.
    doubtful: Mutex<HashSet<PathBuf>>,
    any_doubtful: AtomicBool,
    reserve: Reserve,
}

/// What a write may use when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Nothing: it fails.
    Free,
    /// What is kept back for deletions.
    Reserve,
}

impl std::fmt::Debug for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durability")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Creates the store's own directory, and those above it, so that they last.
pub(super) fn create_root(path: &Path, hooks: &Hooks) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut current = Some(path);
    while let Some(directory) = current.filter(|directory| !directory.as_os_str().is_empty()) {
        if directory.is_dir() {
            break;
        }
        missing.push(directory);
        current = directory.parent();
    }
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let parent = directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        (hooks.sync)(&File::open(parent)?, parent)?;
    }
    Ok(())
}

impl Durability {
    /// Removes what a crash has left, too.
    pub(super) fn open(root: &Path, sync: SyncHook) -> io::Result<Self> {
        let temporary = root.join(TEMPORARY);
        match fs::create_dir(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for entry in fs::read_dir(&temporary)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == &SUFFIX[1..]) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            root: root.to_owned(),
            sync,
            next: AtomicU64::new(0),
            durable: Mutex::default(),
            changing: Mutex::default(),
            doubtful: Mutex::default(),
            any_doubtful: AtomicBool::new(false),
            reserve: Reserve::open(root),
        })
    }

    /// Writes a file whose name is free.
    pub(super) fn write_new(&self, path: &Path, bytes: &[u8], space: Space) -> Result<(), WriteFailure> {
        self.write(path, bytes, space, rename_if_free)
    }

    /// Writes a file over the one that has the name, whose space is free afterwards.
    pub(super) fn write_over(&self, path: &Path, bytes: &[u8]) -> Result<(), WriteFailure> {
        self.write(path, bytes, Space::Reserve, |from, to| fs::rename(from, to))
    }

    fn write(
        &self,
        path: &Path,
        bytes: &[u8],
        space: Space,
        rename: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), WriteFailure> {
        let written = self.try_write(path, bytes, &rename);
        if space == Space::Reserve
            && matches!(&written, Err(WriteFailure::NotWritten(error)) if is_full(error))
            && let Some(_lent) = self.reserve.lend(bytes.len())
        {
            return self.try_write(path, bytes, &rename);
        }
        written
    }

    fn try_write(
        &self,
        path: &Path,
        bytes: &[u8],
        rename: &impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), WriteFailure> {
        let directory = path
            .parent()
            .ok_or_else(|| WriteFailure::NotWritten(io::ErrorKind::InvalidInput.into()))?;
        self.ensure_directory(directory).map_err(WriteFailure::NotWritten)?;
        let mut temporary = self.write_temporary(bytes)?;
        let mut renamed = rename(&temporary.path, path);
        if renamed
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            // The directory was removed because it was empty; it stays while this lock is held.
            let _changing = lock(&self.changing);
            self.create_directories(directory).map_err(WriteFailure::NotWritten)?;
            renamed = rename(&temporary.path, path);
        }
        match renamed {
            Ok(()) => temporary.is_renamed = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(WriteFailure::Exists),
            Err(error) => return Err(WriteFailure::NotWritten(error)),
        }
        self.sync_directory(directory).map_err(WriteFailure::Unknown)
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<Temporary, WriteFailure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self
            .root
            .join(TEMPORARY)
            .join(format!("{}-{number}{SUFFIX}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(WriteFailure::NotWritten)?;
        // From here on a failure takes the file away again.
        let temporary = Temporary {
            path,
            is_renamed: false,
        };
        file.write_all(bytes).map_err(WriteFailure::NotWritten)?;
        (self.sync)(&file, &temporary.path).map_err(|error| {
            if is_full(&error) {
                WriteFailure::NotWritten(error)
            } else {
                WriteFailure::Unknown(error)
            }
        })?;
        Ok(temporary)
    }

    /// Brings a directory's entries to the disk. While that fails, nothing in it may be believed.
    pub(super) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let synced = match File::open(directory) {
            Ok(file) => (self.sync)(&file, directory),
            // It became empty and was removed: nothing of it is left to last.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        let mut doubtful = lock(&self.doubtful);
        match synced {
            Ok(()) => doubtful.remove(directory),
            Err(_) => doubtful.insert(directory.to_owned()),
        };
        self.any_doubtful.store(!doubtful.is_empty(), Ordering::SeqCst);
        synced
    }

    /// To be called before anything is read from a directory: after a failed fsync, what is seen may not last, and
    /// must not be taken for a commit.
    pub(super) fn check_directory(&self, directory: &Path) -> io::Result<()> {
        if !self.any_doubtful.load(Ordering::SeqCst) {
            return Ok(());
        }
        let is_doubtful = lock(&self.doubtful).contains(directory);
        if is_doubtful {
            self.sync_directory(directory)
        } else {
            Ok(())
        }
    }

    /// Makes a directory and those above it exist, and last. A directory that merely exists may be a crash's leftover
    /// whose entry has never reached the disk.
    fn ensure_directory(&self, directory: &Path) -> io::Result<()> {
        if lock(&self.durable).contains(directory) {
            return Ok(());
        }
        let _changing = lock(&self.changing);
        self.create_directories(directory)
    }

    /// Behind `changing`.
    fn create_directories(&self, directory: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> = directory
            .ancestors()
            .take_while(|above| *above != self.root && above.starts_with(&self.root))
            .collect();
        above.reverse();
        for directory in above {
            let is_new = match fs::create_dir(directory) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            };
            if !is_new && lock(&self.durable).contains(directory) {
                continue;
            }
            if let Some(parent) = directory.parent() {
                self.sync_directory(parent)?;
            }
            let mut durable = lock(&self.durable);
            if durable.len() >= KEPT_DIRECTORIES {
                durable.clear();
            }
            durable.insert(directory.to_owned());
        }
        Ok(())
    }

    /// Removes directories that have become empty, from this one upwards.
    pub(super) fn remove_empty(&self, directory: &Path, upto: &Path) {
        let _changing = lock(&self.changing);
        for directory in directory
            .ancestors()
            .take_while(|above| *above != upto && above.starts_with(upto))
        {
            if fs::remove_dir(directory).is_err() {
                return;
            }
            // A writer that still believes in it fails to rename, and then asks again behind `changing`.
            lock(&self.durable).remove(directory);
            lock(&self.doubtful).remove(directory);
        }
    }
}

/// No space, or none for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file in `.tmp` that goes unless it was renamed.
struct Temporary {
    path: PathBuf,
    is_renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // What cannot be removed now is removed at the next open.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames only to a free name, in one step.
fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // The file system lacks the flag: a hard link refuses an existing name as well.
            fs::hard_link(from, to)?;
            let _ = fs::remove_file(from);
            Ok(())
        }
        renamed => Ok(renamed?),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
