//! The directory adapter on a disk that is really full: a tmpfs of one megabyte, which takes root to mount. Elsewhere
//! the injected faults of the unit tests stand for it; but continuous integration (`CI=true`) leaves nothing out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use genai_vectors_storage as storage;
use model::{Ids, IndexUuid, OsRandom, SystemClock, WalId};
use storage::local::Directory;
use storage::{CasCatalog, Catalog, NamePage, ObjectStore, StoreError, paths};

struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(path)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(path.to_owned()))
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
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(
            !is_ci,
            "mounting a tmpfs takes root, and continuous integration has to have it"
        );
        eprintln!("not run: mounting a tmpfs takes root");
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
    store.delete(&written[..2]).await.unwrap();
    store.put(&refused.0, Bytes::from(vec![7; 50_000])).await.unwrap();
}
