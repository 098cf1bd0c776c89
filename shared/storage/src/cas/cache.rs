//! What this process remembers of the catalog. Never answered from: a name leads to a document that is then read, and
//! a version serves as the first guess of a swap, which fails when the guess is old.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use format::{BucketDoc, IndexDoc};
use model::{BucketName, BucketUuid, IndexUuid};

use super::documents::{Stamped, Version};
use crate::catalog::IndexPath;

/// Entries of each kind; a full map is emptied, since everything in it is read again at the price of one walk.
const KEPT_NAMES: usize = 20_000;
/// A version can be 25 KB (a tail of 512 entries).
const KEPT_VERSIONS: usize = 2_000;
/// A version can be 1 MB (10,000 indexes).
const KEPT_BUCKETS: usize = 64;

/// Names to uuids, and last seen versions.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    buckets: HashMap<BucketName, BucketUuid>,
    indexes: HashMap<IndexPath, IndexUuid>,
    bucket_versions: HashMap<BucketUuid, Arc<Version<BucketDoc>>>,
    index_versions: HashMap<IndexUuid, Arc<Version<IndexDoc>>>,
}

impl Cache {
    pub(crate) fn bucket(&self, name: &BucketName) -> Option<BucketUuid> {
        self.lock().buckets.get(name).copied()
    }

    pub(crate) fn index(&self, path: &IndexPath) -> Option<IndexUuid> {
        self.lock().indexes.get(path).copied()
    }

    pub(crate) fn bucket_version(&self, uuid: BucketUuid) -> Option<Arc<Version<BucketDoc>>> {
        self.lock().bucket_versions.get(&uuid).cloned()
    }

    pub(crate) fn index_version(&self, uuid: IndexUuid) -> Option<Arc<Version<IndexDoc>>> {
        self.lock().index_versions.get(&uuid).cloned()
    }

    pub(crate) fn learn_bucket(&self, name: &BucketName, uuid: BucketUuid) {
        keep(&mut self.lock().buckets, name.clone(), uuid, KEPT_NAMES);
    }

    pub(crate) fn learn_index(&self, path: &IndexPath, uuid: IndexUuid) {
        keep(&mut self.lock().indexes, path.clone(), uuid, KEPT_NAMES);
    }

    pub(crate) fn learn_bucket_version(&self, uuid: BucketUuid, version: &Arc<Version<BucketDoc>>) {
        keep_newest(&mut self.lock().bucket_versions, uuid, version, KEPT_BUCKETS);
    }

    pub(crate) fn learn_index_version(&self, uuid: IndexUuid, version: &Arc<Version<IndexDoc>>) {
        keep_newest(&mut self.lock().index_versions, uuid, version, KEPT_VERSIONS);
    }

    pub(crate) fn forget_bucket(&self, name: &BucketName) {
        let mut inner = self.lock();
        if let Some(uuid) = inner.buckets.remove(name) {
            inner.bucket_versions.remove(&uuid);
        }
    }

    pub(crate) fn forget_index(&self, path: &IndexPath) {
        let mut inner = self.lock();
        if let Some(uuid) = inner.indexes.remove(path) {
            inner.index_versions.remove(&uuid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V, most: usize) {
    if map.len() >= most && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}

/// A slow reader must not put an older version back over a newer one.
fn keep_newest<K: Eq + Hash, D: Stamped>(
    map: &mut HashMap<K, Arc<Version<D>>>,
    key: K,
    version: &Arc<Version<D>>,
    most: usize,
) {
    let is_older = map
        .get(&key)
        .is_some_and(|kept| kept.document.stamp().rev > version.document.stamp().rev);
    if !is_older {
        keep(map, key, Arc::clone(version), most);
    }
}
