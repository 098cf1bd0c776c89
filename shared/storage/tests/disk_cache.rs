//! The disk cache under load and under chance: one fetch for many, whatever happens to those who asked, and the same
//! answers as a map whatever happens to its files.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{IndexUuid, ShardId, Ulid};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use storage::layers::delay::Delay;
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::layers::faults::{Fault, FaultPlan, FaultStore, When};
use storage::layers::metering::{Meter, MeteredStore};
use storage::{MemoryStore, ObjectName, ObjectStore, ShardFile, StoreError, paths};

const MIB: u64 = 1 << 20;
const ASKERS: usize = 64;

fn object(number: u64) -> ObjectName {
    let index = IndexUuid(uuid::Uuid::from_u128(3));
    paths::shard_file(index, ShardId(Ulid::from_parts(number, 0)), ShardFile::Keys)
}

fn pattern(seed: u64, length: usize) -> Bytes {
    (0..length).map(|at| (at as u64 * 13 + seed) as u8).collect()
}

/// A slow store that counts, and may fail.
struct Slow {
    folder: tempfile::TempDir,
    meter: Meter,
    plan: FaultPlan,
    cache: DiskCache,
}

impl Slow {
    async fn holding(objects: u64) -> Self {
        let (folder, meter, plan) = (tempfile::tempdir().unwrap(), Meter::new(), FaultPlan::new());
        let store = MemoryStore::new();
        for number in 0..objects {
            store.put(&object(number), pattern(number, 200_000)).await.unwrap();
        }
        let metered = MeteredStore::new(Arc::new(store), meter.clone());
        let delayed = Delay::new(Arc::new(metered), Duration::from_millis(50));
        let inner = Arc::new(FaultStore::new(Arc::new(delayed), plan.clone()));
        let cache = DiskCache::open(inner, DiskCacheConfig::new(folder.path(), 64 * MIB)).await;
        Self {
            folder,
            meter,
            plan,
            cache,
        }
    }

    fn fetches(&self) -> u64 {
        self.meter.usage()["get"].calls
    }

    /// Until so many calls of the store have begun.
    async fn begun(&self, calls: u64) {
        while self.plan.count() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn ask(&self, number: u64) -> tokio::task::JoinHandle<Result<Bytes, StoreError>> {
        let cache = self.cache.clone();
        tokio::spawn(async move { cache.get(&object(number)).await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_ask_at_once_and_one_fetches() {
    let slow = Slow::holding(2).await;
    for round in 0..3 {
        let askers: Vec<_> = (0..ASKERS * 2).map(|asker| slow.ask(asker as u64 % 2)).collect();
        for (asker, task) in askers.into_iter().enumerate() {
            assert!(task.await.unwrap().unwrap() == pattern(asker as u64 % 2, 200_000));
        }
        assert_eq!(slow.fetches(), 2, "round {round}");
    }
    let usage = slow.cache.usage();
    assert_eq!(usage.misses, 2);
    assert_eq!(usage.hits + usage.joined, 6 * ASKERS as u64 - 2);
    // Unverified after a restart: verified once for all, fetched by nobody.
    let reopened = DiskCache::open(
        Arc::new(MemoryStore::new()),
        DiskCacheConfig::new(slow.folder.path(), 64 * MIB),
    )
    .await;
    let askers: Vec<_> = (0..ASKERS)
        .map(|_| {
            let cache = reopened.clone();
            tokio::spawn(async move { cache.get(&object(0)).await.unwrap() })
        })
        .collect();
    for task in askers {
        assert!(task.await.unwrap() == pattern(0, 200_000));
    }
    assert_eq!(reopened.usage().misses, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_gives_up_strands_nobody() {
    let slow = Slow::holding(2).await;
    let mut askers: Vec<_> = (0..ASKERS).map(|_| slow.ask(0)).collect();
    let alone = slow.ask(1);
    slow.begun(2).await;
    // The one who began it, whichever that was, and many others.
    let patient = askers.split_off(ASKERS - 3);
    for asker in &askers {
        asker.abort();
    }
    alone.abort();
    for task in patient {
        assert!(task.await.unwrap().unwrap() == pattern(0, 200_000));
    }
    // Nobody waits for the other one; it is kept all the same.
    while slow.cache.usage().files < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(slow.cache.get(&object(1)).await.unwrap() == pattern(1, 200_000));
    assert_eq!(slow.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failure_reaches_all_and_the_next_one_tries_again() {
    let slow = Slow::holding(1).await;
    slow.plan.fail_at(1, When::Before, Fault::Throttled);
    // The fault comes before the delay, so those who come late may have to ask anew: they succeed.
    let askers: Vec<_> = (0..ASKERS).map(|_| slow.ask(0)).collect();
    let mut failed = 0;
    for task in askers {
        match task.await.unwrap() {
            Ok(bytes) => assert!(bytes == pattern(0, 200_000)),
            Err(error) => {
                assert!(matches!(error, StoreError::Throttled { .. }), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed >= 1);
    assert!(slow.cache.get(&object(0)).await.is_ok());
    assert_eq!(slow.fetches(), 1);
    assert!(slow.cache.get(&object(7)).await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_deleted_while_it_is_fetched_is_not_kept() {
    let slow = Slow::holding(1).await;
    let before = slow.ask(0);
    slow.begun(1).await;
    slow.cache.delete(&[object(0)]).await.unwrap();
    let answer = before.await.unwrap();
    assert!(answer.is_ok() || answer.unwrap_err().is_not_found());
    assert!(slow.cache.get(&object(0)).await.unwrap_err().is_not_found());
    assert_eq!(slow.cache.usage().files, 0);
    assert_eq!(fs::read_dir(slow.folder.path()).unwrap().count(), 0);
}

/// Many tasks, more objects than fit, files that vanish: every answer is right and the limit holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_in_too_small_a_cache() {
    const OBJECTS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::with_yields();
    for number in 0..OBJECTS {
        store
            .put(&object(number), pattern(number, 9_000 + 3_000 * number as usize))
            .await
            .unwrap();
    }
    let limit = MIB / 2;
    let cache = DiskCache::open(Arc::new(store), DiskCacheConfig::new(folder.path(), limit)).await;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let (cache, folder) = (cache.clone(), folder.path().to_owned());
            tokio::spawn(async move {
                for step in 0..200_u64 {
                    let number = (task * 7 + step * (task + 3)) % OBJECTS;
                    let expected = pattern(number, 9_000 + 3_000 * number as usize);
                    if step % 3 == 0 {
                        let part = cache.get_range(&object(number), 100..8_000).await.unwrap();
                        assert!(part == expected.slice(100..8_000));
                    } else {
                        assert!(cache.get(&object(number)).await.unwrap() == expected);
                    }
                    if step % 50 == task {
                        let any = cached_files(&folder).pop();
                        any.map(fs::remove_file);
                    }
                    assert!(space(&folder) <= limit, "{} of {limit}", space(&folder));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let usage = cache.usage();
    assert!(usage.evictions > 0 && usage.hits > 0, "{usage:?}");
    assert_eq!((usage.corrupt_files, usage.write_failures), (0, 0), "{usage:?}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn cached_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = files(directory);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cached"));
    files.sort();
    files
}

/// What all files take, those being written included.
fn space(directory: &Path) -> u64 {
    let sizes = files(directory).into_iter().filter_map(|path| fs::metadata(path).ok());
    sizes.map(|metadata| metadata.len().div_ceil(4096) * 4096).sum()
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        number: u64,
    },
    Get {
        number: u64,
    },
    GetRange {
        number: u64,
        from: u64,
        length: u64,
    },
    Delete {
        number: u64,
    },
    /// The process ends; the next one has another limit.
    Restart {
        blocks: u64,
    },
    /// Another process has its way with a file.
    Evict {
        file: usize,
    },
    Flip {
        file: usize,
        byte: usize,
    },
    Truncate {
        file: usize,
        length: usize,
    },
    Swap {
        one: usize,
        other: usize,
    },
    RemoveDirectory,
}

const NUMBERS: u64 = 12;
/// Of the objects, in turn: read, mapped, at the border between them.
const LENGTHS: [usize; 8] = [0, 1, 4_068, 4_069, 65_508, 65_509, 70_000, 90_000];

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..NUMBERS;
    prop_oneof![
        12 => number().prop_map(|number| Step::Put { number }),
        20 => number().prop_map(|number| Step::Get { number }),
        12 => (number(), 0..90_000_u64, 0..50_000_u64)
            .prop_map(|(number, from, length)| Step::GetRange { number, from, length }),
        3 => number().prop_map(|number| Step::Delete { number }),
        3 => (0..80_u64).prop_map(|blocks| Step::Restart { blocks }),
        4 => any::<usize>().prop_map(|file| Step::Evict { file }),
        4 => (any::<usize>(), any::<usize>()).prop_map(|(file, byte)| Step::Flip { file, byte }),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(file, length)| Step::Truncate { file, length }),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Step::Swap { one, other }),
        1 => Just(Step::RemoveDirectory),
    ]
}

struct Play {
    directory: PathBuf,
    store: MemoryStore,
    reference: BTreeMap<u64, Bytes>,
    cache: DiskCache,
    limit: u64,
}

impl Play {
    async fn open(store: &MemoryStore, directory: &Path, limit: u64) -> DiskCache {
        DiskCache::open(Arc::new(store.clone()), DiskCacheConfig::new(directory, limit)).await
    }

    async fn step(&mut self, step: &Step) -> TestCaseResult {
        match *step {
            Step::Put { number } => {
                // S1: what a name stands for never changes.
                let bytes = pattern(number, LENGTHS[number as usize % LENGTHS.len()]);
                self.cache.put(&object(number), bytes.clone()).await.unwrap();
                self.reference.insert(number, bytes);
            }
            Step::Get { number } => match (self.cache.get(&object(number)).await, self.reference.get(&number)) {
                (Ok(found), Some(expected)) => prop_assert!(found == *expected),
                (Err(error), None) => prop_assert!(error.is_not_found()),
                (found, _) => prop_assert!(false, "{number}: {:?}", found.map(|bytes| bytes.len())),
            },
            Step::GetRange { number, from, length } => self.range(number, from..from + length).await?,
            Step::Delete { number } => {
                self.cache.delete(&[object(number)]).await.unwrap();
                self.reference.remove(&number);
            }
            Step::Restart { blocks } => {
                self.limit = blocks * 4096;
                self.cache = Self::open(&self.store, &self.directory, self.limit).await;
            }
            _ => self.tamper(step).await,
        }
        prop_assert!(space(&self.directory) <= self.limit);
        Ok(())
    }

    async fn range(&self, number: u64, range: std::ops::Range<u64>) -> TestCaseResult {
        let found = self.cache.get_range(&object(number), range.clone()).await;
        let expected = self.reference.get(&number);
        let inside = expected.filter(|bytes| range.end <= bytes.len() as u64);
        match (found, inside) {
            (Ok(found), Some(bytes)) => {
                prop_assert!(found == bytes.slice(range.start as usize..range.end as usize));
            }
            (Err(error), None) => prop_assert_eq!(error.is_not_found(), expected.is_none()),
            (found, _) => prop_assert!(false, "{number} {range:?}: {:?}", found.map(|bytes| bytes.len())),
        }
        Ok(())
    }

    /// Damage in place happens between two processes: within one, only another time of writing tells of it.
    async fn tamper(&mut self, step: &Step) {
        let files = cached_files(&self.directory);
        let pick = |number: usize| files.get(number % files.len().max(1));
        match *step {
            Step::Evict { file } => {
                pick(file).map(fs::remove_file);
                return;
            }
            Step::RemoveDirectory => {
                fs::remove_dir_all(&self.directory).ok();
                return;
            }
            Step::Flip { file, byte } => {
                let Some(path) = pick(file) else { return };
                let mut bytes = fs::read(path).unwrap();
                let at = byte % bytes.len().max(1);
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << (at % 8));
                fs::write(path, bytes).unwrap();
            }
            Step::Truncate { file, length } => {
                let Some(path) = pick(file) else { return };
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..length % bytes.len().max(1)]).unwrap();
            }
            Step::Swap { one, other } => {
                let (Some(one), Some(other)) = (pick(one), pick(other)) else {
                    return;
                };
                let aside = self.directory.join("aside");
                for (from, to) in [(one, &aside), (other, one), (&aside, other)] {
                    fs::rename(from, to).ok();
                }
            }
            _ => {}
        }
        self.cache = Self::open(&self.store, &self.directory, self.limit).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_are_those_of_a_map(steps in prop::collection::vec(step(), 1..120)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new();
            let (directory, limit) = (folder.path().join("cache"), 60 * 4096);
            let cache = Play::open(&store, &directory, limit).await;
            let mut play = Play { directory, store, reference: BTreeMap::new(), cache, limit };
            for step in &steps {
                play.step(step).await?;
            }
            prop_assert_eq!(play.cache.usage().write_failures, 0);
            Ok(())
        })?;
    }
}
