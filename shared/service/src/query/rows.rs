//! Rows of a snapshot, wherever they are: point lookups, keys, vectors, metadata.

use std::collections::HashMap;

use engine::EngineError;
use engine::topk::Place;

use super::snapshot::Snapshot;
use super::tail::TailRow;

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

    /// The row's vector, little-endian.
    pub(crate) fn vector_bytes(&self, place: Place) -> &[u8] {
        match place {
            Place::Shard { shard, row } => self.shards.get(shard).map_or(&[], |shard| shard.vector_bytes(row)),
            Place::Tail { entry, row } => {
                let slot = self.tail.slots().get(entry);
                slot.map_or(&[], |slot| slot.entry.object().vector_bytes(row as usize))
            }
        }
    }

    /// The rows' metadata as JSON, in the order asked; each shard's pages are decoded once.
    pub(crate) fn metadata(&self, places: &[Place]) -> Result<Vec<Option<String>>, EngineError> {
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
        for (shard, mut rows) in wanted {
            rows.sort_unstable();
            let Some(shard) = self.shards.get(shard) else {
                continue;
            };
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
