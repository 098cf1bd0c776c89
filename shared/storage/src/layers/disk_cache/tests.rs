//! What only shows in the directory: damage of every kind, leftovers, sharing, order of use.

use std::fs;
use std::path::{Path, PathBuf};

use model::{IndexUuid, ManifestId, ManifestVersion, ShardId, Ulid, WalId};
use rstest::rstest;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::layers::delay::Delay;
use crate::layers::metering::{Meter, MeteredStore};
use crate::memory::MemoryStore;
use crate::paths::ShardFile;

const INDEX: IndexUuid = IndexUuid(Uuid::from_u128(7));
const MIB: u64 = 1 << 20;

/// A store that counts, and a directory in front of it.
struct World {
    folder: TempDir,
    store: MemoryStore,
    meter: Meter,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            store: MemoryStore::new(),
            meter: Meter::new(),
        }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Another process that uses the directory, or the same one after a restart.
    async fn open(&self, limit_bytes: u64) -> DiskCache {
        let inner = Arc::new(MeteredStore::new(Arc::new(self.store.clone()), self.meter.clone()));
        DiskCache::open(inner, DiskCacheConfig::new(self.directory(), limit_bytes)).await
    }

    async fn put(&self, number: u64, length: usize) -> (ObjectName, Bytes) {
        let name = object(number);
        let bytes = pattern(number, length);
        self.store.put(&name, bytes.clone()).await.unwrap();
        (name, bytes)
    }

    fn fetches(&self) -> u64 {
        self.meter.usage()["get"].calls
    }

    fn path_of(&self, name: &ObjectName) -> PathBuf {
        self.directory().join(FileName::of(name).unwrap().as_str())
    }

    fn file_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn object(number: u64) -> ObjectName {
    paths::shard_file(INDEX, ShardId(Ulid::from_parts(number, 0)), ShardFile::Rows)
}

fn pattern(seed: u64, length: usize) -> Bytes {
    (0..length)
        .map(|at| (at as u64 * 31 + seed * 7 + (at as u64 >> 8)) as u8)
        .collect()
}

/// Changes a file in place as a failing disk does; its times tell that it is another one.
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    let later = fs::metadata(path).unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(later)
        .unwrap();
}

#[rstest]
#[case::empty(0)]
#[case::small(1_000)]
#[case::mapped(300_000)]
#[tokio::test]
async fn a_second_get_asks_no_store(#[case] length: usize) {
    let world = World::new();
    let (name, bytes) = world.put(1, length).await;
    let cache = world.open(MIB).await;
    for _ in 0..3 {
        assert!(cache.get(&name).await.unwrap() == bytes);
    }
    assert_eq!(world.fetches(), 1);
    let end = length as u64;
    assert!(cache.get_range(&name, end / 2..end).await.unwrap() == bytes.slice(length / 2..));
    assert!(
        cache.get_range(&name, 0..end + 1).await.is_err(),
        "the footer is not the object's"
    );
    assert!(cache.get_range(&name, end + 1..end + 1).await.is_err());
    // A restart.
    let cache = world.open(MIB).await;
    assert!(
        cache.get_range(&name, 0..end).await.unwrap() == bytes,
        "verified by a range"
    );
    assert!(cache.get(&name).await.unwrap() == bytes);
    assert_eq!((world.fetches(), world.meter.usage()["get_range"].calls), (1, 0));
    let usage = cache.usage();
    assert_eq!((usage.hits, usage.misses, usage.files), (2, 0, 1));
    assert_eq!(usage.hit_bytes, 2 * end);
    assert_eq!((usage.corrupt_files, usage.write_failures), (0, 0));
}

#[tokio::test]
async fn ranges_and_other_kinds_pass_through() {
    let world = World::new();
    let (name, bytes) = world.put(1, 1_000).await;
    let cache = world.open(MIB).await;
    assert_eq!(cache.get_range(&name, 10..20).await.unwrap(), bytes.slice(10..20));
    assert_eq!((cache.usage().misses, cache.usage().miss_bytes), (1, 10));
    let id = Ulid::from_parts(1, 1);
    let manifest = format::ManifestRef {
        version: ManifestVersion(1),
        id: ManifestId(id),
    };
    for name in [
        paths::wal(INDEX, WalId(id)),
        paths::manifest(INDEX, &manifest),
        paths::catalog_root(),
    ] {
        cache.put(&name, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(cache.get(&name).await.unwrap(), "x");
    }
    assert!(world.file_names().is_empty());
    assert!(cache.get(&object(9)).await.unwrap_err().is_not_found());
    assert!(world.file_names().is_empty());
}

/// Every byte of a file's every region, by every kind of damage: found at the next open, mended, never returned.
#[rstest]
#[case::small(60)]
#[case::mapped(70_000)]
#[tokio::test]
async fn every_damage_is_found_and_mended(#[case] length: usize) {
    let world = World::new();
    let (name, bytes) = world.put(1, length).await;
    let path = world.path_of(&name);
    world.open(MIB).await.get(&name).await.unwrap();
    let sound = fs::read(&path).unwrap();
    let footer = length..sound.len();
    let step = (length / 60).max(1);
    let places: Vec<usize> = (0..length).step_by(step).chain([length - 1]).chain(footer).collect();
    let mut damages: Vec<Vec<u8>> = Vec::new();
    for place in places {
        let mut flipped = sound.clone();
        flipped[place] ^= 0x10;
        damages.push(flipped);
        damages.push(sound[..place].to_vec());
        let mut torn = sound.clone();
        torn[place..].fill(0);
        if torn != sound {
            damages.push(torn);
        }
    }
    damages.push([sound.clone(), vec![0]].concat());
    damages.push([sound.clone(), sound.clone()].concat());
    let (other, _) = world.put(2, length).await;
    world.open(MIB).await.get(&other).await.unwrap();
    damages.push(fs::read(world.path_of(&other)).unwrap());
    for (number, damaged) in damages.iter().enumerate() {
        fs::write(&path, damaged).unwrap();
        let cache = world.open(MIB).await;
        let read = if number % 2 == 0 {
            cache.get(&name).await.unwrap()
        } else {
            cache.get_range(&name, 0..length as u64).await.unwrap()
        };
        assert!(read == bytes, "damage {number}");
        assert_eq!(
            (cache.usage().corrupt_files, cache.usage().misses),
            (1, 1),
            "damage {number}"
        );
        assert!(fs::read(&path).unwrap() == sound, "damage {number} is mended");
        assert!(cache.get(&name).await.unwrap() == bytes);
        assert_eq!(cache.usage().hits, 1);
    }
}

#[tokio::test]
async fn damage_under_a_running_process_is_found() {
    let world = World::new();
    let (name, bytes) = world.put(1, 5_000).await;
    let cache = world.open(MIB).await;
    cache.get(&name).await.unwrap();
    damage(&world.path_of(&name), |file| file[4_000] ^= 1);
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    assert_eq!((cache.usage().corrupt_files, world.fetches()), (1, 2));
    damage(&world.path_of(&name), |file| file.truncate(3_000));
    // A range does not verify by itself: it passes through, and the next one knows.
    for _ in 0..2 {
        assert_eq!(cache.get_range(&name, 100..200).await.unwrap(), bytes.slice(100..200));
    }
    assert_eq!((cache.usage().corrupt_files, world.fetches()), (2, 3));
}

#[tokio::test]
async fn whatever_else_has_the_name_is_not_read() {
    let world = World::new();
    let (name, bytes) = world.put(1, 5_000).await;
    let path = world.path_of(&name);
    fs::create_dir(world.directory()).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    fs::write(&elsewhere, "somebody's").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let cache = world.open(MIB).await;
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    assert!(path.symlink_metadata().unwrap().is_file(), "written over");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"somebody's");
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(cache.get(&name).await.unwrap(), bytes, "a pipe does not block");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let before = cache.usage().write_failures;
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    assert_eq!(
        cache.usage().write_failures,
        before + 2,
        "a directory cannot be written over"
    );
    assert_eq!(world.file_names().len(), 1, "no temporary file stays");
}

/// The states that a death between write and rename, or a crash of the machine after the rename, leaves.
#[tokio::test]
async fn crashes_leave_nothing_that_stays_or_is_believed() {
    let world = World::new();
    let (name, bytes) = world.put(1, 5_000).await;
    let cache = world.open(MIB).await;
    let files = Files::new(world.directory());
    // This process is alive and still writes; that one died, and its lock with it.
    let alive = files.write_temporary(&name, &bytes).unwrap();
    let dead = world.directory().join("999999-0.cached.part");
    fs::write(&dead, &bytes[..2_000]).unwrap();
    for name in ["notes.txt", "film.part", "v1~other", "1-2.cached"] {
        fs::write(world.directory().join(name), "not ours").unwrap();
    }
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    let restarted = world.open(MIB).await;
    assert!(!dead.exists());
    assert_eq!(restarted.get(&name).await.unwrap(), bytes);
    assert_eq!(world.fetches(), 1, "neither was taken for the object's file");
    let parts = |names: &[String]| names.iter().filter(|name| form::is_temporary(name)).count();
    assert_eq!(parts(&world.file_names()), 1, "the living one stays");
    drop(alive);
    assert_eq!(world.file_names().len(), 1 + 4, "strangers stay");
    // Nothing is fsynced: after a power failure the name may be there and the bytes not.
    for lost in [0, 1, 4_096] {
        fs::write(world.path_of(&name), vec![0; lost]).unwrap();
        assert_eq!(world.open(MIB).await.get(&name).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn the_limit_holds_and_the_least_recently_used_go() {
    let world = World::new();
    let mut objects = Vec::new();
    for number in 0..6 {
        // With its footer each takes three blocks.
        objects.push(world.put(number, 10_000).await);
    }
    let cache = world.open(4 * 12_288).await;
    for (name, _) in &objects[..4] {
        cache.get(name).await.unwrap();
    }
    let held = cache.get(&objects[1].0).await.unwrap();
    cache.get(&objects[0].0).await.unwrap();
    for (name, bytes) in &objects[4..] {
        assert_eq!(cache.get(name).await.unwrap(), *bytes);
    }
    let usage = cache.usage();
    assert_eq!((usage.evictions, usage.evicted_bytes, usage.files), (2, 2 * 12_288, 4));
    assert_eq!(usage.bytes, usage.limit_bytes);
    for (number, is_there) in [(0, true), (1, true), (2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(world.path_of(&objects[number].0).exists(), is_there, "object {number}");
    }
    // The order outlives the process, to the tick of the kernel's clock; a smaller limit is kept at once.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    cache.get(&objects[0].0).await.unwrap();
    drop(cache);
    let cache = world.open(12_288).await;
    assert_eq!(world.file_names().len(), 1);
    assert!(world.path_of(&objects[0].0).exists());
    assert_eq!(held, objects[1].1, "a reader keeps what it read");
    let (big, bytes) = world.put(9, 12_288).await;
    assert_eq!(cache.get(&big).await.unwrap(), bytes);
    assert_eq!(
        (cache.usage().evictions, cache.usage().write_failures),
        (3, 0),
        "larger than all: passed on"
    );
    assert!(world.path_of(&objects[0].0).exists());
}

#[tokio::test]
async fn a_mapped_file_may_go() {
    let world = World::new();
    let (one, bytes) = world.put(1, 200_000).await;
    let (other, _) = world.put(2, 200_000).await;
    let cache = world.open(250_000).await;
    let held = (cache.get(&one).await.unwrap(), cache.get(&one).await.unwrap());
    cache.get(&other).await.unwrap();
    assert!(!world.path_of(&one).exists());
    assert!(held.0 == bytes && held.1 == bytes);
}

#[tokio::test]
async fn a_directory_may_vanish_or_never_have_been_there() {
    let world = World::new();
    let (name, bytes) = world.put(1, 100_000).await;
    let (other, _) = world.put(2, 100_000).await;
    let cache = world.open(MIB).await;
    cache.get(&name).await.unwrap();
    cache.get(&other).await.unwrap();
    fs::remove_dir_all(world.directory()).unwrap();
    assert!(cache.get(&name).await.unwrap() == bytes);
    assert_eq!((world.fetches(), cache.usage().write_failures), (3, 0));
    assert_eq!(cache.usage().files, 1, "it was noticed that all went");
    assert!(cache.get(&name).await.unwrap() == bytes);
    assert_eq!(world.fetches(), 3, "and it caches again");
    fs::remove_dir_all(world.directory()).unwrap();
    fs::write(world.directory(), "a file").unwrap();
    for cache in [cache, world.open(MIB).await] {
        let before = (world.fetches(), cache.usage().write_failures);
        for round in 1..=3 {
            assert!(cache.get(&name).await.unwrap() == bytes);
            assert!(cache.get_range(&name, 5..9).await.unwrap() == bytes.slice(5..9));
            assert_eq!(world.fetches(), before.0 + round);
            assert_eq!(cache.usage().write_failures, before.1 + round);
        }
        cache.delete(&[object(5)]).await.unwrap();
    }
    fs::remove_file(world.directory()).unwrap();
}

#[tokio::test]
async fn what_a_reader_finds_damaged_is_fetched_again() {
    let world = World::new();
    let (name, bytes) = world.put(1, 5_000).await;
    let cache = world.open(MIB).await;
    assert!(!cache.invalidate(std::slice::from_ref(&name)).await);
    // Damaged on the way here: the file's own checksum is right.
    world.store.flip_bit(&name, 77);
    assert_ne!(cache.get(&name).await.unwrap(), bytes);
    world.store.flip_bit(&name, 77);
    assert_ne!(cache.get(&name).await.unwrap(), bytes);
    assert!(cache.invalidate(std::slice::from_ref(&name)).await);
    assert_eq!(cache.get(&name).await.unwrap(), bytes);
    assert_eq!(cache.usage().corrupt_files, 1);
}

#[tokio::test]
async fn what_is_deleted_here_is_gone_here() {
    let world = World::new();
    let (name, _) = world.put(1, 5_000).await;
    let cache = world.open(MIB).await;
    cache.get(&name).await.unwrap();
    cache.delete(std::slice::from_ref(&name)).await.unwrap();
    assert!(cache.get(&name).await.unwrap_err().is_not_found());
    assert!(world.file_names().is_empty());
    assert_eq!(cache.usage().bytes, 0);
    // Fetched before and written after.
    let unwanted = Unwanted::default();
    unwanted.set();
    let target = cache.target(&name).unwrap();
    let late = Bytes::from_static(b"late");
    assert_eq!(cache.keeper.keep(&target, late.clone(), &unwanted), late);
    assert!(world.file_names().is_empty());
    assert_eq!(cache.usage().bytes, 0);
}

#[tokio::test]
async fn processes_share_a_directory() {
    let world = World::new();
    let limit = 40 * 12_288;
    let (one, other) = (world.open(limit).await, world.open(limit).await);
    let mut objects = Vec::new();
    for number in 0..200 {
        objects.push(world.put(number, 10_000).await);
    }
    for (number, (name, bytes)) in objects.iter().enumerate() {
        let (writer, reader) = if number % 3 == 0 {
            (&other, &one)
        } else {
            (&one, &other)
        };
        assert_eq!(writer.get(name).await.unwrap(), *bytes);
        let before = world.fetches();
        assert_eq!(reader.get(name).await.unwrap(), *bytes);
        assert_eq!(world.fetches(), before, "found in the directory");
        let space = world.file_names().len() as u64 * 12_288;
        assert!(space <= limit + 2 * (limit / 16 + 12_288), "{space} of {limit} bytes");
    }
    assert_eq!(one.usage().corrupt_files + other.usage().corrupt_files, 0);
    assert_eq!(one.usage().write_failures + other.usage().write_failures, 0);
}

/// Whether reading ranges is worth it: what is kept is at hand, what would be kept is said, and nothing is promised.
#[tokio::test]
async fn what_reading_an_object_takes() {
    let world = World::new();
    let (name, bytes) = world.put(1, 10_000).await;
    let size = bytes.len() as u64;
    let far: Arc<dyn ObjectStore> = Arc::new(Delay::new(Arc::new(world.store.clone()), std::time::Duration::ZERO));
    let open = async |limit| DiskCache::open(Arc::clone(&far), DiskCacheConfig::new(world.directory(), limit)).await;
    let cache = open(MIB).await;
    assert_eq!(cache.reach(&name, size), Reach::Kept);
    assert_eq!(
        cache.reach(&name, 2 * MIB),
        Reach::Remote,
        "it is larger than the cache"
    );
    cache.get_range(&name, 10..20).await.unwrap();
    assert_eq!(cache.reach(&name, size), Reach::Kept, "a range is not kept");
    cache.get(&name).await.unwrap();
    assert_eq!(cache.reach(&name, size), Reach::AtHand);
    assert!(cache.invalidate(std::slice::from_ref(&name)).await);
    assert_eq!(cache.reach(&name, size), Reach::Kept);
    let wal = paths::wal(INDEX, WalId(Ulid::from_parts(1, 1)));
    assert_eq!(cache.reach(&wal, size), Reach::Remote, "no shard file");
    cache.get(&name).await.unwrap();
    assert_eq!(open(MIB).await.reach(&name, size), Reach::AtHand, "after a restart");
    // In front of memory there is nothing to gain.
    assert_eq!(world.open(MIB).await.reach(&name, size), Reach::AtHand);
}
