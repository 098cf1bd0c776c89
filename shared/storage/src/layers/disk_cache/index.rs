//! Which files the cache has, how much space they take, and which of them was used longest ago. No I/O.

use std::collections::{BTreeMap, HashMap};

use super::form::FileName;

/// Tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

#[derive(Debug)]
struct Entry {
    /// Space on the disk.
    size: u64,
    /// The number of its last use.
    used: u64,
    /// The version whose checksum this process has verified.
    verified: Option<Identity>,
}

/// A file that has to go, and what it takes to put it back.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) file: FileName,
    pub(super) size: u64,
}

/// The files in order of use. Space is what they take, and what is reserved for files that are being written.
#[derive(Debug)]
pub(super) struct Index {
    limit: u64,
    entries: HashMap<FileName, Entry>,
    by_use: BTreeMap<u64, FileName>,
    uses: u64,
    /// The number given out last for a file that shall be the oldest; they count downwards.
    oldest: u64,
    size: u64,
    reserved: u64,
}

/// The first number of a use: as many lie below it as above.
const FIRST_USE: u64 = 1 << 63;

impl Index {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: FIRST_USE,
            oldest: FIRST_USE,
            size: 0,
            reserved: 0,
        }
    }

    /// Files held.
    pub(super) fn files(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Space that they take.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The number of the latest use: what is used later has a larger one.
    pub(super) fn now(&self) -> u64 {
        self.uses
    }

    /// Counts a use. Whether the file is known, and the version that was verified.
    pub(super) fn touch(&mut self, file: &FileName) -> Option<Option<Identity>> {
        let entry = self.entries.get_mut(file)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, file.clone());
        Some(entry.verified)
    }

    /// The version that was verified.
    pub(super) fn verified(&self, file: &FileName) -> Option<Identity> {
        self.entries.get(file)?.verified
    }

    /// A file that is there, as the latest used.
    pub(super) fn insert(&mut self, file: &FileName, size: u64, verified: Option<Identity>) {
        self.remove(file);
        self.uses += 1;
        let used = self.uses;
        self.size += size;
        self.by_use.insert(used, file.clone());
        self.entries.insert(file.clone(), Entry { size, used, verified });
    }

    /// A file that is gone.
    pub(super) fn remove(&mut self, file: &FileName) -> Option<u64> {
        let entry = self.entries.remove(file)?;
        self.by_use.remove(&entry.used);
        self.size -= entry.size;
        Some(entry.size)
    }

    /// A file that was gone when it was looked for after `before`; unless it was used, and perhaps written, since then.
    pub(super) fn remove_absent(&mut self, file: &FileName, before: u64) {
        if self.entries.get(file).is_some_and(|entry| entry.used <= before) {
            self.remove(file);
        }
    }

    /// A victim that could not be removed after all, as the one used longest ago.
    pub(super) fn put_back(&mut self, victim: &Victim) {
        if self.entries.contains_key(&victim.file) {
            return;
        }
        self.size += victim.size;
        self.oldest -= 1;
        self.by_use.insert(self.oldest, victim.file.clone());
        let entry = Entry {
            size: victim.size,
            used: self.oldest,
            verified: None,
        };
        self.entries.insert(victim.file.clone(), entry);
    }

    /// Space for a file to be written, and the files that have to go for it; `None` when there is not enough even
    /// without them all.
    pub(super) fn reserve(&mut self, size: u64) -> Option<Vec<Victim>> {
        if self.reserved.saturating_add(size) > self.limit {
            return None;
        }
        self.reserved += size;
        Some(self.overflow())
    }

    /// Ends a reservation.
    pub(super) fn release(&mut self, size: u64) {
        self.reserved = self.reserved.saturating_sub(size);
    }

    /// Takes out the files used longest ago until the rest is within the limit.
    pub(super) fn overflow(&mut self) -> Vec<Victim> {
        let allowed = self.limit.saturating_sub(self.reserved);
        let mut victims = Vec::new();
        while self.size > allowed
            && let Some(victim) = self.take_oldest()
        {
            victims.push(victim);
        }
        victims
    }

    /// Takes out the files used longest ago until so much space comes free.
    pub(super) fn oldest_of(&mut self, space: u64) -> Vec<Victim> {
        let mut freed = 0;
        let mut victims = Vec::new();
        while freed < space
            && let Some(victim) = self.take_oldest()
        {
            freed += victim.size;
            victims.push(victim);
        }
        victims
    }

    fn take_oldest(&mut self) -> Option<Victim> {
        let (_, file) = self.by_use.first_key_value()?;
        let file = file.clone();
        let size = self.remove(&file)?;
        Some(Victim { file, size })
    }

    /// Learns what a look at the directory has found, in order of use. Files that other processes brought or removed
    /// are counted from now on; what was used after `before` may be newer than the look, and stays.
    pub(super) fn adopt(&mut self, found: &[(FileName, u64)], before: u64) {
        let present: HashMap<&FileName, u64> = found.iter().map(|(file, size)| (file, *size)).collect();
        let gone: Vec<FileName> = self
            .entries
            .keys()
            .filter(|file| !present.contains_key(file))
            .cloned()
            .collect();
        for file in gone {
            self.remove_absent(&file, before);
        }
        for (file, size) in found {
            if !self.entries.contains_key(file) {
                self.insert(file, *size, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::ObjectName;

    fn file(number: u32) -> FileName {
        FileName::of(&ObjectName::from_stored(format!("v1/{number}"))).unwrap()
    }

    fn names(victims: &[Victim]) -> Vec<FileName> {
        victims.iter().map(|victim| victim.file.clone()).collect()
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut index = Index::new(100);
        for number in 0..5 {
            index.insert(&file(number), 20, None);
        }
        assert_eq!(index.touch(&file(0)), Some(None));
        assert_eq!(index.touch(&file(9)), None);
        assert_eq!(names(&index.reserve(30).unwrap()), [file(1), file(2)]);
        assert_eq!((index.size(), index.files()), (60, 3));
        index.release(30);
        index.insert(&file(5), 30, None);
        assert_eq!(names(&index.oldest_of(25)), [file(3), file(4)]);
        assert_eq!(index.size(), 50);
    }

    #[test]
    fn reservations_count_and_what_cannot_fit_evicts_nothing() {
        let mut index = Index::new(100);
        index.insert(&file(0), 60, None);
        assert!(index.reserve(101).is_none());
        assert_eq!(index.size(), 60);
        assert!(index.reserve(40).unwrap().is_empty());
        assert_eq!(names(&index.reserve(60).unwrap()), [file(0)]);
        assert!(index.reserve(1).is_none());
        index.release(60);
        assert!(index.reserve(1).is_some());
    }

    #[test]
    fn a_victim_that_stays_is_the_next_one_again() {
        let mut index = Index::new(100);
        index.insert(&file(0), 50, None);
        index.insert(&file(1), 50, None);
        let victims = index.reserve(100).unwrap();
        assert_eq!(names(&victims), [file(0), file(1)]);
        for victim in victims.iter().rev() {
            index.put_back(victim);
        }
        assert_eq!((index.size(), index.files()), (100, 2));
        assert_eq!(names(&index.overflow()), [file(0), file(1)]);
    }

    #[test]
    fn a_file_written_since_it_was_absent_stays_counted() {
        let mut index = Index::new(100);
        index.insert(&file(0), 10, None);
        let before = index.now();
        index.insert(&file(0), 10, None);
        index.remove_absent(&file(0), before);
        assert_eq!(index.size(), 10);
        index.remove_absent(&file(0), index.now());
        assert_eq!(index.size(), 0);
    }

    #[test]
    fn a_look_at_the_directory_adds_and_removes() {
        let mut index = Index::new(100);
        for number in 0..3 {
            index.insert(&file(number), 10, None);
        }
        let before = index.now();
        // Used while the directory was looked at: it may have been written after its turn.
        index.touch(&file(2));
        index.adopt(&[(file(0), 10), (file(7), 30)], before);
        assert_eq!(index.size(), 10 + 10 + 30);
        assert_eq!(index.touch(&file(1)), None);
        assert_eq!(names(&index.oldest_of(1)), [file(0)]);
        // Adopting twice counts once.
        index.adopt(&[(file(7), 30)], before);
        assert_eq!(index.size(), 10 + 30);
    }
}
