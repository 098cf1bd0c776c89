//! The indexer: folds the tail, or compacts, one piece of work after the other. What it reads and decides is in
//! `commit.rs`; here is when.

use crate::catalog::{Lookup, Seen};
use crate::commit::{Plan, Source, Verdict, Work};
use crate::compactor;
use crate::config::Config;
use crate::record::Update;
use crate::role::{Actor, Answer};
use crate::state::{Clock, Key, Manifest, NotFound, Request, Row, Uuid, World};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Folds at most `limit` entries.
    Fold {
        /// The bound on k.
        limit: usize,
        /// Whether the fold absorbs all shards, as folds do with small flat ones.
        absorb: bool,
    },
    /// Compacts.
    Compact,
}

/// How one piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Committed on the manifest it was planned on.
    Committed,
    /// Committed on another.
    Rebased,
    /// Given up.
    Dropped,
    /// There was nothing to do but to remove the dirty mark.
    Cleaned,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Read the record and plan.
    Read,
    /// Read what the plan needs, write the output.
    Build(Seen),
    /// Write this manifest and send the commit.
    Put(Seen, Manifest),
    /// Wait for the commit's answer.
    Wait(Request),
    /// After anything but a clear success: read the record.
    Reread,
    /// Then its manifest.
    Judge(Seen),
    /// All pieces are done.
    Done,
}

/// One indexer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Indexer {
    clock: Clock,
    job: Job,
    /// How many pieces of work are left.
    runs: u8,
    uuid: Uuid,
    step: Step,
    work: Option<Work>,
    /// How each piece ended.
    pub outcomes: Vec<Outcome>,
}

impl Indexer {
    /// An indexer of index 1.
    pub fn new(clock: Clock, job: Job, runs: u8) -> Self {
        Self {
            clock,
            job,
            runs,
            uuid: 1,
            step: Step::Read,
            work: None,
            outcomes: Vec::new(),
        }
    }

    /// Whether all its work has ended.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Whether it compacts.
    pub fn compacts(&self) -> bool {
        self.job == Job::Compact
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
        self.runs = self.runs.saturating_sub(1);
        (self.step, self.work) = (Step::Read, None);
        if self.runs == 0 {
            (self.step, self.clock) = (Step::Done, Clock::new(0, 0));
        }
    }

    fn committed(&mut self) {
        let rebased = self.work.as_ref().is_some_and(Work::was_rebased);
        self.end(match (self.work.is_some(), rebased) {
            (false, _) => Outcome::Cleaned,
            (true, false) => Outcome::Committed,
            (true, true) => Outcome::Rebased,
        });
    }

    /// An index that is gone, or that has become another one, is none of this indexer's business.
    fn same_index(&mut self, lookup: Lookup) -> Option<Seen> {
        match lookup {
            Lookup::Found(seen) if seen.record.uuid == self.uuid => {
                self.clock.saw_floor(seen.record.floor);
                Some(seen)
            }
            _ => {
                self.end(Outcome::Dropped);
                None
            }
        }
    }

    fn build(&mut self, seen: Seen, world: &mut World, config: &Config) -> Result<(), NotFound> {
        let current = world.manifest(self.uuid, seen.record.manifest)?.clone();
        let plan = match self.job {
            Job::Fold { limit, absorb } if !seen.record.wal.is_empty() => {
                plan_fold(limit, absorb, &seen, &current, world, config)?
            }
            Job::Compact if current.compaction_due() => compactor::plan(&seen, &current, world)?,
            _ => {
                self.clean(&seen, &current, config);
                return Ok(());
            }
        };
        let mut clock = self.clock;
        let mut work = Work::write(plan, &seen, || clock.draw(), world);
        self.clock = clock;
        let next = work.on(&seen, &current, world, config)?;
        self.work = Some(work);
        match next {
            Some(next) => self.step = Step::Put(seen, next),
            None => self.end(Outcome::Dropped),
        }
        Ok(())
    }

    /// Nothing to fold or to compact: the mark may go.
    fn clean(&mut self, seen: &Seen, current: &Manifest, config: &Config) {
        let idle = seen.record.wal.is_empty() && !current.compaction_due();
        let update = Update::Clean {
            uuid: self.uuid,
            manifest: seen.record.manifest,
        };
        match seen.request(update, config).filter(|_| idle) {
            Some(request) => self.step = Step::Wait(request),
            None => self.end(Outcome::Dropped),
        }
    }

    fn put_manifest(&mut self, seen: &Seen, next: Manifest, world: &mut World, config: &Config) {
        let ulid = self.clock.draw();
        if let Some(work) = &mut self.work {
            work.put_manifest(seen, next, ulid, world);
        }
        self.send(seen, config);
    }

    fn send(&mut self, seen: &Seen, config: &Config) {
        let request = self.work.as_ref().and_then(|work| work.commit(seen, config));
        self.step = request.map_or(Step::Reread, Step::Wait);
    }

    fn judge(&mut self, seen: Seen, world: &World, config: &Config) -> Result<(), NotFound> {
        let Some(work) = &mut self.work else { return Ok(()) };
        let current = world.manifest(self.uuid, seen.record.manifest)?;
        match work.judge(&seen, current, world, config)? {
            Verdict::Committed => self.committed(),
            Verdict::Drop => self.end(Outcome::Dropped),
            Verdict::SendAgain => self.send(&seen, config),
            Verdict::Rebase(next) => self.step = Step::Put(seen, next),
        }
        Ok(())
    }
}

/// Takes the first k entries; the newest version of each key in them becomes a row.
fn plan_fold(
    limit: usize,
    absorb: bool,
    seen: &Seen,
    current: &Manifest,
    world: &World,
    config: &Config,
) -> Result<Plan, NotFound> {
    let uuid = seen.record.uuid;
    let entries: Vec<_> = seen.record.wal.iter().copied().take(limit).collect();
    let mut touched: Vec<Key> = Vec::new();
    let mut rows = Vec::new();
    for ulid in entries.iter().rev() {
        let (key, version) = config.key(world.wal(uuid, *ulid)?);
        if !touched.contains(&key) {
            touched.push(key);
            rows.extend(version.map(|op| (Row { key, op }, Source::Tail)));
        }
    }
    let inputs = current
        .shards
        .iter()
        .filter(|_| absorb)
        .map(|shard| shard.ulid)
        .collect();
    let mut plan = Plan {
        entries,
        touched,
        inputs,
        rows,
    };
    plan.take_live_rows(uuid, current, world)?;
    Ok(plan)
}

impl Actor for Indexer {
    fn request(&self) -> Option<&Request> {
        if let Step::Wait(request) = &self.step {
            Some(request)
        } else {
            None
        }
    }

    fn can_step(&self, world: &World, _: &Config) -> bool {
        match self.step {
            Step::Wait(_) | Step::Done => false,
            // It is rung for; and a doorbell that rings for nothing changes nothing.
            Step::Read => world.catalog.live().is_none_or(|record| {
                let due = world
                    .manifest(record.uuid, record.manifest)
                    .is_ok_and(|manifest| manifest.compaction_due());
                record.uuid != self.uuid
                    || match self.job {
                        Job::Fold { .. } => !record.wal.is_empty() || (record.dirty && !due),
                        Job::Compact => due,
                    }
            }),
            _ => true,
        }
    }

    fn step(&mut self, world: &mut World, config: &Config) {
        let found = match self.step.clone() {
            Step::Read => {
                if let Some(seen) = self.same_index(world.catalog.read(self.uuid, config)) {
                    self.step = Step::Build(seen);
                }
                Ok(())
            }
            Step::Build(seen) => self.build(seen, world, config),
            Step::Put(seen, next) => {
                self.put_manifest(&seen, next, world, config);
                Ok(())
            }
            Step::Reread => {
                if let Some(seen) = self.same_index(world.catalog.read(self.uuid, config)) {
                    self.step = Step::Judge(seen);
                }
                Ok(())
            }
            Step::Judge(seen) => self.judge(seen, world, config),
            Step::Wait(_) | Step::Done => Ok(()),
        };
        if found == Err(NotFound) {
            // A 404: the record has moved on, start over from it.
            self.step = if self.work.is_some() { Step::Reread } else { Step::Read };
        }
    }

    fn answered(&mut self, answer: Answer, _: &mut World, _: &Config) {
        match answer {
            Answer::Applied(_) => self.committed(),
            Answer::Refused(_) if self.work.is_none() => self.end(Outcome::Dropped),
            Answer::Refused(None) => self.step = Step::Reread,
            Answer::Refused(Some(lookup)) => {
                if let Some(seen) = self.same_index(lookup) {
                    self.step = Step::Judge(seen);
                }
            }
        }
    }

    fn timed_out(&mut self) {
        if self.work.is_some() {
            self.step = Step::Reread;
        } else {
            self.end(Outcome::Dropped);
        }
    }
}
