//! The writer: PUT the WAL object, read the record, commit, and after anything but a clear success decide from the
//! record (section 4, **Write**).

use crate::catalog::{Lookup, Seen};
use crate::config::{Config, Mistake};
use crate::record::Update;
use crate::role::{Actor, Answer};
use crate::state::{Clock, Object, OpId, Request, Ulid, Uuid, World};

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 200, and how the writer knew.
    Acked(Proof),
    /// 429, the tail is full: a promise that nothing was written.
    Full,
    /// 503: `folded` does not reach back, so nobody knows.
    Unknown,
    /// 404: the index is gone.
    NotFound,
}

/// What told a writer that its commit was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The answer.
    Answer,
    /// Its entry in the tail.
    Tail,
    /// Its ULID in `folded`.
    Folded,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// PUT the WAL object.
    Put,
    /// Read the record: the first time, after a time-out, after a 412.
    Read,
    /// Compare-and-swap only: read which index the name points at.
    Find,
    /// Wait for the commit's answer.
    Wait(Request),
    /// Read the manifest of a record whose base moved, for its `folded`.
    Folded(Seen),
    /// All writes are done.
    Done,
}

/// A writer that does its operations one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    clock: Clock,
    /// What is left to do; the first one is being done.
    ops: Vec<OpId>,
    step: Step,
    /// The cached configuration: which index.
    uuid: Uuid,
    ulid: Option<Ulid>,
    base: u8,
    /// An attempt under this ULID was sent at `base`, and nothing has ruled out yet that it is applied.
    open: bool,
    /// How each write ended, and under which uuid it was last tried.
    pub outcomes: Vec<(OpId, Uuid, Outcome)>,
}

impl Writer {
    /// A writer that has index 1 in its cache.
    pub fn new(clock: Clock, ops: &[OpId]) -> Self {
        Self {
            clock,
            ops: ops.to_vec(),
            step: Step::Put,
            uuid: 1,
            ulid: None,
            base: 0,
            open: false,
            outcomes: Vec::new(),
        }
    }

    /// Whether a write ended so.
    pub fn had(&self, outcome: Outcome) -> bool {
        self.outcomes.iter().any(|(_, _, had)| *had == outcome)
    }

    /// Whether all its writes have ended.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    fn end(&mut self, outcome: Outcome) {
        if !self.ops.is_empty() {
            self.outcomes.push((self.ops.remove(0), self.uuid, outcome));
        }
        (self.step, self.ulid, self.base, self.open) = (Step::Put, None, 0, false);
        if self.ops.is_empty() {
            // What it remembered does not matter any more; forgetting it makes equal states of different histories.
            (self.step, self.uuid, self.clock) = (Step::Done, 0, Clock::new(0, 0));
        }
    }

    /// A new WAL object, under the same or another uuid. Nothing sent under the old ULID can be applied any more.
    fn put_again(&mut self) {
        (self.step, self.ulid, self.open) = (Step::Put, None, false);
    }

    fn look(&mut self, lookup: Lookup, config: &Config) {
        match lookup {
            Lookup::Gone => self.end(Outcome::NotFound),
            Lookup::Dead => self.step = Step::Find,
            Lookup::Found(seen) => self.decide(seen, config),
        }
    }

    /// "In this order": the order matters, since a committed entry's base may have moved and its floor passed.
    fn decide(&mut self, seen: Seen, config: &Config) {
        let record = &seen.record;
        self.clock.saw_floor(record.floor);
        let Some(ulid) = self.ulid else { return };
        if record.uuid != self.uuid {
            self.uuid = record.uuid;
            self.put_again();
        } else if record.wal.contains(&ulid) && !config.has(Mistake::OwnCommitNotRecognised) {
            self.end(Outcome::Acked(Proof::Tail));
        } else if record.wal_base != self.base && self.open && !config.has(Mistake::NoFoldedCheck) {
            self.step = Step::Folded(seen);
        } else if record.wal_base != self.base {
            self.send(&seen, config);
        } else if record.floor >= ulid.ms {
            self.put_again();
        } else if record.wal.len() >= config.tail_limit {
            // Nothing of ours can be applied later: the tail gets shorter only when the base moves.
            self.end(Outcome::Full);
        } else {
            self.send(&seen, config);
        }
    }

    /// Sends the commit with the base just read.
    fn send(&mut self, seen: &Seen, config: &Config) {
        let (Some(ulid), Some(&op)) = (self.ulid, self.ops.first()) else {
            return;
        };
        self.base = seen.record.wal_base;
        let update = Update::Append {
            uuid: self.uuid,
            base: self.base,
            ulid,
            op,
        };
        // A compare-and-swap client that sees the condition fail reads again.
        self.step = seen.request(update, config).map_or(Step::Read, Step::Wait);
        if !config.has(Mistake::TrustsRefusals) && matches!(self.step, Step::Wait(_)) {
            self.open = true;
        }
    }

    fn check_folded(&mut self, seen: &Seen, world: &World, config: &Config) {
        let Some(ulid) = self.ulid else { return };
        match world.manifest(self.uuid, seen.record.manifest) {
            // A newer manifest is current, or the index was deleted: read the record again.
            Err(_) => self.step = Step::Read,
            Ok(manifest) if manifest.folded.contains(&ulid) => self.end(Outcome::Acked(Proof::Folded)),
            Ok(manifest) if !manifest.folded_reaches(self.base) => self.end(Outcome::Unknown),
            Ok(_) => {
                // Not applied at the old base, and never will be: `wal_base` only rises.
                self.open = false;
                self.send(seen, config);
            }
        }
    }
}

impl Actor for Writer {
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
            Step::Put => {
                let ulid = self.clock.draw();
                if let Some(&op) = self.ops.first() {
                    world.objects.insert((self.uuid, ulid), Object::Wal(op).into());
                }
                (self.ulid, self.step) = (Some(ulid), Step::Read);
            }
            Step::Read => self.look(world.catalog.read(self.uuid, config), config),
            Step::Find => match world.catalog.name.uuid {
                // A name that points at a dead index does not exist.
                Some(uuid) if uuid != self.uuid => {
                    self.uuid = uuid;
                    self.put_again();
                }
                _ => self.end(Outcome::NotFound),
            },
            Step::Folded(seen) => self.check_folded(&seen, world, config),
            Step::Wait(_) | Step::Done => {}
        }
    }

    fn answered(&mut self, answer: Answer, _: &mut World, config: &Config) {
        match answer {
            Answer::Applied(_) => self.end(Outcome::Acked(Proof::Answer)),
            Answer::Refused(lookup) => {
                if config.has(Mistake::ForgetsAmbiguity) {
                    self.open = false;
                }
                match lookup {
                    Some(lookup) => self.look(lookup, config),
                    None => self.step = Step::Read,
                }
            }
        }
    }

    fn timed_out(&mut self) {
        (self.step, self.open) = (Step::Read, true);
    }
}
