//! Finding, keeping and letting go of cached files: the index and the directory together. Everything here blocks.
//!
//! The index may be wrong about the directory, since others change that too; the directory decides. A file that is
//! missing is fetched again, one that the index does not know is found all the same, and a look at the directory every
//! now and then counts what other processes have brought.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::files::{self, Files, Opened};
use super::flights::Unwanted;
use super::form::{self, FileName};
use super::index::{Index, Victim};
use super::meter::{DiskCacheUsage, Meter};
use crate::paths::ObjectName;

/// The directory is looked at again when this share of the limit has been written since the last time.
const LOOK_SHARE: u64 = 16;

/// An object and its file.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: ObjectName,
    pub(super) file: FileName,
}

/// How much the index knows about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it may be there all the same.
    Unknown,
    /// It was there; this process has not verified it.
    Present,
    /// It was there and sound.
    Verified,
}

/// The files of one cache.
#[derive(Debug)]
pub(super) struct Keeper {
    files: Files,
    index: Mutex<Index>,
    pub(super) meter: Meter,
    limit: u64,
    /// Bytes written since the directory was last looked at.
    unseen: AtomicU64,
    /// Held while files go: space that the index has given up is free once they are gone, not before.
    clearing: Mutex<()>,
}

/// Space that is reserved for one file.
struct Room<'a> {
    keeper: &'a Keeper,
    size: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.keeper.index().release(self.size);
    }
}

impl Keeper {
    pub(super) fn new(files: Files, limit: u64) -> Self {
        Self {
            files,
            index: Mutex::new(Index::new(limit)),
            meter: Meter::default(),
            limit,
            unseen: AtomicU64::new(0),
            clearing: Mutex::default(),
        }
    }

    /// Learns what the directory holds. One that cannot be used is reported, and tried again with every file.
    pub(super) fn begin(&self) {
        match self.files.create_directory().and_then(|()| self.look()) {
            Ok(()) => {
                let usage = self.usage();
                let directory = self.files.directory().display();
                tracing::info!(%directory, usage.files, usage.bytes, usage.limit_bytes, "disk cache opened");
            }
            Err(error) => self.report(&error),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been counted, and what is held.
    pub(super) fn usage(&self) -> DiskCacheUsage {
        let index = self.index();
        DiskCacheUsage {
            files: index.files(),
            bytes: index.size(),
            limit_bytes: self.limit,
            ..self.meter.read()
        }
    }

    /// Whether an object of this length can be kept at all.
    pub(super) fn has_room_for(&self, size: u64) -> bool {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        form::disk_bytes(form::file_length(length)) <= self.limit
    }

    /// Counts a use of a file in the order of use.
    pub(super) fn touch(&self, file: &FileName) -> Known {
        match self.index().touch(file) {
            None => Known::Unknown,
            Some(None) => Known::Present,
            Some(Some(_)) => Known::Verified,
        }
    }

    /// The object, when its file is there and sound. A file that is not what was written is removed.
    pub(super) fn find(&self, target: &Target) -> Option<Bytes> {
        let mut opened = self.open_file(target)?;
        let is_trusted = self.index().verified(&target.file) == Some(opened.identity);
        let file = opened.read().ok()?;
        if !is_trusted {
            if let Err(reason) = form::check(&target.name, &file) {
                self.drop_corrupt(target, reason);
                return None;
            }
            self.trust(target, &opened);
        }
        opened.touch();
        Some(files::object_of(&file))
    }

    /// Remembers a verified file. It may have been unknown: another process brought it.
    fn trust(&self, target: &Target, opened: &Opened) {
        let cleared = self.clear(|index| {
            index.insert(&target.file, opened.size(), Some(opened.identity));
            Some(index.overflow())
        });
        if let Err(error) = cleared {
            self.report(&error);
        }
    }

    /// A part of the object, when its file is there and this process has verified that very file; the inner `None`
    /// when the range leaves the object.
    pub(super) fn find_part(&self, target: &Target, range: &Range<u64>) -> Option<Option<Bytes>> {
        let opened = self.open_file(target)?;
        if self.index().verified(&target.file) != Some(opened.identity) {
            // Somebody has replaced it: the next request verifies it.
            self.index().insert(&target.file, opened.size(), None);
            return None;
        }
        let part = opened.part(range).ok()?;
        opened.touch();
        Some(part)
    }

    fn open_file(&self, target: &Target) -> Option<Opened> {
        let before = self.index().now();
        match self.files.open(&target.file) {
            Ok(opened) => Some(opened),
            Err(error) => {
                if files::is_absent(&error) {
                    self.index().remove_absent(&target.file, before);
                }
                // Anything else passes, or is written over.
                None
            }
        }
    }

    /// Removes the file of an object whose bytes are not what they must be. Whether there was one.
    pub(super) fn drop_corrupt(&self, target: &Target, reason: &str) -> bool {
        let was_there = self.let_go(target);
        if was_there && self.meter.corrupt().is_power_of_two() {
            tracing::warn!(object = %target.name, reason, "a cached file is corrupt: it is fetched again");
        }
        was_there
    }

    /// Removes an object's file. Whether there was one.
    pub(super) fn let_go(&self, target: &Target) -> bool {
        let was_known = self.index().remove(&target.file).is_some();
        let was_there = self.files.open(&target.file).is_ok();
        if let Err(error) = self.files.remove(&target.file) {
            self.report(&error);
        }
        was_known || was_there
    }

    /// Writes an object's file, if it is wanted still and there is room for it. The object as a view of that file
    /// where that saves memory; the bytes as they came in every other case.
    pub(super) fn keep(&self, target: &Target, bytes: Bytes, unwanted: &Unwanted) -> Bytes {
        match self.try_keep(target, &bytes, unwanted) {
            Ok(Some(mapped)) => mapped,
            Ok(None) => bytes,
            Err(error) => {
                self.report(&error);
                bytes
            }
        }
    }

    fn try_keep(&self, target: &Target, bytes: &Bytes, unwanted: &Unwanted) -> io::Result<Option<Bytes>> {
        let size = form::disk_bytes(form::file_length(bytes.len()));
        let Some(room) = self.make_room(size)? else {
            return Ok(None);
        };
        let opened = self.write(target, bytes, size)?;
        let is_wanted = {
            // Whoever deletes it sets the mark first and then takes the file out of the index.
            let mut index = self.index();
            let is_wanted = !unwanted.is_set();
            if is_wanted {
                index.insert(&target.file, size, Some(opened.identity));
            }
            is_wanted
        };
        drop(room);
        if !is_wanted {
            self.files.remove(&target.file)?;
        }
        self.look_if_due(size);
        // What cannot be mapped now is answered as it came.
        let mapped = opened.map().ok().flatten();
        Ok(mapped.map(|file| files::object_of(&file)))
    }

    fn write(&self, target: &Target, bytes: &Bytes, size: u64) -> io::Result<Opened> {
        let write = || self.files.write(&target.file, &target.name, bytes);
        match write() {
            Err(error) if files::is_absent(&error) => {
                // Somebody has removed the directory under our feet.
                self.files.create_directory()?;
                self.look()?;
                write()
            }
            Err(error) if files::is_full(&error) => {
                // Others use the disk as well: less than the limit has to do.
                let removed = self.clear(|index| Some(index.oldest_of(size)))?;
                if removed == Some(0) { Err(error) } else { write() }
            }
            written => written,
        }
    }

    /// Space for a file, after those used longest ago have gone for it; `None` when it cannot have so much.
    fn make_room(&self, size: u64) -> io::Result<Option<Room<'_>>> {
        let mut room = None;
        let cleared = self.clear(|index| {
            let victims = index.reserve(size)?;
            room = Some(Room { keeper: self, size });
            Some(victims)
        });
        cleared.map(|_| room)
    }

    /// Removes the files that the index gives up, if it does. How many that were; those that cannot be removed are
    /// counted on, and are an error.
    fn clear(&self, give_up: impl FnOnce(&mut Index) -> Option<Vec<Victim>>) -> io::Result<Option<usize>> {
        let _clearing = self.clearing.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = give_up(&mut self.index());
        let Some(victims) = given_up else {
            return Ok(None);
        };
        let mut outcome = Ok(Some(victims.len()));
        // Backwards, so that those put back stand in their old order.
        for victim in victims.iter().rev() {
            match self.files.remove(&victim.file) {
                Ok(()) => self.meter.evicted(victim.size),
                Err(error) => {
                    self.index().put_back(victim);
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    /// Counts what is in the directory, and makes it keep to the limit.
    fn look(&self) -> io::Result<()> {
        self.unseen.store(0, Ordering::Relaxed);
        let before = self.index().now();
        let found = self.files.look()?;
        let cleared = self.clear(|index| {
            index.adopt(&found, before);
            Some(index.overflow())
        });
        cleared.map(|_| ())
    }

    /// Other processes write into the directory as well.
    fn look_if_due(&self, written: u64) {
        let unseen = self.unseen.fetch_add(written, Ordering::Relaxed) + written;
        if unseen > self.limit / LOOK_SHARE
            && let Err(error) = self.look()
        {
            self.report(&error);
        }
    }

    /// Counts an object that could not be kept, and says so now and then.
    fn report(&self, error: &io::Error) {
        if self.meter.write_failed().is_power_of_two() {
            tracing::warn!(
                directory = %self.files.directory().display(), %error,
                "the disk cache cannot be written: objects are read from the store instead"
            );
        }
    }
}
