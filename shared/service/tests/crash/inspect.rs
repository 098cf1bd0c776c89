//! The invariants, checked on the stored objects themselves: no line of the service takes part.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use engine::shard::{Shard, ShardBytes};
use format::manifest::{DeadRef, Manifest, ShardEntry};
use format::record::IndexRecord;
use format::wal::WalObject;
use model::{Ids, IndexUuid, ManualClock, SeededRandom};
use roaring::RoaringBitmap;
use storage::paths::{self, ObjectKind, ShardFile};
use storage::{CasCatalog, Catalog, IndexPath, MemoryStore, ObjectName, ObjectStore};

use super::model::{Life, Rows, State, version_of};

/// What the store holds, opened and verified.
#[derive(Debug)]
pub struct Found {
    bucket: bool,
    index: Option<FoundIndex>,
    /// Everything that is stored under any index's prefix.
    stored: Vec<(IndexUuid, ObjectName)>,
}

#[derive(Debug)]
struct FoundIndex {
    record: IndexRecord,
    /// What the shards hold, dead rows left out.
    folded: Rows,
    /// The tail over them.
    rows: Rows,
    reachable: HashSet<ObjectName>,
}

/// [`inspect_with`] the catalog that is kept in the store itself.
pub async fn inspect(store: &MemoryStore, path: &IndexPath) -> Result<Found, String> {
    inspect_with(&documents(store).await?, store, path).await
}

/// The catalog that is kept in the store itself, for reading.
pub async fn documents(store: &MemoryStore) -> Result<CasCatalog, String> {
    let ids = Ids::new(Arc::new(ManualClock::new(0)), Arc::new(SeededRandom::new(0)));
    let opened = CasCatalog::open_read_only(Arc::new(store.clone()), ids).await;
    opened.map_err(text)
}

/// Opens everything that the record at `path` reaches (I4), and looks for keys that live twice (I3) and for entries
/// that count twice (I2).
pub async fn inspect_with(catalog: &dyn Catalog, store: &MemoryStore, path: &IndexPath) -> Result<Found, String> {
    let bucket = catalog.read_bucket(&path.bucket).await.map_err(text)?.is_some();
    let index = match catalog.read_record(path).await.map_err(text)? {
        Some(record) => Some(open_index(store, record).await?),
        None => None,
    };
    let owned = |name: ObjectName| paths::owner(&name).map(|owner| (owner, name));
    let stored = store.names().into_iter().filter_map(owned).collect();
    Ok(Found { bucket, index, stored })
}

fn text(error: impl Display) -> String {
    error.to_string()
}

async fn open_index(store: &MemoryStore, record: IndexRecord) -> Result<FoundIndex, String> {
    let mut reader = Reader {
        store,
        index: record.uuid,
        reachable: HashSet::new(),
    };
    let manifest = reader.manifest(&record).await?;
    if manifest.wal_base != record.wal_base || manifest.index != record.uuid {
        return Err(format!(
            "I2: the manifest's base is {}, the record's {}",
            manifest.wal_base, record.wal_base
        ));
    }
    let once: HashSet<_> = record
        .wal
        .iter()
        .map(|entry| entry.id)
        .chain(manifest.folded.iter().copied())
        .collect();
    if once.len() != record.wal.len() + manifest.folded.len() {
        return Err(format!(
            "I2: an entry counts twice: {:?} after {:?}",
            record.wal, manifest.folded
        ));
    }
    let strays = manifest.dead.keys().filter(|id| manifest.shard(**id).is_none()).count();
    if strays > 0 {
        return Err(format!("I3: {strays} deletion vectors belong to no shard"));
    }
    let mut folded = Rows::new();
    for entry in &manifest.shards {
        reader.add_shard(&manifest, entry, &mut folded).await?;
    }
    if let Some(train) = &manifest.train {
        let bytes = reader.get(paths::train(record.uuid, train.id)).await?;
        if bytes.len() as u64 != train.size || format::crc32c(&bytes) != train.crc32c {
            return Err(format!("I4: training generation {} is another one", train.id));
        }
    }
    let rows = reader.lay_tail_over(&record, folded.clone()).await?;
    Ok(FoundIndex {
        reachable: reader.reachable,
        record,
        folded,
        rows,
    })
}

struct Reader<'a> {
    store: &'a MemoryStore,
    index: IndexUuid,
    reachable: HashSet<ObjectName>,
}

impl Reader<'_> {
    async fn get(&mut self, name: ObjectName) -> Result<Bytes, String> {
        let bytes = self.store.get(&name).await.map_err(|error| format!("I4: {error}"));
        self.reachable.insert(name);
        bytes
    }

    async fn manifest(&mut self, record: &IndexRecord) -> Result<Manifest, String> {
        let Some(reference) = &record.manifest else {
            return Ok(Manifest::empty(record.uuid));
        };
        let bytes = self.get(paths::manifest(self.index, reference)).await?;
        Manifest::decode(&bytes).map_err(|error| format!("I4: {error}"))
    }

    async fn dead(&mut self, manifest: &Manifest, entry: &ShardEntry) -> Result<RoaringBitmap, String> {
        let dead = match manifest.dead.get(&entry.id) {
            None => RoaringBitmap::new(),
            Some(DeadRef::Inline(rows)) => rows.clone(),
            Some(DeadRef::Object { id, size, crc32c, dead }) => {
                let bytes = self.get(paths::dead(self.index, entry.id, *id)).await?;
                if bytes.len() as u64 != *size || format::crc32c(&bytes) != *crc32c {
                    return Err(format!("I4: the deletion vector of {} is another one", entry.id));
                }
                let rows = format::decode_dead(&bytes).map_err(|error| format!("I4: {error}"))?;
                if rows.len() != u64::from(*dead) {
                    return Err(format!(
                        "I4: the deletion vector of {} has {} rows, not {dead}",
                        entry.id,
                        rows.len()
                    ));
                }
                rows
            }
        };
        if dead.max().is_some_and(|row| row >= entry.rows) {
            return Err(format!(
                "I3: {} has {} rows and a dead one beyond: {dead:?}",
                entry.id, entry.rows
            ));
        }
        Ok(dead)
    }

    async fn shard(&mut self, entry: &ShardEntry) -> Result<Shard, String> {
        let mut files = HashMap::new();
        for file in ShardFile::ALL {
            if file != ShardFile::Index || entry.files.index.is_some() {
                files.insert(file, self.get(paths::shard_file(self.index, entry.id, file)).await?);
            }
        }
        let mut take = |file| files.remove(&file).unwrap_or_default();
        let bytes = ShardBytes {
            rows: take(ShardFile::Rows),
            keys: take(ShardFile::Keys),
            fst: take(ShardFile::Fst),
            attributes: take(ShardFile::Attributes),
            head: take(ShardFile::Head),
            index: entry.files.index.map(|_| take(ShardFile::Index)),
        };
        Shard::open(entry, bytes).map_err(|error| format!("I4: {error}"))
    }

    /// Adds the shard's live rows.
    async fn add_shard(&mut self, manifest: &Manifest, entry: &ShardEntry, rows: &mut Rows) -> Result<(), String> {
        let dead = self.dead(manifest, entry).await?;
        let shard = self.shard(entry).await?;
        let live: Vec<u32> = (0..shard.rows()).filter(|row| !dead.contains(*row)).collect();
        let metadata = shard.metadata(&live).map_err(text)?;
        for (row, metadata) in live.into_iter().zip(metadata) {
            let key = shard.key(row);
            if shard.find(key) != Some(row) {
                return Err(format!(
                    "I3: {}'s index leads {key} to {:?}, not {row}",
                    entry.id,
                    shard.find(key)
                ));
            }
            let version = version_of(key, &floats(shard.vector_bytes(row)), metadata.as_deref())?;
            // I3: the row is the newest version of its key, or it is dead; so two live rows cannot share a key.
            if let Some(other) = rows.insert(key.to_owned(), version) {
                return Err(format!("I3: {key} lives twice in the shards, as {other} and {version}"));
            }
        }
        Ok(())
    }

    async fn lay_tail_over(&mut self, record: &IndexRecord, mut rows: Rows) -> Result<Rows, String> {
        for entry in &record.wal {
            let bytes = self.get(paths::wal(self.index, entry.id)).await?;
            let object = WalObject::decode(bytes).map_err(|error| format!("I4: {error}"))?;
            if object.rows() != entry.rows as usize {
                return Err(format!(
                    "I4: {} has {} rows, the record says {}",
                    entry.id,
                    object.rows(),
                    entry.rows
                ));
            }
            for row in 0..object.rows() {
                let key = object.key(row);
                let version = match object.vector(row) {
                    Some(vector) => Some(version_of(key, vector, object.metadata(row))?),
                    None => None,
                };
                match version {
                    Some(version) => rows.insert(key.to_owned(), version),
                    None => rows.remove(key),
                };
            }
        }
        Ok(rows)
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect()
}

impl Found {
    /// Does the store hold exactly this state?
    pub fn compare(&self, state: &State) -> Result<(), String> {
        if self.bucket != state.bucket {
            return Err(format!("I1: bucket {} instead of {}", self.bucket, state.bucket));
        }
        match (&self.index, &state.index) {
            (None, None) => Ok(()),
            (Some(found), Some(life)) => found.compare(life),
            (found, _) => Err(format!("I1, I7: the index exists: {}", found.is_some())),
        }
    }

    /// Like [`Found::compare`] when only the rows are known, not the commits that led to them.
    pub fn compare_rows(&self, rows: &Rows) -> Result<(), String> {
        let found = self.index.as_ref().ok_or("I1: there is no index")?;
        differ("I1, I2: rows", &found.rows, rows)
    }

    /// Nothing is left to do and nothing is left over: a crash has cost nothing that ordinary work does not give back
    /// (I5), and of deleted lives nothing stays (I7).
    pub fn check_tidy(&self) -> Result<(), String> {
        let live = self.index.as_ref().map(|found| found.record.uuid);
        let strangers: Vec<_> = self.stored.iter().filter(|(owner, _)| Some(*owner) != live).collect();
        if !strangers.is_empty() {
            return Err(format!("I7: objects of deleted lives stay: {strangers:?}"));
        }
        let Some(found) = &self.index else {
            return Ok(());
        };
        let record = &found.record;
        if !record.wal.is_empty() || record.tail_kib != 0 || record.dirty_since_ms.is_some() {
            let tail = (record.wal.len(), record.tail_kib, record.dirty_since_ms);
            return Err(format!("I5: the indexer has left work: {tail:?}"));
        }
        let is_garbage = |name: &ObjectName| {
            let is_list = matches!(paths::parse(name), Some(ObjectKind::Collection(_)));
            !is_list && !found.reachable.contains(name)
        };
        let garbage: Vec<_> = self
            .stored
            .iter()
            .map(|(_, name)| name)
            .filter(|name| is_garbage(name))
            .collect();
        if !garbage.is_empty() {
            return Err(format!("I5: garbage stays: {garbage:?}"));
        }
        Ok(())
    }
}

impl FoundIndex {
    fn compare(&self, life: &Life) -> Result<(), String> {
        let commits = self.record.wal_base + self.record.wal.len() as u64;
        if commits != life.commits() {
            return Err(format!("I1, I2: {commits} commits instead of {}", life.commits()));
        }
        differ("I1, I2: rows", &self.rows, life.rows())?;
        let below = life
            .rows_at(self.record.wal_base)
            .ok_or("I3: the base lies beyond the last commit")?;
        differ("I3: live rows of the shards", &self.folded, below)
    }
}

/// Names what is missing, what is too much and what is another version.
pub fn differ(what: &str, found: &Rows, wanted: &Rows) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let keys: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let wrong: Vec<String> = keys
        .into_iter()
        .filter(|key| found.get(*key) != wanted.get(*key))
        .map(|key| format!("{key}: {:?} instead of {:?}", found.get(key), wanted.get(key)))
        .take(10)
        .collect();
    Err(format!("{what}: {}", wrong.join(", ")))
}
