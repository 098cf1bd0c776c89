//! Space that is kept back for deletions: on a full disk nothing could be deleted otherwise, since a deletion is written
//! before it takes effect.
//!
//! A file of blocks that nothing is stored in. It is cut by what a deletion needs when the disk is full, and grows again
//! afterwards. Best effort throughout: without it a deletion on a full disk is refused as any other write.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

/// The file's name inside the directory.
const RESERVE_FILE: &str = "reserve";
/// Room for the largest deletion by keys of common length and for some thirty deletions of an index.
const RESERVE_BYTES: u64 = 128 * 1024;
/// Whatever a file needs beside its bytes: directories, rounding.
const MARGIN_BYTES: u64 = 16 * 1024;

/// The reserve of one store.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    turn: Mutex<()>,
}

/// Space that a deletion may use until this is dropped.
pub(super) struct Lent<'a> {
    reserve: &'a Reserve,
    _turn: MutexGuard<'a, ()>,
}

impl Reserve {
    /// Keeps the space, if there is any.
    pub(super) fn open(root: &Path) -> Self {
        let reserve = Self {
            path: root.join(RESERVE_FILE),
            turn: Mutex::default(),
        };
        reserve.fill();
        reserve
    }

    /// Makes room for a file of so many bytes; `None` when nothing is kept.
    pub(super) fn lend(&self, bytes: usize) -> Option<Lent<'_>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().write(true).open(&self.path).ok()?;
        let kept = file.metadata().ok()?.len();
        if kept == 0 {
            return None;
        }
        let needed = MARGIN_BYTES.saturating_add(bytes as u64);
        file.set_len(kept.saturating_sub(needed)).ok()?;
        Some(Lent {
            reserve: self,
            _turn: turn,
        })
    }

    fn fill(&self) {
        if let Err(error) = self.try_fill() {
            tracing::debug!(%error, "no space is kept back for deletions");
        }
    }

    /// As much as there is room for, in halves.
    fn try_fill(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        let kept = file.metadata()?.len();
        let mut wanted = RESERVE_BYTES;
        while wanted > kept {
            match allocate(&file, wanted) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    // What a failed call has allocated behind the end of the file is given back.
                    file.set_len(kept)?;
                    wanted = kept + (wanted - kept) / 2;
                    if wanted - kept < MARGIN_BYTES / 4 {
                        return Ok(());
                    }
                }
                allocated => return allocated,
            }
        }
        Ok(())
    }
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.reserve.fill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_by_what_is_needed_and_grows_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::open(folder.path());
        let kept = || std::fs::metadata(folder.path().join(RESERVE_FILE)).unwrap().len();
        assert_eq!(kept(), RESERVE_BYTES);
        let lent = reserve.lend(4096).unwrap();
        assert_eq!(kept(), RESERVE_BYTES - MARGIN_BYTES - 4096);
        drop(lent);
        assert_eq!(kept(), RESERVE_BYTES);
        let lent = reserve.lend(1 << 20).unwrap();
        assert_eq!(kept(), 0, "all of it");
        drop(lent);
        drop(reserve);
        let _again = Reserve::open(folder.path());
        assert_eq!(kept(), RESERVE_BYTES);
    }
}
