//! Objects in a directory of a local file system.
//!
//! * One server: `lock` is held with `flock` for the server's life; readers beside it write nothing.
//! * A write is a file in `.tmp`, its fsync, a rename, and the fsync of the directory (and, once, of every directory
//!   above it): acknowledged means on the disk. What a crash leaves in `.tmp` is removed at the next open.
//! * An object never changes under a reader: versions of a document replace each other by rename.
//! * File system calls run on the blocking threads, a bounded number at a time. A write that has begun is finished
//!   even if its future is dropped.
//!
//! | module | what it holds |
//! |---|---|
//! | `files` | the calls themselves, blocking |
//! | `durable` | temporary files, fsync, directories |
//! | `reserve` | space that is kept back for deletions |
//! | `listing` | names in order |
//! | `lock`, `mount` | who may open a directory, and on which file systems |

mod durable;
mod files;
mod listing;
mod lock;
mod mount;
mod reserve;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::error::StoreError;
use crate::locks::KeyedLocks;
use crate::objects::{ETag, ObjectMeta, ObjectStore, Reach};
use crate::paths::ObjectName;
use durable::{Durability, Space};
use files::Files;
use lock::DirectoryLock;

/// File system calls at a time.
const PARALLEL_CALLS: usize = 64;

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("{} is in use by another server{}", directory.display(), process(*pid))]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The other server's process, if it says.
        pid: Option<u32>,
    },
    /// It lies on a file system whose locks and fsync cannot be trusted.
    #[error("{} is on a network file system ({kind}), which cannot hold a database: use a local disk", directory.display())]
    NetworkFileSystem {
        /// The directory.
        directory: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// There is no store to read.
    #[error("{} does not exist", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// A file system call failed.
    #[error("cannot open {}: {source}", directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What tests replace.
pub(crate) struct Hooks {
    /// The kind of file system below a path.
    pub(crate) file_system: fn(&Path) -> io::Result<mount::FileSystem>,
    /// Brings a file or a directory to the disk.
    pub(crate) sync: durable::SyncHook,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            file_system: mount::file_system,
            sync: Box::new(|file, _| file.sync_all()),
        }
    }
}

/// Objects in a directory. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Directory {
    files: Arc<Files>,
    calls: Arc<Semaphore>,
    /// Reading a document's version and replacing it is one step within this process, the only one that writes.
    names: Arc<KeyedLocks<ObjectName>>,
}

impl Directory {
    /// Opens a directory as its only server, creating it when missing.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), Hooks::default())
    }

    pub(crate) fn open_with(path: &Path, hooks: Hooks) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            directory: path.to_owned(),
            source,
        };
        durable::create_root(path, &hooks).map_err(failed)?;
        let root = path.canonicalize().map_err(failed)?;
        let file_system = (hooks.file_system)(&root).map_err(failed)?;
        if let Some(kind) = mount::network_kind(&file_system) {
            return Err(OpenError::NetworkFileSystem {
                directory: path.to_owned(),
                kind,
            });
        }
        let lock = DirectoryLock::take(&root)?;
        let durability = Durability::open(&root, hooks.sync).map_err(failed)?;
        Ok(Self::assemble(Files::new(root, Some(durability), Some(lock))))
    }

    /// Opens a directory for reading, beside whoever serves it.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let root = path.canonicalize().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::Missing {
                directory: path.to_owned(),
            },
            _ => OpenError::Io {
                directory: path.to_owned(),
                source,
            },
        })?;
        Ok(Self::assemble(Files::new(root, None, None)))
    }

    fn assemble(files: Files) -> Self {
        Self {
            files: Arc::new(files),
            calls: Arc::new(Semaphore::new(PARALLEL_CALLS)),
            names: Arc::new(KeyedLocks::new()),
        }
    }

    /// The directory, as an absolute path.
    pub fn path(&self) -> &Path {
        self.files.root()
    }

    /// Runs a call on a blocking thread. `held` is let go when the call is over, not when the caller loses interest.
    async fn call<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        work: impl FnOnce(&Files) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.calls).acquire_owned().await;
        let files = Arc::clone(&self.files);
        let joined = tokio::task::spawn_blocking(move || {
            let answer = work(&files);
            drop((permit, held));
            answer
        })
        .await;
        joined.unwrap_or_else(|error| Err(StoreError::unknown_because("a file system call", error)))
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        let name = name.clone();
        self.call((), move |files| files.put(&name, &bytes, Space::Free)).await
    }

    async fn put_from_reserve(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        let name = name.clone();
        self.call((), move |files| files.put(&name, &bytes, Space::Reserve))
            .await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        let name = name.clone();
        self.call((), move |files| files.get(&name)).await
    }

    fn reach(&self, _: &ObjectName, _: u64) -> Reach {
        Reach::AtHand
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = name.clone();
        self.call((), move |files| files.get_range(&name, range)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.call((), move |files| files.list(&prefix, after.as_ref(), limit))
            .await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        let names = names.to_vec();
        self.call((), move |files| files.delete(&names)).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        let name = name.clone();
        self.call((), move |files| files.read_tagged(&name)).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        let name = name.clone();
        self.call((), move |files| files.create(&name, &bytes)).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        let (name, expected) = (name.clone(), expected.clone());
        let turn = self.names.lock(&name).await;
        self.call(turn, move |files| files.replace(&name, &bytes, &expected))
            .await
    }
}

#[cfg(test)]
mod tests;
