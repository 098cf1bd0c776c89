//! Where the rows of a merged shard went.

use roaring::RoaringBitmap;

/// Says that a row was left behind. No shard has this many rows: row numbers end below it.
const GONE: u32 = u32::MAX;

/// The new row of every row of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMap {
    new_rows: Vec<u32>,
}

impl RowMap {
    /// A map of a source with `rows` rows, all of them left behind so far.
    pub(super) fn new(rows: u32) -> Self {
        Self {
            new_rows: vec![GONE; rows as usize],
        }
    }

    pub(super) fn set(&mut self, old: u32, new: u32) {
        if let Some(place) = self.new_rows.get_mut(old as usize) {
            *place = new;
        }
    }

    /// The row in the output; `None` when the row was dead or replaced.
    pub fn get(&self, old: u32) -> Option<u32> {
        self.new_rows.get(old as usize).copied().filter(|row| *row != GONE)
    }

    /// The output rows of these source rows. With the *current* deletion vector of the source this is what must be dead
    /// in the output when a commit is rebased (DESIGN section 4, compaction).
    pub fn map(&self, old: &RoaringBitmap) -> RoaringBitmap {
        old.iter().filter_map(|row| self.get(row)).collect()
    }
}
