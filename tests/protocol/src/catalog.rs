//! The catalog's two adapters behind one face: strong reads, and requests that take effect or do not.
//!
//! In the conditional-update catalog the name, the record and the tombstone change in one transaction; in the
//! compare-and-swap catalog they are two documents, replaced one at a time.

use std::collections::BTreeMap;

use crate::cas::{Etag, IndexDoc, NameDoc, Put, etag};
use crate::config::{CatalogKind, Config, Mistake};
use crate::record::{Record, Update, updated};
use crate::state::{Request, Uuid, next_rev};

/// All that is mutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Catalog {
    /// The name of the model's one index.
    pub name: NameDoc,
    /// The indexes that exist or existed.
    pub indexes: BTreeMap<Uuid, IndexDoc>,
}

/// What a strong read of the record found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// No index of that name.
    Gone,
    /// Compare-and-swap only: the document read by its cached uuid is dead; the name must be read again.
    Dead,
    /// The record.
    Found(Seen),
}

/// A record as a client read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The record.
    pub record: Record,
    /// The rest of its document; always 0 in a conditional-update catalog.
    pub rev: u8,
}

impl Seen {
    /// The ETag that came with it.
    pub fn etag(&self) -> Etag {
        etag(&IndexDoc {
            record: Some(self.record.clone()),
            rev: self.rev,
        })
    }

    /// Turns an update of this record into a request; `None` when a compare-and-swap client sees by itself that
    /// the condition fails.
    pub fn request(&self, update: Update, config: &Config) -> Option<Request> {
        let put = match config.catalog {
            CatalogKind::Conditional => None,
            CatalogKind::Cas => {
                let record = Some(updated(&self.record, &update, config)?);
                let doc = IndexDoc {
                    record,
                    rev: next_rev(self.rev, config),
                };
                Some(Put::Index {
                    uuid: self.record.uuid,
                    if_match: self.etag(),
                    doc,
                })
            }
        };
        Some(Request { update, put })
    }
}

impl Catalog {
    /// A catalog with one index, or none.
    pub fn new(record: Option<Record>) -> Self {
        let name = NameDoc {
            uuid: record.as_ref().map(|record| record.uuid),
            rev: 0,
        };
        let docs = record.into_iter().map(|record| {
            (
                record.uuid,
                IndexDoc {
                    record: Some(record),
                    rev: 0,
                },
            )
        });
        Self {
            name,
            indexes: docs.collect(),
        }
    }

    /// The record that the name points at, if it lives.
    pub fn live(&self) -> Option<&Record> {
        self.name
            .uuid
            .and_then(|uuid| self.indexes.get(&uuid))
            .and_then(|doc| doc.record.as_ref())
    }

    /// Whether that index was deleted (or buried before it was created).
    pub fn is_dead(&self, uuid: Uuid) -> bool {
        self.indexes.get(&uuid).is_some_and(|doc| doc.record.is_none())
    }

    /// One strong read of the record: by name, or by the cached uuid where documents are stored by uuid.
    pub fn read(&self, uuid: Uuid, config: &Config) -> Lookup {
        match config.catalog {
            CatalogKind::Conditional => self
                .live()
                .cloned()
                .map_or(Lookup::Gone, |record| Lookup::Found(Seen { record, rev: 0 })),
            CatalogKind::Cas => match self.indexes.get(&uuid) {
                None => Lookup::Gone,
                Some(IndexDoc { record: None, .. }) => Lookup::Dead,
                Some(IndexDoc {
                    record: Some(record),
                    rev,
                }) => Lookup::Found(Seen {
                    record: record.clone(),
                    rev: *rev,
                }),
            },
        }
    }

    /// Applies a request if its condition holds.
    pub fn apply(&mut self, request: &Request, config: &Config) -> bool {
        match &request.put {
            Some(put) => self.replace(put),
            None => self.update(&request.update, config),
        }
    }

    fn replace(&mut self, put: &Put) -> bool {
        match put {
            Put::Name { if_match, doc } => {
                let ok = etag(&self.name) == *if_match;
                if ok {
                    self.name = doc.clone();
                }
                ok
            }
            Put::Index { uuid, if_match, doc } => match self.indexes.get_mut(uuid) {
                Some(old) if etag(old) == *if_match => {
                    *old = doc.clone();
                    true
                }
                _ => false,
            },
        }
    }

    fn update(&mut self, update: &Update, config: &Config) -> bool {
        match *update {
            Update::Create { uuid } => {
                // The tombstone's absence is part of the condition: without it a late Create revives a deleted index.
                let free = self.name.uuid.is_none()
                    && (!self.indexes.contains_key(&uuid) || config.has(Mistake::CreateIgnoresTombstone));
                if free {
                    self.name.uuid = Some(uuid);
                    self.indexes.insert(
                        uuid,
                        IndexDoc {
                            record: Some(Record::empty(uuid)),
                            rev: 0,
                        },
                    );
                }
                free
            }
            Update::Delete { uuid } => {
                let ok = self.name.uuid == Some(uuid);
                if ok {
                    self.name.uuid = None;
                    self.indexes.insert(uuid, IndexDoc { record: None, rev: 0 });
                }
                ok
            }
            Update::Bury { uuid } => {
                let ok = !self.indexes.contains_key(&uuid);
                if ok {
                    self.indexes.insert(uuid, IndexDoc { record: None, rev: 0 });
                }
                ok
            }
            _ => {
                let after = self.live().and_then(|record| updated(record, update, config));
                let doc = self.name.uuid.and_then(|uuid| self.indexes.get_mut(&uuid));
                if let (Some(record), Some(doc)) = (after, doc) {
                    doc.record = Some(record);
                    return true;
                }
                false
            }
        }
    }
}
