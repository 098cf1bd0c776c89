//! One queue per name: tasks of this process that change the same thing go one after the other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Queues that nobody stands in are forgotten once there are so many.
const KEPT: usize = 1024;

/// A lock per key, made when it is first asked for.
#[derive(Debug)]
pub(crate) struct KeyedLocks<K> {
    locks: Mutex<HashMap<K, Arc<AsyncMutex<()>>>>,
}

impl<K: Clone + Eq + Hash> KeyedLocks<K> {
    pub(crate) fn new() -> Self {
        Self {
            locks: Mutex::new(HashMap::new()),
        }
    }

    /// Waits in line. The guard is owned, so that it can travel with work that outlives a dropped future.
    pub(crate) async fn lock(&self, key: &K) -> OwnedMutexGuard<()> {
        let lock = self.of(key);
        lock.lock_owned().await
    }

    fn of(&self, key: &K) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(key) {
            return Arc::clone(lock);
        }
        if locks.len() >= KEPT {
            // Guards and waiters hold a count of their own: only locks that nobody knows go.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(key.clone(), Arc::clone(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_at_a_time_per_key_whatever_is_forgotten() {
        let locks = Arc::new(KeyedLocks::new());
        let inside = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
                tokio::spawn(async move {
                    for round in 0..200 {
                        let _other = locks.lock(&(task * 1000 + round + 1)).await;
                        let _guard = locks.lock(&0).await;
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
