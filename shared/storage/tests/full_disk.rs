//! The directory adapter and the disk cache on a disk that is really full: a tmpfs of one megabyte, which takes root to
//! mount. Elsewhere the injected faults of the unit tests stand for it; but continuous integration (`CI=true`) leaves
//! nothing out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{Ids, IndexUuid, OsRandom, ShardId, SystemClock, Ulid, WalId};
use storage::layers::disk_cache::{DiskCache, DiskCacheConfig};
use storage::local::Directory;
use storage::{CasCatalog, Catalog, MemoryStore, NamePage, ObjectName, ObjectStore, ShardFile, StoreError, paths};

struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(path)
            .output()
            .ok()?;
        if mounted.status.success() {
            return Some(Self(path.to_owned()));
        }
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(
            !is_ci,
            "mounting a tmpfs takes root, and continuous integration has to have it"
        );
        eprintln!("not run: mounting a tmpfs takes root");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_whole_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        return;
    };
    let ids = Ids::new(Arc::new(SystemClock::new()), Arc::new(OsRandom::new()));
    let index = IndexUuid(ids.uuid());
    let store = Directory::open(folder.path()).unwrap();
    let catalog = CasCatalog::open(Arc::new(store.clone()), ids.clone()).await.unwrap();
    let mut written = Vec::new();
    let refused = loop {
        let name = paths::wal(index, WalId(ids.ulid(model::Ulid::NIL)));
        match store.put(&name, Bytes::from(vec![7; 50_000])).await {
            Ok(()) => written.push(name),
            Err(error) => break (name, error),
        }
    };
    assert!(matches!(refused.1, StoreError::Full { .. }), "{}", refused.1);
    assert!(written.len() >= 15, "{}", written.len());
    assert!(store.get(&refused.0).await.unwrap_err().is_not_found(), "nothing torn");
    assert_eq!(
        std::fs::read_dir(folder.path().join(".tmp")).unwrap().count(),
        0,
        "nothing left behind"
    );
    for name in &written {
        assert!(store.get(name).await.unwrap().iter().all(|byte| *byte == 7));
    }
    let page = NamePage {
        limit: 10,
        ..NamePage::default()
    };
    assert!(
        catalog.list_buckets(&page).await.unwrap().is_empty(),
        "it goes on reading"
    );
    // A deletion has space of its own, and the store can be opened again: full, it is not probed.
    let deletion = paths::wal(index, WalId(ids.ulid(model::Ulid::NIL)));
    let refused_again = store.put(&deletion, Bytes::from(vec![8; 5_000])).await.unwrap_err();
    assert!(matches!(refused_again, StoreError::Full { .. }), "{refused_again}");
    store
        .put_from_reserve(&deletion, Bytes::from(vec![8; 5_000]))
        .await
        .unwrap();
    drop((store, catalog));
    let store = Directory::open(folder.path()).unwrap();
    let catalog = CasCatalog::open(Arc::new(store.clone()), ids.clone()).await.unwrap();
    assert!(catalog.list_buckets(&page).await.unwrap().is_empty());
    store.delete(&written[..2]).await.unwrap();
    store.put(&refused.0, Bytes::from(vec![7; 50_000])).await.unwrap();
}

/// Forty shard files of 50 kB, and a cache of them on a disk that takes a third: it believes it may have all.
async fn cache_on(disk: &Path) -> (DiskCache, Vec<ObjectName>) {
    let store = MemoryStore::new();
    let mut names = Vec::new();
    for number in 0..40_u8 {
        let shard = ShardId(Ulid::from_parts(u64::from(number), 0));
        let name = paths::shard_file(IndexUuid(uuid::Uuid::nil()), shard, ShardFile::Rows);
        store.put(&name, Bytes::from(vec![number; 50_000])).await.unwrap();
        names.push(name);
    }
    let config = DiskCacheConfig::new(disk, 1 << 30);
    (DiskCache::open(Arc::new(store), config).await, names)
}

async fn check_all(cache: &DiskCache, names: &[ObjectName]) {
    for (number, name) in names.iter().enumerate() {
        let bytes = cache.get(name).await.unwrap();
        assert!(bytes.len() == 50_000 && bytes.iter().all(|byte| usize::from(*byte) == number));
        let range = cache.get_range(name, 49_990..50_000).await.unwrap();
        assert_eq!(range, bytes.slice(49_990..));
    }
}

fn cached_files(disk: &Path) -> usize {
    let entries = std::fs::read_dir(disk).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| {
            assert!(!name.ends_with(".part"), "nothing left behind");
            name.ends_with(".cached")
        })
        .count()
}

#[tokio::test]
async fn a_cache_on_a_full_disk_keeps_what_fits_and_answers_everything() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        return;
    };
    let (cache, names) = cache_on(folder.path()).await;
    check_all(&cache, &names).await;
    check_all(&cache, &names).await;
    let usage = cache.usage();
    assert!(usage.evictions > 40, "room was made for newer objects: {usage:?}");
    assert!((15..25).contains(&cached_files(folder.path())), "{usage:?}");
    assert_eq!(usage.write_failures, 0);
    // Somebody else fills the disk, while the cache's files are there and when they are gone.
    let hog = folder.path().join("hog");
    fill(&hog);
    check_all(&cache, &names).await;
    assert!(
        (14..25).contains(&cached_files(folder.path())),
        "it goes on with what it has"
    );
    for path in std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if path != hog {
            std::fs::remove_file(path).unwrap();
        }
    }
    fill(&hog);
    check_all(&cache, &names).await;
    assert_eq!(cached_files(folder.path()), 0);
    let failures = cache.usage().write_failures;
    assert_eq!(failures, 40);
    std::fs::remove_file(&hog).unwrap();
    check_all(&cache, &names[..5]).await;
    assert_eq!(cached_files(folder.path()), 5, "and caches again once there is space");
    assert_eq!(
        (cache.usage().write_failures, cache.usage().corrupt_files),
        (failures, 0)
    );
}

/// Appends until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn a_cache_on_a_read_only_disk_reads_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        return;
    };
    let (cache, names) = cache_on(folder.path()).await;
    check_all(&cache, &names[..10]).await;
    drop(cache);
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(remounted.status.success());
    let (cache, names) = cache_on(folder.path()).await;
    check_all(&cache, &names[..12]).await;
    let usage = cache.usage();
    assert_eq!((usage.hits, usage.files), (20, 10), "{usage:?}");
    assert_eq!(usage.write_failures, 2);
    // What cannot be removed stays counted, and nothing is refused for it.
    cache.delete(&names[..1]).await.unwrap();
    assert!(cache.get(&names[0]).await.is_ok() || cache.get(&names[0]).await.unwrap_err().is_not_found());
}
