//! Which reads are made, and that what they give is checked.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use engine::pool::Pool;
use engine::{ShardBuilder, ShardBytes};
use model::{Dimension, DistanceMetric, Encryption, Ids, IndexConfig, ManualClock, SeededRandom, ShardId, Ulid};
use storage::local::InProcessDoorbell;
use storage::{CasCatalog, ETag, MemoryStore, ObjectMeta, ObjectStore, StoreError};

use super::*;
use crate::{Config, Ports};

fn vectors(rows: &[u32]) -> Vec<(Range<u64>, Part)> {
    let part = |row: &u32| {
        let start = u64::from(*row) * 100;
        (start..start + 100, Part::Vector(*row))
    };
    rows.iter().map(part).collect()
}

fn ranges(reads: &[Read]) -> Vec<Range<u64>> {
    reads.iter().map(|read| read.range.clone()).collect()
}

#[test]
fn close_ranges_are_read_together() {
    let asked = vectors(&[9, 2, 3, 7, 40]);
    assert_eq!(
        ranges(&coalesce(asked.clone(), 0)),
        [200..400, 700..800, 900..1000, 4000..4100]
    );
    assert_eq!(ranges(&coalesce(asked.clone(), 100)), [200..400, 700..1000, 4000..4100]);
    assert_eq!(ranges(&coalesce(asked.clone(), 300)), [200..1000, 4000..4100]);
    let whole = coalesce(asked, u64::MAX);
    assert_eq!((whole.len(), &whole[0].range), (1, &(200..4100)));
    let rows: Vec<Part> = whole[0].parts.iter().map(|(_, part)| part.clone()).collect();
    assert_eq!(rows, [2, 3, 7, 9, 40].map(Part::Vector));
    assert!(coalesce(Vec::new(), 10).is_empty());
}

#[test]
fn no_read_grows_without_bound() {
    let rows: Vec<u32> = (0..100_000).collect();
    let reads = coalesce(vectors(&rows), 1 << 20);
    assert!(reads.iter().all(|read| read.range.end - read.range.start <= READ_BYTES));
    assert_eq!(reads.len(), 3);
    // A page that is longer than any read is read all the same.
    let page = (0..10 * READ_BYTES, Part::Page(0, vec![1]));
    let alone = coalesce(vec![page], 0);
    assert_eq!((alone.len(), &alone[0].range), (1, &(0..10 * READ_BYTES)));
}

#[test]
fn the_whole_file_is_read_when_that_is_less() {
    let config = RangedConfig {
        gap_bytes: 0,
        read_cost_bytes: 50,
        most_bytes: 2_000,
        ..RangedConfig::default()
    };
    let is_ranged = |rows: &[u32], file, config: &RangedConfig| planned(&vectors(rows), file, config).is_some();
    assert!(is_ranged(&[1, 3, 5], 450, &config));
    assert!(
        !is_ranged(&[1, 3, 5], 449, &config),
        "three reads of 100 bytes, which cost 50 each"
    );
    let many: Vec<u32> = (0..20).collect();
    assert!(is_ranged(&many, 1 << 30, &config));
    let more: Vec<u32> = (0..21).collect();
    assert!(!is_ranged(&more, 1 << 30, &config), "more than is allowed");
}

#[test]
fn less_lies_between_the_ranges_when_that_saves_the_file() {
    let config = RangedConfig {
        gap_bytes: 1_600,
        read_cost_bytes: 300,
        ..RangedConfig::default()
    };
    let apart: Vec<u32> = (0..10).map(|row| row * 10).collect();
    let reads = |file| planned(&vectors(&apart), file, &config).map(|reads| reads.len());
    assert_eq!(reads(9_400), Some(1), "9,100 bytes at once");
    assert_eq!(reads(4_000), Some(10), "100 bytes ten times");
    assert_eq!(reads(3_999), None);
}

/// A store whose ranges come from a copy on the way, which is damaged until it is dropped.
#[derive(Debug)]
struct Copying {
    store: MemoryStore,
    is_damaged: AtomicBool,
}

#[async_trait]
impl ObjectStore for Copying {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(name, bytes).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Bytes, StoreError> {
        self.store.get(name).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.store.get_range(name, range).await?;
        let flip = u8::from(self.is_damaged.load(Ordering::SeqCst));
        Ok(bytes.iter().map(|byte| byte ^ flip).collect())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.store.list(prefix, after, limit).await
    }

    async fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.store.delete(names).await
    }

    async fn read_tagged(&self, name: &ObjectName) -> Result<(Bytes, ETag), StoreError> {
        self.store.read_tagged(name).await
    }

    async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<ETag, StoreError> {
        self.store.create(name, bytes).await
    }

    async fn replace(&self, name: &ObjectName, bytes: Bytes, expected: &ETag) -> Result<ETag, StoreError> {
        self.store.replace(name, bytes, expected).await
    }

    async fn invalidate(&self, _: &[ObjectName]) -> bool {
        self.is_damaged.swap(false, Ordering::SeqCst)
    }
}

/// A shard of 200 rows without its `rows.parquet`, which the store has.
struct World {
    copying: Arc<Copying>,
    ctx: Arc<Context>,
    index: IndexUuid,
    entry: ShardEntry,
    shard: Arc<Shard>,
    name: ObjectName,
}

const ROWS: u32 = 200;

fn text(row: u32) -> Option<String> {
    (!row.is_multiple_of(3)).then(|| format!(r#"{{"row":{row}}}"#))
}

impl World {
    async fn new() -> Self {
        let copying = Arc::new(Copying {
            store: MemoryStore::new(),
            is_damaged: AtomicBool::new(false),
        });
        let objects: Arc<dyn ObjectStore> = Arc::clone(&copying) as _;
        let ids = Ids::new(Arc::new(ManualClock::new(1)), Arc::new(SeededRandom::new(7)));
        let ports = Ports {
            catalog: Arc::new(CasCatalog::open(Arc::clone(&objects), ids.clone()).await.unwrap()),
            objects,
            doorbell: Arc::new(InProcessDoorbell::new().0),
        };
        let mut config = Config::default();
        config.ranged.gap_bytes = 0;
        config.ranged.read_cost_bytes = 0;
        // Less than some of the tests read at once.
        config.ranged.memory_bytes = 1;
        let ctx = Arc::new(Context::new(ports, ids, Arc::new(Pool::new(1).unwrap()), config));
        let dimension = Dimension::new(2).unwrap();
        let mut builder = ShardBuilder::new(dimension);
        for row in 0..ROWS {
            let vector = [1.0_f32.to_le_bytes(), (row as f32).to_le_bytes()].concat();
            builder
                .push(&format!("{row:03}"), &vector, text(row).as_deref())
                .unwrap();
        }
        let config = IndexConfig {
            dimension,
            metric: DistanceMetric::Euclidean,
            non_filterable_keys: None,
            encryption: Encryption::Aes256,
        };
        let encoded = builder.finish(&config).unwrap().unwrap();
        let (index, entry) = (
            IndexUuid(ctx.ids.uuid()),
            encoded.entry(ShardId(Ulid::from_parts(1, 1))),
        );
        let name = shards::rows_name(index, entry.id);
        copying.put(&name, encoded.rows).await.unwrap();
        let bytes = ShardBytes {
            rows: None,
            keys: encoded.keys,
            fst: encoded.fst,
            attributes: encoded.attributes,
            head: encoded.head,
            index: None,
        };
        let shard = Arc::new(Shard::open(&entry, bytes).unwrap());
        Self {
            copying,
            ctx,
            index,
            entry,
            shard,
            name,
        }
    }

    async fn read(&self, vectors: &[u32], metadata: &[u32]) -> Result<Rows, ReadFault> {
        let wanted = WantedRows {
            is_whole: false,
            vectors: vectors.to_vec(),
            metadata: metadata.to_vec(),
        };
        read(&self.ctx, self.index, &self.entry, &self.shard, wanted).await
    }
}

fn is_right(rows: &Rows, vectors: &[u32], metadata: &[u32]) -> bool {
    let vector = |row: u32| [1.0_f32.to_le_bytes(), (row as f32).to_le_bytes()].concat();
    let mut texts: Vec<(u32, Option<String>)> = rows.metadata.clone();
    texts.sort();
    rows.vectors.len() == vectors.len()
        && vectors
            .iter()
            .all(|row| rows.vectors.get(*row) == Some(&vector(*row)[..]))
        && texts == metadata.iter().map(|row| (*row, text(*row))).collect::<Vec<_>>()
}

#[tokio::test]
async fn rows_are_read_from_their_ranges() {
    let world = World::new().await;
    let rows = world.read(&[7, 3, 199], &[3, 4, 5]).await.unwrap();
    assert!(is_right(&rows, &[3, 7, 199], &[3, 4, 5]), "{rows:?}");
    assert_eq!(world.ctx.metrics.ranged_reads.get(), 4);
    assert!(!world.shard.has_rows());
    let beyond = world.read(&[ROWS], &[]).await.unwrap_err();
    assert!(matches!(beyond, ReadFault::Unreadable { .. }), "{beyond:?}");
    // All of the file.
    let whole = WantedRows {
        is_whole: true,
        ..WantedRows::default()
    };
    let none = read(&world.ctx, world.index, &world.entry, &world.shard, whole)
        .await
        .unwrap();
    assert!(none.vectors.is_empty() && none.metadata.is_empty() && world.shard.has_rows());
}

#[tokio::test]
async fn damage_names_the_object_and_the_row() {
    let world = World::new().await;
    let (vector, page) = (
        world.shard.vector_range(9).unwrap(),
        world.shard.metadata_page(9).unwrap().1,
    );
    for (range, what) in [(vector, "rows.parquet: row 9"), (page, "page 0 of metadata")] {
        for byte in range {
            let bit = usize::try_from(byte * 8 + byte % 8).unwrap();
            assert!(world.copying.store.flip_bit(&world.name, bit));
            match world.read(&[9], &[9]).await {
                Err(ReadFault::Unreadable { name, reason }) => {
                    assert_eq!(name, world.name);
                    assert!(reason.contains(what), "{reason}");
                }
                other => panic!("byte {byte}: {other:?}"),
            }
            assert!(world.copying.store.flip_bit(&world.name, bit));
        }
    }
    assert!(is_right(&world.read(&[9], &[9]).await.unwrap(), &[9], &[9]));
}

#[tokio::test]
async fn a_damaged_copy_is_dropped_and_the_store_asked_again() {
    let world = World::new().await;
    world.copying.is_damaged.store(true, Ordering::SeqCst);
    assert!(is_right(&world.read(&[1], &[2]).await.unwrap(), &[1], &[2]));
    assert!(!world.copying.is_damaged.load(Ordering::SeqCst));
}
