//! The commit of a fold or a compaction: what it is made of, and how it is laid on the current manifest, the first
//! time and on every rebase (section 4, **Fold** and **Compaction**).
//!
//! A fold that absorbs small shards is both at once, so there is one kind of work: tail entries and input shards
//! become one output shard.

use std::collections::BTreeMap;

use crate::catalog::Seen;
use crate::config::{Config, Mistake};
use crate::record::Update;
use crate::state::{Key, Manifest, NotFound, Object, Request, Row, ShardRef, Ulid, World, is_dead, last};

/// Where a row of the output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An entry of the tail.
    Tail,
    /// A row of an input shard.
    Shard(Ulid, usize),
}

/// What a fold or a compaction decided on when it read the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The tail entries it folds: the first k.
    pub entries: Vec<Ulid>,
    /// The keys that those entries write: older rows of them die in every shard.
    pub touched: Vec<Key>,
    /// The shards that the output replaces.
    pub inputs: Vec<Ulid>,
    /// The rows of the output, and where each came from.
    pub rows: Vec<(Row, Source)>,
}

impl Plan {
    /// The rows of the inputs that are live in `manifest` and that the plan's own entries leave live.
    pub fn take_live_rows(&mut self, uuid: u8, manifest: &Manifest, world: &World) -> Result<(), NotFound> {
        for shard in manifest.shards.iter().filter(|shard| self.inputs.contains(&shard.ulid)) {
            for (n, row) in world.shard(uuid, shard.ulid)?.iter().enumerate() {
                if !is_dead(shard.dead, n) && !self.touched.contains(&row.key) {
                    self.rows.push((*row, Source::Shard(shard.ulid, n)));
                }
            }
        }
        Ok(())
    }
}

/// A plan whose output has been written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    plan: Plan,
    /// The `wal_base` of the record that the plan was made from.
    base: u8,
    /// The shard it wrote; none when no row is left.
    output: Option<Ulid>,
    /// The rows that its entries kill, by shard: one element for each shard searched so far.
    searched: BTreeMap<Ulid, u8>,
    /// The manifest it was last laid on.
    old: Option<Ulid>,
    /// The manifests it has written; any of them may have been committed.
    own: Vec<Ulid>,
    /// What the last of them says needs to be done next: nothing, if the tail is empty then.
    due: bool,
}

/// What to do after anything but a clear success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was committed.
    Committed,
    /// It can never be committed.
    Drop,
    /// Send the same manifest again.
    SendAgain,
    /// Write this manifest and send it.
    Rebase(Manifest),
}

impl Work {
    /// Writes the output of a plan.
    pub fn write(plan: Plan, seen: &Seen, ulid: impl FnOnce() -> Ulid, world: &mut World) -> Self {
        let rows: Vec<Row> = plan.rows.iter().map(|(row, _)| *row).collect();
        let output = (!rows.is_empty()).then(ulid);
        if let Some(ulid) = output {
            world
                .objects
                .insert((seen.record.uuid, ulid), Object::Shard(rows).into());
        }
        let base = seen.record.wal_base;
        Self {
            plan,
            base,
            output,
            searched: BTreeMap::new(),
            old: None,
            own: Vec::new(),
            due: false,
        }
    }

    /// Whether any of its manifests was laid on another than the one it was planned on.
    pub fn was_rebased(&self) -> bool {
        self.own.len() > 1
    }

    /// The manifest that has this work done on top of `current`; `None` when it does not fit any more.
    pub fn on(
        &mut self,
        seen: &Seen,
        current: &Manifest,
        world: &World,
        config: &Config,
    ) -> Result<Option<Manifest>, NotFound> {
        // Why: entries are known by their position, and other positions are other entries.
        let moved = !self.plan.entries.is_empty() && seen.record.wal_base != self.base;
        let listed = |input| current.shards.iter().any(|shard| shard.ulid == input);
        let vanished = !self.plan.inputs.iter().all(|input| listed(*input));
        if vanished || (moved && !config.has(Mistake::FoldRebasedByPosition)) {
            return Ok(None);
        }
        let mut next = current.clone();
        next.shards.retain(|shard| !self.plan.inputs.contains(&shard.ulid));
        for shard in &mut next.shards {
            // Each deletion vector states the whole dead set: the current one and what this work adds to it.
            shard.dead |= self.search(seen, shard.ulid, world, config)?;
        }
        if let Some(ulid) = self.output {
            next.shards.push(ShardRef {
                ulid,
                dead: self.dead_output_rows(current, config),
            });
        }
        next.wal_base += u8::try_from(self.plan.entries.len()).unwrap_or(u8::MAX);
        next.folded.extend(&self.plan.entries);
        next.folded = last(next.folded, config.folded_window);
        next.parents.push(seen.record.manifest);
        next.parents = last(next.parents, config.parents_window);
        Ok(Some(next))
    }

    /// The rows of `shard` that the folded entries overwrite or delete.
    fn search(&mut self, seen: &Seen, shard: Ulid, world: &World, config: &Config) -> Result<u8, NotFound> {
        if let Some(dead) = self.searched.get(&shard) {
            return Ok(*dead);
        }
        if !self.own.is_empty() && config.has(Mistake::RebaseSkipsNewShards) {
            return Ok(0);
        }
        let rows = world.shard(seen.record.uuid, shard)?.iter().enumerate();
        let dead = rows
            .filter(|(_, row)| self.plan.touched.contains(&row.key))
            .fold(0, |dead, (n, _)| dead | 1 << n);
        self.searched.insert(shard, dead);
        Ok(dead)
    }

    /// dead(output) = rows whose source row is dead in the *current* vectors.
    fn dead_output_rows(&self, current: &Manifest, config: &Config) -> u8 {
        if config.has(Mistake::RebaseForgetsDeadRows) {
            return 0;
        }
        let gone = |source: &Source| match *source {
            Source::Tail => false,
            Source::Shard(ulid, n) => current.shards.iter().any(|s| s.ulid == ulid && is_dead(s.dead, n)),
        };
        let rows = self.plan.rows.iter().enumerate();
        rows.filter(|(_, (_, source))| gone(source))
            .fold(0, |dead, (n, _)| dead | 1 << n)
    }

    /// Writes a manifest that `on` made.
    pub fn put_manifest(&mut self, seen: &Seen, next: Manifest, ulid: Ulid, world: &mut World) {
        self.due = next.compaction_due();
        self.old = seen.record.manifest;
        self.own.push(ulid);
        world
            .objects
            .insert((seen.record.uuid, ulid), Object::Manifest(next).into());
    }

    /// The smallest time among the objects that the commit would introduce.
    fn oldest_new(&self, config: &Config) -> u8 {
        let manifest = self.own.last().copied();
        let output = self.output.filter(|_| !config.has(Mistake::FloorOfManifestOnly));
        manifest
            .into_iter()
            .chain(output)
            .map(|ulid| ulid.ms)
            .min()
            .unwrap_or(0)
    }

    /// The commit of the last manifest written; `None` when a compare-and-swap client sees that it cannot succeed.
    pub fn commit(&self, seen: &Seen, config: &Config) -> Option<Request> {
        let folds = self.plan.entries.len();
        let update = Update::Commit {
            uuid: seen.record.uuid,
            old: self.old,
            new: *self.own.last()?,
            folds: u8::try_from(folds).unwrap_or(u8::MAX),
            oldest_new: self.oldest_new(config),
            clean: seen.record.wal.len() == folds && !self.due,
        };
        seen.request(update, config)
    }

    /// Decides from the record and its manifest.
    pub fn judge(
        &mut self,
        seen: &Seen,
        current: &Manifest,
        world: &World,
        config: &Config,
    ) -> Result<Verdict, NotFound> {
        let mine = |manifest: &Option<Ulid>| manifest.is_some_and(|ulid| self.own.contains(&ulid));
        if mine(&seen.record.manifest) || current.parents.iter().any(mine) {
            return Ok(Verdict::Committed);
        }
        // Section 4 does not say so, but a floor that has passed the output ends the work: no rebase can help.
        if self.output.is_some_and(|ulid| ulid.ms <= seen.record.floor) && !config.has(Mistake::FloorOfManifestOnly) {
            return Ok(Verdict::Drop);
        }
        if seen.record.manifest == self.old {
            let late = self.own.last().is_some_and(|ulid| ulid.ms <= seen.record.floor);
            return Ok(if late { Verdict::Drop } else { Verdict::SendAgain });
        }
        if !current.parents.contains(&self.old) {
            return Ok(Verdict::Drop);
        }
        Ok(self
            .on(seen, current, world, config)?
            .map_or(Verdict::Drop, Verdict::Rebase))
    }
}
