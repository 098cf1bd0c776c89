//! One WAL object of the tail, with what is derived from it once and then shared by all snapshots.

use std::sync::{Arc, OnceLock};

use format::wal::WalObject;
use model::{Filter, Metadata};
use roaring::RoaringBitmap;

/// A decoded WAL object.
#[derive(Debug)]
pub(crate) struct TailEntry {
    object: Arc<WalObject>,
    newest: OnceLock<Vec<u32>>,
    metadata: OnceLock<Vec<Option<Metadata>>>,
}

impl TailEntry {
    /// Nothing is derived yet.
    pub(crate) fn new(object: Arc<WalObject>) -> Self {
        Self {
            object,
            newest: OnceLock::new(),
            metadata: OnceLock::new(),
        }
    }

    /// The rows.
    pub(crate) fn object(&self) -> &Arc<WalObject> {
        &self.object
    }

    /// Bytes that it takes, with what may be derived from it.
    pub(crate) fn weight(&self) -> usize {
        self.object
            .size_bytes()
            .saturating_add(self.object.rows().saturating_mul(8))
    }

    /// The newest row of each key in this object, in key order.
    pub(crate) fn newest(&self) -> &[u32] {
        self.newest.get_or_init(|| {
            let mut rows: Vec<u32> = (0..u32::try_from(self.object.rows()).unwrap_or(u32::MAX)).collect();
            // Stable, so rows of one key stay in commit order and the last of them wins.
            rows.sort_by(|a, b| self.key(*a).cmp(self.key(*b)));
            let mut newest: Vec<u32> = Vec::with_capacity(rows.len());
            for row in rows {
                match newest.last_mut() {
                    Some(last) if self.key(*last) == self.key(row) => *last = row,
                    _ => newest.push(row),
                }
            }
            newest
        })
    }

    /// The newest rows that are puts.
    pub(crate) fn puts(&self) -> RoaringBitmap {
        self.newest()
            .iter()
            .copied()
            .filter(|row| !self.is_delete(*row))
            .collect()
    }

    /// The row's key.
    pub(crate) fn key(&self, row: u32) -> &str {
        self.object.key(row as usize)
    }

    /// Whether the row is a deletion.
    pub(crate) fn is_delete(&self, row: u32) -> bool {
        self.object.is_delete(row as usize)
    }

    /// The row's metadata as JSON.
    pub(crate) fn metadata_json(&self, row: u32) -> Option<&str> {
        self.object.metadata(row as usize)
    }

    /// Whether the row's metadata passes the filter. All rows are parsed at the first question.
    pub(crate) fn matches(&self, row: u32, filter: &Filter) -> bool {
        static NONE: OnceLock<Metadata> = OnceLock::new();
        let parsed = self.metadata.get_or_init(|| {
            let parse = |row| self.object.metadata(row).and_then(|json| Metadata::parse(json).ok());
            (0..self.object.rows()).map(parse).collect()
        });
        match parsed.get(row as usize).and_then(Option::as_ref) {
            Some(metadata) => filter.matches(metadata),
            None => filter.matches(NONE.get_or_init(Metadata::default)),
        }
    }
}
