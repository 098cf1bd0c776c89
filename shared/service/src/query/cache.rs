//! A cache of immutable things, bounded by bytes. Whoever asks for something that is being loaded waits for that load.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// What an entry costs beyond its value.
const OVERHEAD: usize = 256;

#[derive(Debug)]
struct Slot<V> {
    cell: Arc<OnceCell<V>>,
    used: u64,
    bytes: usize,
}

#[derive(Debug)]
struct State<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// Slots by last use; each use has its own number.
    by_use: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
}

/// Values by key; the least recently used go first. Values are cheap to clone (`Arc`s).
#[derive(Debug)]
pub(crate) struct ByteCache<K, V> {
    limit: usize,
    state: Mutex<State<K, V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> ByteCache<K, V> {
    /// An empty cache of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State {
            slots: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        };
        Self {
            limit,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, when it is there.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut state = self.state();
        state.touch(key);
        state.slots.get(key).and_then(|slot| slot.cell.get().cloned())
    }

    /// The value, loaded with its size in bytes when it is not there. A failed load leaves nothing behind.
    pub(crate) async fn get_or_load<E>(
        &self,
        key: &K,
        load: impl Future<Output = Result<(V, usize), E>>,
    ) -> Result<V, E> {
        let cell = self.state().slot(key);
        let mut loaded = None;
        let outcome = cell
            .get_or_try_init(|| async {
                let (value, bytes) = load.await?;
                loaded = Some(bytes);
                Ok(value)
            })
            .await
            .cloned();
        let mut state = self.state();
        match loaded {
            Some(bytes) => state.weigh(key, &cell, bytes, self.limit),
            None if outcome.is_err() => state.forget_failed(key, &cell),
            None => {}
        }
        outcome
    }

    /// Notes that a value has another size by now, if it is there.
    pub(crate) fn reweigh(&self, key: &K, bytes: impl FnOnce(&V) -> usize) {
        let mut state = self.state();
        let Some(cell) = state.slots.get(key).map(|slot| Arc::clone(&slot.cell)) else {
            return;
        };
        if let Some(value) = cell.get() {
            state.weigh(key, &cell, bytes(value), self.limit);
        }
    }

    /// Puts a value in, replacing an older one.
    pub(crate) fn insert(&self, key: &K, value: V, bytes: usize) {
        let mut state = self.state();
        state.remove(key);
        let cell = Arc::new(OnceCell::new_with(Some(value)));
        state.add(key, Arc::clone(&cell));
        state.weigh(key, &cell, bytes, self.limit);
    }

    /// Drops every value whose key is meant. Whoever uses one still keeps it alive.
    pub(crate) fn forget(&self, is_meant: impl Fn(&K) -> bool) {
        let mut state = self.state();
        let meant: Vec<K> = state.slots.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in meant {
            state.remove(&key);
        }
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    fn slot(&mut self, key: &K) -> Arc<OnceCell<V>> {
        if self.touch(key)
            && let Some(slot) = self.slots.get(key)
        {
            return Arc::clone(&slot.cell);
        }
        let cell = Arc::new(OnceCell::new());
        self.add(key, Arc::clone(&cell));
        cell
    }

    fn add(&mut self, key: &K, cell: Arc<OnceCell<V>>) {
        self.uses += 1;
        self.bytes += OVERHEAD;
        self.by_use.insert(self.uses, key.clone());
        self.slots.insert(
            key.clone(),
            Slot {
                cell,
                used: self.uses,
                bytes: OVERHEAD,
            },
        );
    }

    fn touch(&mut self, key: &K) -> bool {
        let Some(slot) = self.slots.get_mut(key) else {
            return false;
        };
        self.by_use.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        self.by_use.insert(self.uses, key.clone());
        true
    }

    /// Notes a loaded value's size and makes room, for it or by dropping it.
    fn weigh(&mut self, key: &K, cell: &Arc<OnceCell<V>>, bytes: usize, limit: usize) {
        if let Some(slot) = self.slots.get_mut(key)
            && Arc::ptr_eq(&slot.cell, cell)
        {
            let bytes = bytes.saturating_add(OVERHEAD);
            self.bytes = self.bytes.saturating_sub(slot.bytes).saturating_add(bytes);
            slot.bytes = bytes;
        }
        while self.bytes > limit {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some(slot) = self.slots.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(slot.bytes);
            }
        }
    }

    fn forget_failed(&mut self, key: &K, cell: &Arc<OnceCell<V>>) {
        let same = self.slots.get(key).is_some_and(|slot| Arc::ptr_eq(&slot.cell, cell));
        if same && !cell.initialized() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(slot) = self.slots.remove(key) {
            self.by_use.remove(&slot.used);
            self.bytes = self.bytes.saturating_sub(slot.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn load(cache: &ByteCache<u32, u32>, key: u32, bytes: usize) -> u32 {
        cache
            .get_or_load(&key, async { Ok::<_, ()>((key * 10, bytes)) })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_least_recently_used_go_first() {
        let cache = ByteCache::new(3 * (OVERHEAD + 1000));
        for key in 1..=3 {
            assert_eq!(load(&cache, key, 1000).await, key * 10);
        }
        assert_eq!(cache.get(&1), Some(10));
        load(&cache, 4, 1000).await;
        assert_eq!(cache.get(&2), None);
        assert_eq!([1, 3, 4].map(|key| cache.get(&key)), [Some(10), Some(30), Some(40)]);
        assert_eq!(cache.bytes(), 3 * (OVERHEAD + 1000));
    }

    #[tokio::test]
    async fn what_is_too_big_is_answered_but_not_kept() {
        let cache = ByteCache::new(2000);
        assert_eq!(load(&cache, 7, 5000).await, 70);
        assert_eq!((cache.get(&7), cache.bytes()), (None, 0));
    }

    #[tokio::test]
    async fn what_grows_makes_others_go() {
        let cache = ByteCache::new(3 * (OVERHEAD + 1000));
        for key in 1..=3 {
            load(&cache, key, 1000).await;
        }
        cache.reweigh(&3, |value| *value as usize + 1500);
        assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [None, Some(20), Some(30)]);
        assert_eq!(cache.bytes(), 2 * OVERHEAD + 1000 + 1530);
        cache.reweigh(&1, |_| 7);
        assert_eq!(cache.bytes(), 2 * OVERHEAD + 1000 + 1530);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_loaded_again() {
        let cache = ByteCache::new(1_000_000);
        for key in 1..=10 {
            load(&cache, key, 100).await;
        }
        cache.forget(|key| key % 2 == 0);
        assert_eq!((cache.get(&2), cache.get(&3)), (None, Some(30)));
        assert_eq!(cache.bytes(), 5 * (OVERHEAD + 100));
        assert_eq!(load(&cache, 2, 100).await, 20);
    }

    #[tokio::test]
    async fn one_load_serves_all_who_wait_and_a_failure_leaves_nothing() {
        let cache = ByteCache::new(10_000);
        let loads = AtomicUsize::new(0);
        let slow = || async {
            loads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>((5, 1))
        };
        let (a, b) = futures::join!(cache.get_or_load(&1, slow()), cache.get_or_load(&1, slow()));
        assert_eq!((a, b, loads.load(Ordering::Relaxed)), (Ok(5), Ok(5), 1));
        assert_eq!(
            cache.get_or_load(&2, async { Err::<(u32, usize), _>("gone") }).await,
            Err("gone")
        );
        assert_eq!((cache.get(&2), cache.bytes()), (None, OVERHEAD + 1));
    }
}
