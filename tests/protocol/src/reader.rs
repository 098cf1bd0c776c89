//! The reader: one strong read of the record, then immutable objects (section 4, **Read**).

use crate::catalog::{Lookup, Seen};
use crate::config::Config;
use crate::record::Record;
use crate::role::{Actor, Answer};
use crate::state::{Manifest, NotFound, OpId, Request, Uuid, World, is_dead};

/// The version of each key that a reader returns; `None` where the key does not exist.
pub type View = Vec<Option<OpId>>;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned what was committed when it read the record.
    Right,
    /// As `Right`, after a 404 that made it start over.
    RightAfter404,
    /// It returned something else.
    Wrong,
    /// A 404 although the record is unchanged: 500.
    Corrupt,
    /// The index is gone.
    NotFound,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Read,
    Find,
    Manifest,
    Data(Manifest),
    Done(Outcome),
}

/// One read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    uuid: Uuid,
    step: Step,
    seen: Option<Seen>,
    /// What the answer has to be: reading the record is the point in time that the answer is about.
    expected: View,
    missed: bool,
}

impl Reader {
    /// A reader that has index 1 in its cache.
    pub fn new() -> Self {
        Self {
            uuid: 1,
            step: Step::Read,
            seen: None,
            expected: View::new(),
            missed: false,
        }
    }

    /// How the read ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        if let Step::Done(outcome) = self.step {
            Some(outcome)
        } else {
            None
        }
    }

    fn read(&mut self, world: &World, config: &Config) {
        match world.catalog.read(self.uuid, config) {
            Lookup::Gone => self.step = Step::Done(Outcome::NotFound),
            Lookup::Dead => self.step = Step::Find,
            Lookup::Found(seen) if self.missed && self.seen.as_ref() == Some(&seen) => {
                self.step = Step::Done(Outcome::Corrupt);
            }
            Lookup::Found(seen) => {
                self.uuid = seen.record.uuid;
                self.expected = truth(world.ghost.logs.get(&self.uuid).map_or(&[], Vec::as_slice), config);
                self.seen = Some(seen);
                self.step = Step::Manifest;
            }
        }
    }

    fn data(&mut self, manifest: &Manifest, world: &World, config: &Config) -> Result<(), NotFound> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let view = view(&seen.record, manifest, world, config)?;
        self.step = Step::Done(match (view == self.expected, self.missed) {
            (false, _) => Outcome::Wrong,
            (true, false) => Outcome::Right,
            (true, true) => Outcome::RightAfter404,
        });
        Ok(())
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Actor for Reader {
    fn request(&self) -> Option<&Request> {
        None
    }

    fn can_step(&self, _: &World, _: &Config) -> bool {
        !matches!(self.step, Step::Done(_))
    }

    fn step(&mut self, world: &mut World, config: &Config) {
        let found = match self.step.clone() {
            Step::Read => {
                self.read(world, config);
                Ok(())
            }
            Step::Find => {
                match world.catalog.name.uuid {
                    Some(uuid) if uuid != self.uuid => (self.uuid, self.step) = (uuid, Step::Read),
                    _ => self.step = Step::Done(Outcome::NotFound),
                }
                Ok(())
            }
            Step::Manifest => {
                let ulid = self.seen.as_ref().and_then(|seen| seen.record.manifest);
                world
                    .manifest(self.uuid, ulid)
                    .map(|manifest| self.step = Step::Data(manifest.clone()))
            }
            Step::Data(manifest) => self.data(&manifest, world, config),
            Step::Done(_) => Ok(()),
        };
        if found == Err(NotFound) {
            (self.step, self.missed) = (Step::Read, true);
        }
        if let Step::Done(outcome) = self.step {
            // What it remembered does not matter any more; forgetting it makes equal states of different histories.
            *self = Self {
                step: Step::Done(outcome),
                ..Self::new()
            };
        }
    }

    fn answered(&mut self, _: Answer, _: &mut World, _: &Config) {}

    fn timed_out(&mut self) {}
}

/// What a log of writes amounts to.
pub fn truth(log: &[OpId], config: &Config) -> View {
    let newest = |key| log.iter().rev().map(|op| config.key(*op)).find(|(of, _)| *of == key);
    (0..config.keys())
        .map(|key| newest(key).and_then(|(_, version)| version))
        .collect()
}

/// The tail, newest entry first, overrides the shards minus their deletion vectors. Where shards hold a key twice
/// (which breaks I3) the older row is returned, as the worst that could happen.
pub fn view(record: &Record, manifest: &Manifest, world: &World, config: &Config) -> Result<View, NotFound> {
    let mut view = View::new();
    let tail: Result<Vec<OpId>, _> = record.wal.iter().map(|ulid| world.wal(record.uuid, *ulid)).collect();
    let tail = tail?;
    for key in 0..config.keys() {
        let newest = tail.iter().rev().map(|op| config.key(*op)).find(|(of, _)| *of == key);
        view.push(match newest {
            Some((_, version)) => version,
            None => in_shards(record.uuid, manifest, key, world)?,
        });
    }
    Ok(view)
}

fn in_shards(uuid: Uuid, manifest: &Manifest, key: u8, world: &World) -> Result<Option<OpId>, NotFound> {
    let mut found = None;
    for shard in &manifest.shards {
        for (n, row) in world.shard(uuid, shard.ulid)?.iter().enumerate() {
            if row.key == key && !is_dead(shard.dead, n) {
                found = found.or(Some(row.op));
            }
        }
    }
    Ok(found)
}
