//! CreateIndex and DeleteIndex (section 4, **Names** and **Catalog adapters**).

use crate::cas::{IndexDoc, NameDoc, Put, etag};
use crate::catalog::{Catalog, Lookup};
use crate::config::{CatalogKind, Config, Mistake};
use crate::record::{Record, Update};
use crate::role::{Actor, Answer};
use crate::state::{Request, Uuid, World, next_rev};

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// CreateIndex, with the uuid it draws.
    Create(Uuid),
    /// DeleteIndex.
    Delete,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Created, or found to have been.
    Created(Uuid),
    /// 409: the name is taken; a promise that this uuid will never be seen.
    Conflict(Uuid),
    /// 503.
    Unknown,
    /// Deleted, by this operation or another.
    Deleted,
    /// 404.
    NotFound,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Read the name (and, creating, the own index: "a retried create that finds its own uuid has succeeded").
    Find,
    /// Wait for an answer.
    Wait(Request),
    /// Compare-and-swap only: read the document of the index that the name points at.
    Read(Uuid),
    /// Compare-and-swap only: take that dead index off the name.
    Unlink(Uuid),
    /// All operations are done.
    Done,
}

/// A client that creates and deletes the model's one index name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    acts: Vec<Act>,
    step: Step,
    /// The index this delete is about, once it has found one.
    target: Option<Uuid>,
    /// A create of this operation was sent.
    sent: bool,
    /// A tombstone for its own uuid was sent.
    buried: bool,
    /// How each operation ended.
    pub outcomes: Vec<Outcome>,
}

impl Owner {
    /// A client with these operations to do.
    pub fn new(acts: &[Act]) -> Self {
        Self {
            acts: acts.to_vec(),
            step: Step::Find,
            target: None,
            sent: false,
            buried: false,
            outcomes: Vec::new(),
        }
    }

    /// Whether all its operations have ended.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
        if !self.acts.is_empty() {
            self.acts.remove(0);
        }
        self.step = if self.acts.is_empty() { Step::Done } else { Step::Find };
        (self.target, self.sent, self.buried) = (None, false, false);
    }

    fn send(&mut self, update: Update) {
        self.step = Step::Wait(Request { update, put: None });
    }

    fn find(&mut self, world: &mut World, config: &Config) {
        match (self.acts.first().copied(), config.catalog) {
            (Some(Act::Delete), kind) => self.find_to_delete(&world.catalog, kind),
            (Some(Act::Create(uuid)), CatalogKind::Conditional) => self.create(uuid, &world.catalog, config),
            (Some(Act::Create(uuid)), CatalogKind::Cas) => self.link(uuid, &mut world.catalog, config),
            (None, _) => self.step = Step::Done,
        }
    }

    fn find_to_delete(&mut self, catalog: &Catalog, kind: CatalogKind) {
        match (catalog.name.uuid, self.target) {
            (None, None) => self.end(Outcome::NotFound),
            (Some(found), target) if target.is_none_or(|target| target == found) => {
                self.target = Some(found);
                match kind {
                    CatalogKind::Conditional => self.send(Update::Delete { uuid: found }),
                    CatalogKind::Cas => self.step = Step::Read(found),
                }
            }
            // The index that this delete is about is off the name.
            _ => self.end(Outcome::Deleted),
        }
    }

    /// Conditional updates: one transaction. Section 4 does not say it, but a uuid with a tombstone must not be
    /// created (a late request would revive a deleted index), and a creator that has sent anything must make sure
    /// that it cannot arrive any more before it answers Conflict: it writes the tombstone of its own uuid.
    fn create(&mut self, uuid: Uuid, catalog: &Catalog, config: &Config) {
        if catalog.name.uuid == Some(uuid) {
            self.end(Outcome::Created(uuid));
        } else if catalog.is_dead(uuid) {
            // Created and deleted since; or, once it has tried to, buried by itself.
            self.end(if self.buried {
                Outcome::Unknown
            } else {
                Outcome::Created(uuid)
            });
        } else if catalog.name.uuid.is_none() {
            self.sent = true;
            self.send(Update::Create { uuid });
        } else if self.sent && !config.has(Mistake::ConflictWithoutBurial) {
            self.buried = true;
            self.send(Update::Bury { uuid });
        } else {
            self.end(Outcome::Conflict(uuid));
        }
    }

    /// Compare-and-swap: the child first, then the parent.
    fn link(&mut self, uuid: Uuid, catalog: &mut Catalog, config: &Config) {
        // Create-only under a fresh uuid: late and repeated copies of this PUT fail, so it is one step.
        let child = IndexDoc {
            record: Some(Record::empty(uuid)),
            rev: next_rev(0, config),
        };
        catalog.indexes.entry(uuid).or_insert(child);
        match catalog.name.uuid {
            _ if catalog.is_dead(uuid) => self.end(Outcome::Created(uuid)),
            Some(found) if found == uuid => self.end(Outcome::Created(uuid)),
            Some(found) => self.step = Step::Read(found),
            None => self.put_name(&catalog.name, Some(uuid), Update::Create { uuid }, config),
        }
    }

    fn put_name(&mut self, old: &NameDoc, uuid: Option<Uuid>, update: Update, config: &Config) {
        let doc = NameDoc {
            uuid,
            rev: next_rev(old.rev, config),
        };
        let put = Some(Put::Name {
            if_match: etag(old),
            doc,
        });
        self.step = Step::Wait(Request { update, put });
    }

    /// The document of the index that the name points at decides.
    fn read(&mut self, found: Uuid, catalog: &Catalog, config: &Config) {
        let creating = match self.acts.first() {
            Some(Act::Create(uuid)) => Some(*uuid),
            _ => None,
        };
        match (catalog.read(found, config), creating) {
            (Lookup::Found(_), Some(uuid)) => self.end(Outcome::Conflict(uuid)),
            (Lookup::Found(seen), None) => {
                let doc = IndexDoc {
                    record: None,
                    rev: next_rev(seen.rev, config),
                };
                let put = Some(Put::Index {
                    uuid: found,
                    if_match: seen.etag(),
                    doc,
                });
                self.step = Step::Wait(Request {
                    update: Update::Delete { uuid: found },
                    put,
                });
            }
            // "A name that points at a dead child does not exist: whoever meets one unlinks it."
            (Lookup::Dead | Lookup::Gone, _) => self.step = Step::Unlink(found),
        }
    }
}

impl Actor for Owner {
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
        match self.step {
            Step::Find => self.find(world, config),
            Step::Read(found) => self.read(found, &world.catalog, config),
            Step::Unlink(dead) if world.catalog.name.uuid == Some(dead) => {
                self.put_name(&world.catalog.name, None, Update::Unlink { uuid: dead }, config);
            }
            Step::Unlink(_) => self.step = Step::Find,
            Step::Wait(_) | Step::Done => {}
        }
    }

    fn answered(&mut self, answer: Answer, _: &mut World, config: &Config) {
        let Step::Wait(request) = &self.step else { return };
        let applied = matches!(answer, Answer::Applied(_));
        match request.update {
            Update::Create { uuid } if applied => self.end(Outcome::Created(uuid)),
            Update::Bury { uuid } if applied => self.end(Outcome::Conflict(uuid)),
            Update::Delete { uuid } if applied && config.catalog == CatalogKind::Cas => self.step = Step::Unlink(uuid),
            Update::Delete { .. } if applied => self.end(Outcome::Deleted),
            // Refused, or unlinked: read again and decide as above.
            _ => self.step = Step::Find,
        }
    }

    fn timed_out(&mut self) {
        self.step = Step::Find;
    }
}
