//! The tail as an overlay: which of its rows, and which rows of the shards, are the newest of their keys.
//!
//! Keys of the tail lie in sorted runs, newest run last, whose lengths fall at least by half from one to the next: an
//! entry is added in time proportional to its own rows (times a logarithm), nothing else is copied, and views share
//! what they have in common. A query needs the bitmaps only; lookups and listings search the runs.

use std::cmp::Ordering;
use std::sync::Arc;

use engine::shard::Shard;
use format::record::WalEntry;
use roaring::RoaringBitmap;

use super::entry::TailEntry;

/// A row of the tail: which entry, counted from the view's oldest, and which row in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TailRow {
    /// Position of the entry.
    pub entry: u32,
    /// The row in it.
    pub row: u32,
}

/// One entry of a view.
#[derive(Debug, Clone)]
pub(crate) struct TailSlot {
    /// As the record names it.
    pub id: WalEntry,
    /// The rows.
    pub entry: Arc<TailEntry>,
    /// The puts among them that no later row overrides.
    pub live: Arc<RoaringBitmap>,
}

/// The tail over the shards of one manifest.
#[derive(Debug, Clone, Default)]
pub(crate) struct TailView {
    slots: Vec<TailSlot>,
    runs: Vec<Arc<Vec<TailRow>>>,
    /// By shard: dead rows, and rows whose key has a newer row in the tail.
    excluded: Vec<Arc<RoaringBitmap>>,
}

impl TailView {
    /// An empty tail over shards with these deletion vectors.
    pub(crate) fn over(dead: Vec<Arc<RoaringBitmap>>) -> Self {
        Self {
            slots: Vec::new(),
            runs: Vec::new(),
            excluded: dead,
        }
    }

    /// The entries, oldest first.
    pub(crate) fn slots(&self) -> &[TailSlot] {
        &self.slots
    }

    /// By shard: the rows that do not count.
    pub(crate) fn excluded(&self) -> &[Arc<RoaringBitmap>] {
        &self.excluded
    }

    /// The sorted runs, oldest first; a newer run's row overrides an older one's.
    pub(crate) fn runs(&self) -> &[Arc<Vec<TailRow>>] {
        &self.runs
    }

    /// The row's entry.
    pub(crate) fn entry(&self, row: TailRow) -> Option<&TailEntry> {
        self.slots.get(row.entry as usize).map(|slot| &*slot.entry)
    }

    /// The row's key.
    pub(crate) fn key(&self, row: TailRow) -> &str {
        self.entry(row).map_or("", |entry| entry.key(row.row))
    }

    /// Whether the row is a put that nothing in the tail overrides.
    pub(crate) fn is_live(&self, row: TailRow) -> bool {
        self.slots
            .get(row.entry as usize)
            .is_some_and(|slot| slot.live.contains(row.row))
    }

    /// The newest row of a key, put or delete.
    pub(crate) fn find(&self, key: &str) -> Option<TailRow> {
        self.runs.iter().rev().find_map(|run| {
            let at = run.binary_search_by(|row| self.key(*row).cmp(key)).ok()?;
            run.get(at).copied()
        })
    }

    /// The view after one more commit: its rows override what the tail and the shards hold for their keys, before any
    /// filter is looked at (I1, I2).
    pub(crate) fn push(&mut self, id: WalEntry, entry: Arc<TailEntry>, shards: &[Arc<Shard>]) {
        let position = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        for row in entry.newest() {
            let key = entry.key(*row);
            match self.find(key) {
                Some(older) => self.hide_in_tail(older),
                // A key that the tail holds already has hidden its rows in the shards.
                None => self.hide_in_shards(key, shards),
            }
        }
        let run = entry
            .newest()
            .iter()
            .map(|row| TailRow {
                entry: position,
                row: *row,
            })
            .collect();
        let live = Arc::new(entry.puts());
        self.slots.push(TailSlot { id, entry, live });
        self.push_run(run);
    }

    fn hide_in_tail(&mut self, older: TailRow) {
        if let Some(slot) = self.slots.get_mut(older.entry as usize)
            && slot.live.contains(older.row)
        {
            Arc::make_mut(&mut slot.live).remove(older.row);
        }
    }

    fn hide_in_shards(&mut self, key: &str, shards: &[Arc<Shard>]) {
        let hash = format::key_hash(key);
        for (shard, excluded) in shards.iter().zip(&mut self.excluded) {
            if let Some(row) = shard.find_hashed(key, hash)
                && !excluded.contains(row)
            {
                Arc::make_mut(excluded).insert(row);
            }
        }
    }

    /// Adds a run and merges the last ones while they are of like length.
    fn push_run(&mut self, mut newest: Vec<TailRow>) {
        while let Some(older) = self.runs.last()
            && older.len() <= newest.len().saturating_mul(2)
        {
            newest = self.merge(older, &newest);
            self.runs.pop();
        }
        self.runs.push(Arc::new(newest));
    }

    fn merge(&self, older: &[TailRow], newer: &[TailRow]) -> Vec<TailRow> {
        let mut merged = Vec::with_capacity(older.len() + newer.len());
        let (mut older, mut newer) = (older.iter().copied().peekable(), newer.iter().copied().peekable());
        while let (Some(old), Some(new)) = (older.peek().copied(), newer.peek().copied()) {
            match self.key(old).cmp(self.key(new)) {
                Ordering::Less => merged.extend(older.next()),
                Ordering::Greater => merged.extend(newer.next()),
                Ordering::Equal => {
                    older.next();
                    merged.extend(newer.next());
                }
            }
        }
        merged.extend(older);
        merged.extend(newer);
        merged
    }
}
