//! The clients. A role does one storage call per step, so that it can be paused, or have crashed, at every call.
//!
//! Requests to the catalog are special: while a role waits for an answer the network may lose the answer, delay the
//! request beyond the client's patience, or repeat it. Objects are written once under fresh names, so a late or
//! repeated PUT of one changes nothing, and is not modelled.

use crate::catalog::Lookup;
use crate::collector::Collector;
use crate::config::Config;
use crate::deleter::Owner;
use crate::indexer::Indexer;
use crate::reader::Reader;
use crate::record::Record;
use crate::state::{Request, World};
use crate::writer::Writer;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Applied; the record after it (none for an index that is gone).
    Applied(Option<Record>),
    /// The condition failed. Conditional updates return the record as it is; a 412 returns nothing.
    Refused(Option<Lookup>),
}

/// One client.
pub trait Actor {
    /// The request it waits for, if it waits.
    fn request(&self) -> Option<&Request>;
    /// Whether its next step could change anything. A role with nothing to do is not modelled as polling.
    fn can_step(&self, world: &World, config: &Config) -> bool;
    /// The next storage call.
    fn step(&mut self, world: &mut World, config: &Config);
    /// The answer to its request.
    fn answered(&mut self, answer: Answer, world: &mut World, config: &Config);
    /// Its request timed out; whether it was or will be applied is unknown.
    fn timed_out(&mut self);
}

/// Any client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// PutVectors and DeleteVectors.
    Writer(Writer),
    /// Folds or compacts.
    Indexer(Indexer),
    /// Collects garbage, and purges deleted indexes.
    Collector(Collector),
    /// CreateIndex and DeleteIndex.
    Owner(Owner),
    /// Queries, gets and lists.
    Reader(Reader),
}

impl Role {
    /// The role as an actor.
    pub fn actor(&self) -> &dyn Actor {
        match self {
            Self::Writer(role) => role,
            Self::Indexer(role) => role,
            Self::Collector(role) => role,
            Self::Owner(role) => role,
            Self::Reader(role) => role,
        }
    }

    /// The role as an actor that does something.
    pub fn actor_mut(&mut self) -> &mut dyn Actor {
        match self {
            Self::Writer(role) => role,
            Self::Indexer(role) => role,
            Self::Collector(role) => role,
            Self::Owner(role) => role,
            Self::Reader(role) => role,
        }
    }
}
