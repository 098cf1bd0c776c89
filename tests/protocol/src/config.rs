//! What differs from one model to the next: roles, bounds, and at most one planted mistake.

use crate::model::Protocol;
use crate::role::Role;
use crate::state::{Key, OpId, State};

/// Which of the two catalog adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogKind {
    /// DynamoDB: updates with conditions, transactions.
    Conditional,
    /// Documents replaced by compare-and-swap.
    Cas,
}

/// Something done wrong on purpose, to show that the model would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The writer's commit does not require `wal_base = :b`.
    CommitWithoutWalBase,
    /// A writer whose base moved tries again without looking into `folded`.
    NoFoldedCheck,
    /// A writer does not look for its entry in the tail before it decides otherwise.
    OwnCommitNotRecognised,
    /// After one clear refusal a writer forgets that an earlier attempt was ambiguous.
    ForgetsAmbiguity,
    /// A writer takes a refusal for proof that nothing was applied, although a copy may have been.
    TrustsRefusals,
    /// The collector neither raises nor compares the floor.
    CollectionWithoutFloor,
    /// A raise of the floor is not conditional on the floor being lower.
    FloorFalls,
    /// A commit compares the floor with its manifest only, not with every object that it introduces.
    FloorOfManifestOnly,
    /// A fold whose base moved keeps its count and removes somebody else's entries.
    FoldRebasedByPosition,
    /// A fold that is rebased does not search the shards that are new to it.
    RebaseSkipsNewShards,
    /// A compaction that is rebased does not carry newly dead rows over to its output.
    RebaseForgetsDeadRows,
    /// The dirty mark is removed without `size(wal) = k`.
    DirtyWithoutSize,
    /// Documents have neither `rev` nor nonce: equal contents have equal ETags.
    CasDocumentWithoutNonce,
    /// CreateIndex does not require that its uuid has no tombstone.
    CreateIgnoresTombstone,
    /// CreateIndex answers Conflict while an attempt of its own may still arrive.
    ConflictWithoutBurial,
}

/// A client's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Of which key.
    pub key: Key,
    /// A put, or else a delete.
    pub put: bool,
}

/// A put of `key`.
pub const fn put(key: Key) -> Op {
    Op { key, put: true }
}

/// A delete of `key`.
pub const fn delete(key: Key) -> Op {
    Op { key, put: false }
}

/// What the index holds at the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Each element was one fold.
    pub folds: &'static [&'static [OpId]],
    /// The tail.
    pub tail: &'static [OpId],
    /// There is no index yet.
    pub nothing: bool,
    /// It is marked dirty whether it needs work or not (the policy of what needs work has changed, say).
    pub marked: bool,
}

/// Something that has to be possible, lest a model pass because nothing happens in it.
#[derive(Clone, Copy)]
pub struct Milestone {
    /// What.
    pub name: &'static str,
    /// In which states.
    pub reached: fn(&Protocol, &State) -> bool,
}

/// One model.
#[derive(Clone)]
pub struct Config {
    /// Its name in tests and tables.
    pub name: &'static str,
    /// The catalog adapter.
    pub catalog: CatalogKind,
    /// The writes; an `OpId` is a place in this list.
    pub ops: &'static [Op],
    /// The index at the start.
    pub start: Start,
    /// The clients.
    pub roles: Vec<Role>,
    /// How many requests may time out (and then still arrive).
    pub timeouts: u8,
    /// How many requests the network may repeat.
    pub repeats: u8,
    /// The most entries of a tail (512 in the real system).
    pub tail_limit: usize,
    /// The length of `folded` (1,000 in the real system).
    pub folded_window: usize,
    /// The length of `parents` (100 in the real system).
    pub parents_window: usize,
    /// What has to be reachable.
    pub milestones: Vec<Milestone>,
    /// What is done wrong.
    pub mistake: Option<Mistake>,
}

impl Config {
    /// A model with nothing in it yet.
    pub fn new(name: &'static str, catalog: CatalogKind, ops: &'static [Op]) -> Self {
        Self {
            name,
            catalog,
            ops,
            start: Start::default(),
            roles: Vec::new(),
            timeouts: 0,
            repeats: 0,
            tail_limit: 3,
            folded_window: 3,
            parents_window: 2,
            milestones: Vec::new(),
            mistake: None,
        }
    }

    /// The same model with a mistake in it.
    pub fn with(mut self, mistake: Mistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    /// Whether this mistake is planted.
    pub fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// What `op` writes, `None` for a delete; and to which key.
    pub fn key(&self, op: OpId) -> (Key, Option<OpId>) {
        self.ops
            .get(usize::from(op))
            .map_or((0, None), |o| (o.key, o.put.then_some(op)))
    }

    /// How many keys there are.
    pub fn keys(&self) -> Key {
        self.ops.iter().map(|op| op.key + 1).max().unwrap_or(0)
    }
}
