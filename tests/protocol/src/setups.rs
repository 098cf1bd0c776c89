//! The configurations: small enough to be explored to the end, and together with every pair of roles in one of them.

use crate::collector::Collector;
use crate::config::{CatalogKind, Config, Milestone, Op, Start, delete, put};
use crate::deleter::{self, Act, Owner};
use crate::indexer::{self, Indexer, Job};
use crate::reader::{self, Reader};
use crate::role::Role;
use crate::state::{Clock, OpId, State};
use crate::writer::{self, Proof, Writer};

const EMPTY: Start = Start {
    folds: &[],
    tail: &[],
    nothing: false,
    marked: false,
};

/// Collects roles, numbering them.
#[derive(Default)]
struct Cast {
    roles: Vec<Role>,
}

impl Cast {
    fn clock(&self) -> Clock {
        Clock::new(self.roles.len(), 0)
    }

    fn writer(mut self, ops: &[OpId]) -> Self {
        self.roles.push(Role::Writer(Writer::new(self.clock(), ops)));
        self
    }

    /// A writer whose clock is ahead.
    fn early_writer(mut self, now: u8, ops: &[OpId]) -> Self {
        self.roles
            .push(Role::Writer(Writer::new(Clock::new(self.roles.len(), now), ops)));
        self
    }

    fn fold(mut self, limit: usize, runs: u8) -> Self {
        self.roles.push(Role::Indexer(Indexer::new(
            self.clock(),
            Job::Fold { limit, absorb: false },
            runs,
        )));
        self
    }

    fn absorb(mut self, limit: usize, runs: u8) -> Self {
        self.roles.push(Role::Indexer(Indexer::new(
            self.clock(),
            Job::Fold { limit, absorb: true },
            runs,
        )));
        self
    }

    fn compact(mut self, runs: u8) -> Self {
        self.roles
            .push(Role::Indexer(Indexer::new(self.clock(), Job::Compact, runs)));
        self
    }

    fn collect(mut self, floors: &[u8]) -> Self {
        self.roles.push(Role::Collector(Collector::new(floors)));
        self
    }

    fn owner(mut self, acts: &[Act]) -> Self {
        self.roles.push(Role::Owner(Owner::new(acts)));
        self
    }

    fn read(mut self) -> Self {
        self.roles.push(Role::Reader(Reader::new()));
        self
    }
}

const fn milestone(name: &'static str, reached: fn(&crate::model::Protocol, &State) -> bool) -> Milestone {
    Milestone { name, reached }
}

fn wrote(state: &State, outcome: writer::Outcome) -> bool {
    state
        .roles
        .iter()
        .any(|role| matches!(role, Role::Writer(writer) if writer.had(outcome)))
}

fn indexed(state: &State, compacts: bool, outcome: indexer::Outcome) -> bool {
    state.roles.iter().any(|role| {
        matches!(role, Role::Indexer(indexer) if indexer.compacts() == compacts && indexer.outcomes.contains(&outcome))
    })
}

fn named(state: &State, outcome: fn(&deleter::Outcome) -> bool) -> bool {
    state
        .roles
        .iter()
        .any(|role| matches!(role, Role::Owner(owner) if owner.outcomes.iter().any(outcome)))
}

fn read(state: &State, outcome: reader::Outcome) -> bool {
    state
        .roles
        .iter()
        .any(|role| matches!(role, Role::Reader(reader) if reader.outcome() == Some(outcome)))
}

fn collected(state: &State, purged: bool) -> bool {
    state.roles.iter().any(
        |role| matches!(role, Role::Collector(collector) if if purged { collector.purged } else { collector.deleted }),
    )
}

const ALL_DONE: Milestone = milestone("every role comes to its end", |_, state| {
    state.roles.iter().all(|role| match role {
        Role::Writer(role) => role.is_done(),
        Role::Indexer(role) => role.is_done(),
        Role::Collector(role) => role.is_done(),
        Role::Owner(role) => role.is_done(),
        Role::Reader(role) => role.outcome().is_some(),
    })
});
const ACKED: Milestone = milestone("a write is acknowledged", |_, s| {
    wrote(s, writer::Outcome::Acked(Proof::Answer))
});
const ACKED_BY_TAIL: Milestone = milestone("a write finds itself in the tail", |_, s| {
    wrote(s, writer::Outcome::Acked(Proof::Tail))
});
const ACKED_BY_FOLDED: Milestone = milestone("a write finds itself in folded", |_, s| {
    wrote(s, writer::Outcome::Acked(Proof::Folded))
});
const FULL: Milestone = milestone("a tail is full", |_, s| wrote(s, writer::Outcome::Full));
const UNKNOWN: Milestone = milestone("folded does not reach back", |_, s| wrote(s, writer::Outcome::Unknown));
const WRITE_NOT_FOUND: Milestone = milestone("a write finds its index gone", |_, s| {
    wrote(s, writer::Outcome::NotFound)
});
const WRITE_TO_NEW: Milestone = milestone("a write moves to the new index", |_, s| {
    s.roles.iter().any(|role| match role {
        Role::Writer(w) => w
            .outcomes
            .iter()
            .any(|(_, uuid, o)| *uuid > 1 && matches!(o, writer::Outcome::Acked(_))),
        _ => false,
    })
});
const FOLDED: Milestone = milestone("a fold commits", |_, s| indexed(s, false, indexer::Outcome::Committed));
const FOLD_REBASED: Milestone = milestone("a fold is rebased", |_, s| indexed(s, false, indexer::Outcome::Rebased));
const FOLD_DROPPED: Milestone = milestone("a fold is dropped", |_, s| indexed(s, false, indexer::Outcome::Dropped));
const CLEANED: Milestone = milestone("the mark alone is removed", |_, s| {
    indexed(s, false, indexer::Outcome::Cleaned)
});
const COMPACTED: Milestone = milestone("a compaction commits", |_, s| {
    indexed(s, true, indexer::Outcome::Committed)
});
const COMPACTION_REBASED: Milestone = milestone("a compaction is rebased", |_, s| {
    indexed(s, true, indexer::Outcome::Rebased)
});
const COMPACTION_DROPPED: Milestone = milestone("a compaction is dropped", |_, s| {
    indexed(s, true, indexer::Outcome::Dropped)
});
const COLLECTED: Milestone = milestone("garbage is deleted", |_, s| collected(s, false));
const PURGED: Milestone = milestone("a deleted index is purged", |_, s| collected(s, true));
const READ: Milestone = milestone("a read succeeds", |_, s| read(s, reader::Outcome::Right));
const READ_404: Milestone = milestone("a read starts over", |_, s| read(s, reader::Outcome::RightAfter404));
const CREATED: Milestone = milestone("an index is created", |_, s| {
    named(s, |o| matches!(o, deleter::Outcome::Created(_)))
});
const CONFLICT: Milestone = milestone("a create is refused", |_, s| {
    named(s, |o| matches!(o, deleter::Outcome::Conflict(_)))
});
const DELETED: Milestone = milestone("an index is deleted", |_, s| {
    named(s, |o| matches!(o, deleter::Outcome::Deleted))
});

/// Two writers of one key with lost, late and repeated requests, and a fold.
pub fn writers(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), delete(0)];
    let mut config = Config::new("writers", catalog, OPS);
    config.start = Start { marked: true, ..EMPTY };
    config.roles = Cast::default().writer(&[0]).writer(&[1]).fold(2, 2).roles;
    config.timeouts = 2;
    config.repeats = 1;
    config.milestones = vec![ALL_DONE, ACKED, ACKED_BY_TAIL, ACKED_BY_FOLDED, FOLDED, CLEANED];
    config
}

/// A short tail and a short `folded`.
pub fn limits(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), delete(0), put(0)];
    let mut config = Config::new("limits", catalog, OPS);
    config.roles = Cast::default().writer(&[0]).writer(&[1, 2]).fold(1, 2).roles;
    config.timeouts = 2;
    config.tail_limit = 1;
    config.folded_window = 1;
    config.milestones = vec![ALL_DONE, ACKED, FULL, UNKNOWN];
    config
}

/// Two indexers and a compactor over a writer that overwrites and deletes.
pub fn indexers(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), put(1), put(0), delete(1)];
    let mut config = Config::new("indexers", catalog, OPS);
    config.start = Start {
        folds: &[&[0], &[1]],
        tail: &[2],
        ..EMPTY
    };
    config.roles = Cast::default().writer(&[3]).fold(1, 1).fold(2, 2).compact(1).roles;
    config.timeouts = 1;
    config.milestones = vec![
        ALL_DONE,
        FOLDED,
        FOLD_REBASED,
        FOLD_DROPPED,
        COMPACTED,
        COMPACTION_REBASED,
    ];
    config
}

/// Two compactors and a fold that absorbs shards.
pub fn compactors(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), put(1), put(0), delete(1)];
    let mut config = Config::new("compactors", catalog, OPS);
    config.start = Start {
        folds: &[&[0], &[1]],
        tail: &[2, 3],
        ..EMPTY
    };
    config.roles = Cast::default().absorb(1, 1).fold(1, 1).compact(1).compact(1).roles;
    config.timeouts = 1;
    config.milestones = vec![
        ALL_DONE,
        FOLDED,
        FOLD_DROPPED,
        COMPACTED,
        COMPACTION_REBASED,
        COMPACTION_DROPPED,
    ];
    config
}

/// A collector beside a writer, a fold and a reader.
pub fn collection(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), put(0)];
    let mut config = Config::new("collection", catalog, OPS);
    config.start = Start { tail: &[0], ..EMPTY };
    config.roles = Cast::default().writer(&[1]).fold(2, 1).collect(&[1]).read().roles;
    config.timeouts = 1;
    config.milestones = vec![ALL_DONE, ACKED, FOLDED, COLLECTED, READ, READ_404];
    config
}

/// A collector beside a compactor, a fold and a reader.
pub fn collected_shards(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), put(1), put(0)];
    let mut config = Config::new("collected shards", catalog, OPS);
    config.start = Start {
        folds: &[&[0], &[1]],
        tail: &[2],
        ..EMPTY
    };
    config.roles = Cast::default().fold(1, 1).compact(1).collect(&[1]).read().roles;
    config.timeouts = 1;
    config.milestones = vec![
        ALL_DONE,
        FOLDED,
        COMPACTED,
        COMPACTION_REBASED,
        COLLECTED,
        READ,
        READ_404,
    ];
    config
}

/// Two collectors with different clocks.
pub fn collectors(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0)];
    let mut config = Config::new("collectors", catalog, OPS);
    config.roles = Cast::default()
        .early_writer(2, &[0])
        .fold(1, 1)
        .collect(&[2])
        .collect(&[1])
        .roles;
    config.timeouts = 1;
    config.milestones = vec![ALL_DONE, ACKED, FOLDED, COLLECTED];
    config
}

/// Delete and create of a name under a writer, a fold and a reader.
pub fn deletion(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), delete(0)];
    let mut config = Config::new("deletion", catalog, OPS);
    config.start = Start { tail: &[0], ..EMPTY };
    config.roles = Cast::default()
        .writer(&[1])
        .fold(2, 1)
        .owner(&[Act::Delete, Act::Create(2)])
        .read()
        .roles;
    config.timeouts = 1;
    config.repeats = 1;
    config.milestones = vec![
        ALL_DONE,
        ACKED,
        WRITE_NOT_FOUND,
        WRITE_TO_NEW,
        FOLDED,
        FOLD_DROPPED,
        DELETED,
        READ,
    ];
    config
}

/// Delete and create of a name under a compactor, a collector that purges, and a reader.
pub fn purge(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[put(0), put(1)];
    let mut config = Config::new("purge", catalog, OPS);
    config.start = Start {
        folds: &[&[0], &[1]],
        tail: &[],
        ..EMPTY
    };
    config.roles = Cast::default()
        .compact(1)
        .collect(&[1, 1])
        .owner(&[Act::Delete, Act::Create(2)])
        .read()
        .roles;
    config.timeouts = 1;
    config.milestones = vec![ALL_DONE, COMPACTED, COMPACTION_DROPPED, PURGED, DELETED, CREATED, READ];
    config
}

/// Three clients that create and delete one name.
pub fn names(catalog: CatalogKind) -> Config {
    const OPS: &[Op] = &[];
    let mut config = Config::new("names", catalog, OPS);
    config.start = Start { nothing: true, ..EMPTY };
    let (first, second) = ([Act::Create(1)], [Act::Create(2), Act::Delete]);
    config.roles = Cast::default().owner(&first).owner(&second).owner(&[Act::Delete]).roles;
    config.timeouts = 2;
    config.repeats = 1;
    config.milestones = vec![ALL_DONE, CREATED, CONFLICT, DELETED];
    config
}

/// All of them, under both catalogs.
pub fn all() -> Vec<Config> {
    let setups = [
        writers,
        limits,
        indexers,
        compactors,
        collection,
        collected_shards,
        collectors,
        deletion,
        purge,
        names,
    ];
    let both = [CatalogKind::Conditional, CatalogKind::Cas];
    both.iter()
        .flat_map(|kind| setups.iter().map(|setup| setup(*kind)))
        .collect()
}
