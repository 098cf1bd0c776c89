//! Rows of a snapshot, wherever they are: point lookups, keys, vectors, metadata.

use std::collections::HashMap;

use engine::EngineError;
use engine::topk::Place;

use super::snapshot::Snapshot;
use super::tail::TailRow;
use super::work::Fetched;

impl TailRow {
    /// The place that the engine would name.
    pub(crate) fn place(self) -> Place {
        Place::Tail {
            entry: self.entry as usize,
            row: self.row,
        }
    }
}

impl Snapshot {
    /// The row that holds the newest version of a key; `None` when there is none or it was deleted.
    pub(crate) fn find(&self, key: &str) -> Option<Place> {
        if let Some(row) = self.tail.find(key) {
            return self.tail.is_live(row).then(|| row.place());
        }
        let mut shards = self.shards.iter().zip(self.tail.excluded()).enumerate();
        shards.find_map(|(position, (shard, excluded))| {
            let row = shard.find(key)?;
            (!excluded.contains(row)).then_some(Place::Shard { shard: position, row })
        })
    }

    /// The row's vector, little-endian; that of a shard without its `rows.parquet` must have been fetched.
    pub(crate) fn vector_bytes<'a>(&'a self, place: Place, fetched: &'a Fetched) -> Option<&'a [u8]> {
        match place {
            Place::Shard { shard, row } => {
                let opened = self.shards.get(shard)?;
                if opened.has_rows() {
                    return Some(opened.vector_bytes(row));
                }
                fetched.vector(shard, row)
            }
            Place::Tail { entry, row } => {
                let slot = self.tail.slots().get(entry)?;
                Some(slot.entry.object().vector_bytes(row as usize))
            }
        }
    }

    /// The rows' metadata as JSON, in the order asked; each shard's pages are decoded once. That of a shard without its
    /// `rows.parquet` must have been fetched.
    pub(crate) fn metadata(&self, places: &[Place], fetched: &Fetched) -> Result<Vec<Option<String>>, EngineError> {
        let mut found = vec![None; places.len()];
        let mut wanted: HashMap<usize, Vec<(u32, usize)>> = HashMap::new();
        for (at, place) in places.iter().enumerate() {
            match *place {
                Place::Shard { shard, row } => wanted.entry(shard).or_default().push((row, at)),
                Place::Tail { entry, row } => {
                    let slot = self.tail.slots().get(entry);
                    let json = slot.and_then(|slot| slot.entry.metadata_json(row));
                    if let Some(out) = found.get_mut(at) {
                        *out = json.map(str::to_owned);
                    }
                }
            }
        }
        for (position, mut rows) in wanted {
            rows.sort_unstable();
            let Some(shard) = self.shards.get(position) else {
                continue;
            };
            if !shard.has_rows() {
                for (row, at) in rows {
                    let text = fetched.metadata(position, row);
                    let text = text.ok_or_else(|| EngineError::NoRows { shard: shard.id() })?;
                    if let Some(out) = found.get_mut(at) {
                        out.clone_from(text);
                    }
                }
                continue;
            }
            let numbers: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
            for ((_, at), json) in rows.iter().zip(shard.metadata(&numbers)?) {
                if let Some(out) = found.get_mut(*at) {
                    *out = json;
                }
            }
        }
        Ok(found)
    }
}
