//! What the world consists of: identities, immutable objects, requests under way and the whole state of one model.
//!
//! Everything that is a number in the real system is a small number here; everything random is drawn from the
//! role that draws it, so that equal histories are equal states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cas::Put;
use crate::catalog::Catalog;
use crate::config::{Config, Mistake};
use crate::record::Update;
use crate::role::Role;

/// The uuid of one index: the name is reused by delete + create, the uuid never.
pub type Uuid = u8;
/// A vector key.
pub type Key = u8;
/// One write operation of a client, and so one version of its key.
pub type OpId = u8;

/// An object's identity: a time, and bits that no other draw has. Order is by time first, as for real ULIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid {
    /// The time part, in the same unit as a record's floor.
    pub ms: u8,
    /// Who drew it, and which draw of that role it was.
    pub by: u8,
}

/// Draws ULIDs for one role. Its clock may be as slow as it likes: "new ULIDs are max(clock, floor + 1 ms)".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clock {
    /// The role's number, in the high bits of what it draws.
    pub role: u8,
    /// What this role's clock shows, for ever.
    pub now: u8,
    /// The highest floor this role has read.
    pub floor: u8,
    /// How many ULIDs it has drawn.
    pub drawn: u8,
}

impl Clock {
    /// A clock that shows `now` and has seen no floor yet.
    pub fn new(role: usize, now: u8) -> Self {
        Self {
            role: u8::try_from(role).unwrap_or(u8::MAX),
            now,
            floor: 0,
            drawn: 0,
        }
    }

    /// Remembers a floor read from a record.
    pub fn saw_floor(&mut self, floor: u8) {
        self.floor = self.floor.max(floor);
    }

    /// A new ULID.
    pub fn draw(&mut self) -> Ulid {
        let by = self.role * 16 + self.drawn;
        self.drawn += 1;
        Ulid {
            ms: self.now.max(self.floor + 1),
            by,
        }
    }
}

/// A row of a shard: the version of a key that one put wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Whose row.
    pub key: Key,
    /// Which version.
    pub op: OpId,
}

/// A shard as the manifest lists it, with the whole dead set of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardRef {
    /// The shard object.
    pub ulid: Ulid,
    /// Its deletion vector: bit n is row n. Inline here; an object of its own is reached and collected alike.
    pub dead: u8,
}

/// The complete list of an index's shards at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// All shards.
    pub shards: Vec<ShardRef>,
    /// How many WAL entries are in the shards; equals the record's.
    pub wal_base: u8,
    /// The last WAL ULIDs that were folded.
    pub folded: Vec<Ulid>,
    /// The last manifests before this one (`None`: the index had none yet).
    pub parents: Vec<Option<Ulid>>,
}

static NO_MANIFEST: Manifest = Manifest {
    shards: Vec::new(),
    wal_base: 0,
    folded: Vec::new(),
    parents: Vec::new(),
};

impl Manifest {
    /// Whether a compaction is due: the model's policy is "more than one shard".
    pub fn compaction_due(&self) -> bool {
        self.shards.len() > 1
    }

    /// Whether `folded` still names every entry from sequence number `base` on.
    pub fn folded_reaches(&self, base: u8) -> bool {
        usize::from(self.wal_base) <= usize::from(base) + self.folded.len()
    }
}

/// The contents of an immutable object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A WAL entry with one write.
    Wal(OpId),
    /// A shard.
    Shard(Vec<Row>),
    /// A manifest.
    Manifest(Manifest),
}

/// The object store: names carry the uuid, never the name, of the index (S2).
/// Shared between states, since they are immutable.
pub type Objects = BTreeMap<(Uuid, Ulid), Arc<Object>>;

/// An update of the catalog on its way to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// What the client wants.
    pub update: Update,
    /// How it says so to a compare-and-swap catalog; `None` for conditional updates.
    pub put: Option<Put>,
}

/// What really happened, for the invariants to compare with. No role reads it, except a reader that notes what
/// its answer has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// Per index, the writes in the order in which they took effect.
    pub logs: BTreeMap<Uuid, Vec<OpId>>,
    /// Indexes that were deleted.
    pub deleted: BTreeSet<Uuid>,
}

/// Everything outside the roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The mutable records.
    pub catalog: Catalog,
    /// The immutable objects.
    pub objects: Objects,
    /// Requests that nobody waits for any more; each may still arrive, at any time or never. Sorted.
    pub late: Vec<Request>,
    /// How many more requests may time out.
    pub timeouts: u8,
    /// How many more requests may be repeated by the network.
    pub repeats: u8,
    /// The truth.
    pub ghost: Ghost,
}

impl World {
    /// Lets a request take its effect; false when its condition fails.
    pub fn deliver(&mut self, request: &Request, config: &Config) -> bool {
        if !self.catalog.apply(request, config) {
            return false;
        }
        match request.update {
            Update::Append { uuid, op, .. } => self.ghost.logs.entry(uuid).or_default().push(op),
            Update::Delete { uuid } => {
                self.ghost.logs.remove(&uuid);
                self.ghost.deleted.insert(uuid);
            }
            _ => {}
        }
        true
    }

    /// Leaves a request in the network.
    pub fn keep_late(&mut self, request: Request) {
        let at = self.late.partition_point(|other| *other < request);
        self.late.insert(at, request);
    }

    /// The manifest of that name: an empty one when the record names none yet, `NotFound` for a 404.
    pub fn manifest(&self, uuid: Uuid, ulid: Option<Ulid>) -> Result<&Manifest, NotFound> {
        let Some(ulid) = ulid else {
            return Ok(&NO_MANIFEST);
        };
        match self.objects.get(&(uuid, ulid)).map(Arc::as_ref) {
            Some(Object::Manifest(manifest)) => Ok(manifest),
            _ => Err(NotFound),
        }
    }

    /// The rows of a shard.
    pub fn shard(&self, uuid: Uuid, ulid: Ulid) -> Result<&[Row], NotFound> {
        match self.objects.get(&(uuid, ulid)).map(Arc::as_ref) {
            Some(Object::Shard(rows)) => Ok(rows),
            _ => Err(NotFound),
        }
    }

    /// The write in a WAL object.
    pub fn wal(&self, uuid: Uuid, ulid: Ulid) -> Result<OpId, NotFound> {
        match self.objects.get(&(uuid, ulid)).map(Arc::as_ref) {
            Some(Object::Wal(op)) => Ok(*op),
            _ => Err(NotFound),
        }
    }

    /// Whether a request could have an effect now.
    pub fn has_effect(&self, request: &Request, config: &Config) -> bool {
        self.catalog.clone().apply(request, config)
    }
}

/// A 404 from the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

/// One state of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Servers and network.
    pub world: World,
    /// Clients.
    pub roles: Vec<Role>,
}

/// Whether bit `row` of a deletion vector is set.
pub fn is_dead(dead: u8, row: usize) -> bool {
    dead & (1 << row) != 0
}

/// `items` without its oldest, so that at most `window` remain.
pub fn last<T>(mut items: Vec<T>, window: usize) -> Vec<T> {
    let extra = items.len().saturating_sub(window);
    items.drain(..extra);
    items
}

/// A revision that no earlier version of the same document had; with the planted mistake there is none, so the
/// bytes of a document, and with them its ETag, can recur.
pub fn next_rev(rev: u8, config: &Config) -> u8 {
    if config.has(Mistake::CasDocumentWithoutNonce) {
        0
    } else {
        rev + 1
    }
}
