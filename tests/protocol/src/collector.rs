//! The garbage collector, and the purge of deleted indexes (section 4, **Garbage collection**).

use crate::catalog::{Lookup, Seen};
use crate::config::{Config, Mistake};
use crate::record::{Record, Update};
use crate::role::{Actor, Answer};
use crate::state::{Manifest, Request, Ulid, Uuid, World};

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// (1) LIST.
    List,
    /// (2) Raise the floor.
    Raise,
    /// Wait for the record that the raise returns.
    Wait(Request),
    /// Read the record instead: the raise timed out.
    Read,
    /// (3) Read the manifest; what neither tail nor manifest reaches is garbage.
    Mark(Seen),
    /// (4) Later: read the record again.
    Recheck,
    /// And its manifest.
    Confirm(Seen),
    /// Delete what is left of the list.
    Delete,
    /// All runs are done.
    Done,
}

/// One collector of one index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Collector {
    uuid: Uuid,
    /// The floors that its runs raise to.
    floors: Vec<u8>,
    step: Step,
    list: Vec<Ulid>,
    /// Whether it has deleted garbage.
    pub deleted: bool,
    /// Whether it has deleted objects of an index that is gone.
    pub purged: bool,
}

impl Collector {
    /// A collector of index 1.
    pub fn new(floors: &[u8]) -> Self {
        let (floors, list) = (floors.to_vec(), Vec::new());
        Self {
            uuid: 1,
            floors,
            step: Step::List,
            list,
            deleted: false,
            purged: false,
        }
    }

    /// Whether all its runs have ended.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    fn end(&mut self) {
        if !self.floors.is_empty() {
            self.floors.remove(0);
        }
        self.list.clear();
        self.step = if self.floors.is_empty() { Step::Done } else { Step::List };
    }

    /// A record of another index, or none: stop. A purge begins with the tombstone, never with this.
    fn same_index(&mut self, lookup: Lookup) -> Option<Seen> {
        match lookup {
            Lookup::Found(seen) if seen.record.uuid == self.uuid => Some(seen),
            _ => {
                self.end();
                None
            }
        }
    }

    fn raise(&mut self, world: &World, config: &Config) {
        let Some(seen) = self.same_index(world.catalog.read(self.uuid, config)) else {
            return;
        };
        let Some(&to) = self.floors.first() else { return };
        // A compare-and-swap client that finds the floor high enough has what it needs.
        let request = seen.request(Update::RaiseFloor { uuid: self.uuid, to }, config);
        let request = request.filter(|_| !config.has(Mistake::CollectionWithoutFloor));
        self.step = request.map_or(Step::Mark(seen), Step::Wait);
    }

    /// Keeps in the list what is garbage by this record; a missing manifest means that the record moved on.
    fn sift(&mut self, seen: &Seen, world: &World, config: &Config) -> bool {
        let Ok(manifest) = world.manifest(self.uuid, seen.record.manifest) else {
            self.end();
            return false;
        };
        let floor = if config.has(Mistake::CollectionWithoutFloor) {
            u8::MAX
        } else {
            seen.record.floor
        };
        self.list
            .retain(|ulid| ulid.ms <= floor && !reaches(&seen.record, manifest, *ulid));
        if self.list.is_empty() {
            self.end();
        }
        !self.list.is_empty()
    }
}

/// Whether an object is reachable from the record.
pub fn reaches(record: &Record, manifest: &Manifest, ulid: Ulid) -> bool {
    record.manifest == Some(ulid)
        || record.wal.contains(&ulid)
        || manifest.shards.iter().any(|shard| shard.ulid == ulid)
}

impl Actor for Collector {
    fn request(&self) -> Option<&Request> {
        if let Step::Wait(request) = &self.step {
            Some(request)
        } else {
            None
        }
    }

    fn can_step(&self, _: &World, _: &Config) -> bool {
        !matches!(self.step, Step::Wait(_) | Step::Done)
    }

    fn step(&mut self, world: &mut World, config: &Config) {
        match self.step.clone() {
            Step::List => {
                let of_index = world.objects.keys().filter(|(uuid, _)| *uuid == self.uuid);
                self.list = of_index.map(|(_, ulid)| *ulid).collect();
                // A tombstone: everything under this uuid may go, and nothing can ever be reached there again.
                self.step = if world.catalog.is_dead(self.uuid) {
                    Step::Delete
                } else {
                    Step::Raise
                };
            }
            Step::Raise => self.raise(world, config),
            Step::Read => {
                if let Some(seen) = self.same_index(world.catalog.read(self.uuid, config)) {
                    self.step = Step::Mark(seen);
                }
            }
            Step::Mark(seen) => {
                if self.sift(&seen, world, config) {
                    self.step = Step::Recheck;
                }
            }
            Step::Recheck => {
                if let Some(seen) = self.same_index(world.catalog.read(self.uuid, config)) {
                    self.step = Step::Confirm(seen);
                }
            }
            Step::Confirm(seen) => {
                if self.sift(&seen, world, config) {
                    self.step = Step::Delete;
                }
            }
            Step::Delete => {
                if let Some(ulid) = self.list.pop() {
                    world.objects.remove(&(self.uuid, ulid));
                    *(if world.catalog.is_dead(self.uuid) {
                        &mut self.purged
                    } else {
                        &mut self.deleted
                    }) = true;
                }
                if self.list.is_empty() {
                    self.end();
                }
            }
            Step::Wait(_) | Step::Done => {}
        }
    }

    fn answered(&mut self, answer: Answer, _: &mut World, _: &Config) {
        let lookup = match answer {
            Answer::Applied(Some(record)) => Lookup::Found(Seen { record, rev: 0 }),
            Answer::Refused(Some(lookup)) => lookup,
            // A 412: read again, and raise again.
            Answer::Applied(None) | Answer::Refused(None) => {
                self.step = Step::Raise;
                return;
            }
        };
        if let Some(seen) = self.same_index(lookup) {
            self.step = Step::Mark(seen);
        }
    }

    fn timed_out(&mut self) {
        self.step = Step::Read;
    }
}
