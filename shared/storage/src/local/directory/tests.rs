use std::collections::HashSet;
use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use mount::FileSystem;

fn name(rest: &str) -> ObjectName {
    ObjectName::from_stored(format!("v1/{rest}"))
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn with_sync(
    path: &Path,
    sync: impl Fn(&File, &Path) -> io::Result<()> + Send + Sync + 'static,
) -> Result<Directory, OpenError> {
    Directory::open_with(
        path,
        Hooks {
            sync: Box::new(sync),
            ..Hooks::default()
        },
    )
}

fn temporary_files(root: &Path) -> usize {
    std::fs::read_dir(root.join(".tmp")).unwrap().count()
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Directory::open(folder.path()).unwrap();
    let error = Directory::open(folder.path()).unwrap_err();
    let OpenError::Locked { pid, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    let message = error.to_string();
    assert!(
        message.contains(&format!("in use by another server (process {})", std::process::id())),
        "{message}"
    );
    assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
    server.put(&name("a"), bytes("1")).await.unwrap();
    let reader = Directory::open_read_only(folder.path()).unwrap();
    assert_eq!(reader.get(&name("a")).await.unwrap(), "1");
    let error = reader.put(&name("b"), bytes("1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Other { .. }), "{error}");
    let (_, etag) = reader.read_tagged(&name("a")).await.unwrap();
    assert!(reader.replace(&name("a"), bytes("2"), &etag).await.is_err());
    assert!(reader.delete(&[name("a")]).await.is_err());
    drop(server);
    let server = Directory::open(folder.path()).unwrap();
    assert_eq!(server.get(&name("a")).await.unwrap(), "1");
}

#[test]
fn a_reader_needs_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let error = Directory::open_read_only(folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(!folder.path().join("absent").exists());
}

#[test]
fn a_server_creates_its_directory_so_that_it_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let path = folder.path().join("deep/er/data");
    let _server = with_sync(&path, move |_, path| {
        seen.lock().unwrap().push(path.to_owned());
        Ok(())
    })
    .unwrap();
    let expected: Vec<PathBuf> = ["", "deep", "deep/er"]
        .iter()
        .map(|part| folder.path().join(part))
        .collect();
    assert_eq!(*synced.lock().unwrap(), expected);
}

#[test]
fn network_file_systems_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks {
        file_system: |_| {
            Ok(FileSystem {
                magic: 0x6969,
                mounted_as: None,
            })
        },
        ..Hooks::default()
    };
    let error = Directory::open_with(folder.path(), hooks).unwrap_err();
    assert!(
        error.to_string().contains("is on a network file system (nfs)"),
        "{error}"
    );
    // It was refused before anything was locked or written.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn leftovers_of_a_crash_go_at_the_next_open() {
    let folder = tempfile::tempdir().unwrap();
    drop(Directory::open(folder.path()).unwrap());
    std::fs::write(folder.path().join(".tmp/1-2.part"), "half").unwrap();
    std::fs::write(folder.path().join(".tmp/notes.txt"), "not ours").unwrap();
    let reader = Directory::open_read_only(folder.path()).unwrap();
    assert!(reader.list("", None, 10).await.unwrap().is_empty());
    assert_eq!(temporary_files(folder.path()), 2, "a reader removes nothing");
    let server = Directory::open(folder.path()).unwrap();
    assert_eq!(temporary_files(folder.path()), 1);
    assert!(server.list("", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_stay_inside() {
    let folder = tempfile::tempdir().unwrap();
    let server = Directory::open(folder.path()).unwrap();
    for odd in [
        "v1/../lock",
        "lock",
        ".tmp/x",
        "v1//x",
        "v1/./x",
        "/etc/passwd",
        "v1/",
        "v1/a\0b",
        "",
        "v2/x",
    ] {
        let odd = ObjectName::from_stored(odd);
        assert!(server.put(&odd, bytes("x")).await.is_err(), "{odd}");
        assert!(server.get(&odd).await.is_err(), "{odd}");
        assert!(server.delete(std::slice::from_ref(&odd)).await.is_err(), "{odd}");
    }
    for prefix in ["../", "v1/../", "/", ".tmp/", "v2/"] {
        assert!(server.list(prefix, None, 10).await.unwrap().is_empty(), "{prefix}");
    }
    assert!(server.put(&name(&"x".repeat(256)), bytes("x")).await.is_err());
    // A name cannot be a directory as well.
    server.put(&name("a/b"), bytes("x")).await.unwrap();
    assert!(server.get(&name("a")).await.unwrap_err().is_not_found());
    assert!(server.put(&name("a"), bytes("x")).await.is_err());
    assert!(server.put(&name("a/b/c"), bytes("x")).await.is_err());
    assert!(server.get(&name("a/b/c")).await.unwrap_err().is_not_found());
    server.delete(&[name("a/b/c")]).await.unwrap();
    assert_eq!(temporary_files(folder.path()), 0);
}

#[tokio::test]
async fn a_write_costs_two_fsyncs_and_a_new_parent_one_each() {
    let folder = tempfile::tempdir().unwrap();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let server = with_sync(folder.path(), move |_, path| {
        seen.lock().unwrap().push(path.to_owned());
        Ok(())
    })
    .unwrap();
    let root = server.path().to_owned();
    let taken = || std::mem::take(&mut *synced.lock().unwrap());
    server.put(&name("index/wal/1"), bytes("x")).await.unwrap();
    let first = taken();
    // Every new directory's entry, then the file, then the file's entry.
    assert_eq!(first[..3], [root.clone(), root.join("v1"), root.join("v1/index")]);
    assert!(first[3].starts_with(root.join(".tmp")));
    assert_eq!(first[4..], [root.join("v1/index/wal")]);
    server.put(&name("index/wal/2"), bytes("x")).await.unwrap();
    assert_eq!(taken().len(), 2);
    let etag = server.create(&name("index/wal/3"), bytes("x")).await.unwrap();
    assert_eq!(taken().len(), 2);
    server.replace(&name("index/wal/3"), bytes("y"), &etag).await.unwrap();
    assert_eq!(taken().len(), 2);
    server.get(&name("index/wal/3")).await.unwrap();
    server
        .replace(&name("index/wal/3"), bytes("z"), &etag)
        .await
        .unwrap_err();
    assert_eq!(taken().len(), 0);
    server.put(&name("index/wal/2"), bytes("x")).await.unwrap();
    // The other writer of these bytes may not have come to its fsync.
    assert_eq!(taken().last(), Some(&root.join("v1/index/wal")));
    // Another process cannot know what this one has brought to the disk.
    drop(server);
    let server = with_sync(folder.path(), |_, path| {
        if path.ends_with("v1") {
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    });
    assert!(server.unwrap().put(&name("index/wal/4"), bytes("x")).await.is_err());
}

#[tokio::test]
async fn a_failed_fsync_of_a_directory_leaves_its_contents_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let server = with_sync(folder.path(), move |_, path| {
        let fails = broken.load(Ordering::SeqCst) && path.ends_with("catalog");
        if fails {
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    })
    .unwrap();
    let document = name("catalog/root.json");
    let etag = server.create(&document, bytes("1")).await.unwrap();
    server.put(&name("elsewhere"), bytes("x")).await.unwrap();
    is_broken.store(true, Ordering::SeqCst);
    assert!(
        server
            .replace(&document, bytes("2"), &etag)
            .await
            .unwrap_err()
            .is_unknown()
    );
    // The new version can be seen, but must not be taken for a commit as long as it may vanish.
    assert!(server.read_tagged(&document).await.unwrap_err().is_unknown());
    assert!(server.get(&document).await.unwrap_err().is_unknown());
    assert!(
        server
            .replace(&document, bytes("3"), &etag)
            .await
            .unwrap_err()
            .is_unknown()
    );
    assert_eq!(server.get(&name("elsewhere")).await.unwrap(), "x");
    is_broken.store(false, Ordering::SeqCst);
    assert_eq!(server.read_tagged(&document).await.unwrap().0, "2");
    assert!(
        server
            .replace(&document, bytes("3"), &etag)
            .await
            .unwrap_err()
            .is_conflict()
    );
}

#[tokio::test]
async fn a_failed_fsync_of_a_file_writes_nothing() {
    for (kind, is_full) in [
        (io::ErrorKind::Other, false),
        (io::ErrorKind::StorageFull, true),
        (io::ErrorKind::QuotaExceeded, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let is_broken = Arc::new(AtomicBool::new(false));
        let broken = Arc::clone(&is_broken);
        let server = with_sync(folder.path(), move |_, path| {
            let fails = broken.load(Ordering::SeqCst) && path.extension().is_some_and(|extension| extension == "part");
            if fails { Err(kind.into()) } else { Ok(()) }
        })
        .unwrap();
        let etag = server.create(&name("document"), bytes("1")).await.unwrap();
        is_broken.store(true, Ordering::SeqCst);
        for error in [
            server.put(&name("object"), bytes("x")).await.unwrap_err(),
            server.create(&name("other"), bytes("x")).await.unwrap_err(),
            server.replace(&name("document"), bytes("2"), &etag).await.unwrap_err(),
        ] {
            assert_eq!(matches!(error, StoreError::Full { .. }), is_full, "{error}");
            assert_eq!(error.is_unknown(), !is_full, "{error}");
        }
        assert_eq!(temporary_files(folder.path()), 0);
        assert!(server.get(&name("object")).await.unwrap_err().is_not_found());
        assert_eq!(server.get(&name("document")).await.unwrap(), "1");
        is_broken.store(false, Ordering::SeqCst);
        server.put(&name("object"), bytes("x")).await.unwrap();
        server.replace(&name("document"), bytes("2"), &etag).await.unwrap();
    }
}

/// I5: the process dies at any fsync; whoever opens the directory next finds every acknowledged write, and the one in
/// progress whole or not at all.
#[tokio::test]
async fn a_crash_at_any_fsync_leaves_whole_versions() {
    for dies_at in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicI64::new(dies_at));
        let counter = Arc::clone(&left);
        let opened = with_sync(folder.path(), move |_, _| {
            if counter.fetch_sub(1, Ordering::SeqCst) <= 0 {
                Err(io::ErrorKind::Other.into())
            } else {
                Ok(())
            }
        });
        let mut acknowledged = Vec::new();
        if let Ok(server) = opened {
            let _ = write_versions(&server, &mut acknowledged).await;
        }
        let server = Directory::open(folder.path()).unwrap();
        assert_eq!(temporary_files(folder.path()), 0);
        for (name, version) in &acknowledged {
            let found = server.get(name).await.unwrap();
            assert!(
                found.len() == *version || found.len() == *version + 1,
                "{name} at {dies_at}"
            );
            assert!(
                found.iter().all(|byte| usize::from(*byte) == found.len()),
                "{name} is torn"
            );
        }
        // Nothing needs repair: all of it can be done again.
        let listed = server.list("v1/", None, 100).await.unwrap();
        let names: Vec<ObjectName> = listed.into_iter().map(|meta| meta.name).collect();
        server.delete(&names).await.unwrap();
        write_versions(&server, &mut Vec::new()).await.unwrap();
    }
}

/// Documents whose version n is n bytes of value n.
async fn write_versions(server: &Directory, acknowledged: &mut Vec<(ObjectName, usize)>) -> Result<(), StoreError> {
    for document in ["a/one", "a/two", "b/c/three"] {
        let name = name(document);
        let mut etag = server.create(&name, Bytes::from_static(&[1])).await?;
        acknowledged.push((name.clone(), 1));
        for version in 2..5_u8 {
            etag = server
                .replace(&name, Bytes::from(vec![version; usize::from(version)]), &etag)
                .await?;
            if let Some(last) = acknowledged.last_mut() {
                last.1 = usize::from(version);
            }
        }
    }
    Ok(())
}

/// A replace whose future is dropped goes on, and keeps others out until it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_replace_is_finished_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    let server = with_sync(folder.path(), move |_, _| {
        if slow.swap(false, Ordering::SeqCst) {
            entered.send(()).unwrap();
            released.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap();
        }
        Ok(())
    })
    .unwrap();
    let etag = server.create(&name("document"), bytes("1")).await.unwrap();
    is_slow.store(true, Ordering::SeqCst);
    let (clone, expected) = (server.clone(), etag.clone());
    let dropped = tokio::spawn(async move { clone.replace(&name("document"), bytes("2"), &expected).await });
    tokio::task::spawn_blocking(move || has_entered.recv_timeout(Duration::from_secs(10)).unwrap())
        .await
        .unwrap();
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let clone = server.clone();
    let next = tokio::spawn(async move { clone.replace(&name("document"), bytes("3"), &etag).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    release.send(()).unwrap();
    assert!(next.await.unwrap().unwrap_err().is_conflict());
    assert_eq!(server.get(&name("document")).await.unwrap(), "2");
}

/// Directories that become empty go, and come back for a writer in the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn directories_come_and_go_under_writers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Directory::open(folder.path()).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let server = server.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    let object = name(&format!("shared/{}/{task}", round % 3));
                    server.put(&object, bytes("x")).await.unwrap();
                    assert_eq!(server.get(&object).await.unwrap(), "x");
                    server.delete(&[object]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let left: HashSet<_> = std::fs::read_dir(folder.path().join("v1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, HashSet::new());
}

/// A reader's bytes are those of the version it read, whatever happens to the name.
#[tokio::test]
async fn a_mapped_version_outlives_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Directory::open(folder.path()).unwrap();
    let old = Bytes::from(vec![1; 200_000]);
    let etag = server.create(&name("document"), old.clone()).await.unwrap();
    let held = server.get(&name("document")).await.unwrap();
    server
        .replace(&name("document"), Bytes::from(vec![2; 100]), &etag)
        .await
        .unwrap();
    assert!(held == old);
    server.delete(&[name("document")]).await.unwrap();
    assert!(held == old);
}
