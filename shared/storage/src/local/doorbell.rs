//! The doorbell inside one process: a queue that merges repeats and never blocks.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::doorbell::{Doorbell, Ring};
use crate::error::StoreError;

/// Rings the indexer of this process. Clones ring the same bell.
#[derive(Debug, Clone)]
pub struct InProcessDoorbell {
    shared: Arc<Shared>,
}

/// Hears the rings. Of several receivers each ring reaches one.
#[derive(Debug, Clone)]
pub struct RingReceiver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    rung: Notify,
}

/// Bounded by the number of indexes: a ring that waits already is not queued again.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Ring>,
    waiting: HashSet<Ring>,
}

impl InProcessDoorbell {
    /// A bell and its first receiver.
    pub fn new() -> (Self, RingReceiver) {
        let shared = Arc::new(Shared::default());
        (
            Self {
                shared: Arc::clone(&shared),
            },
            RingReceiver { shared },
        )
    }
}

#[async_trait]
impl Doorbell for InProcessDoorbell {
    async fn ring(&self, ring: &Ring) -> Result<(), StoreError> {
        let is_new = self.shared.lock().push(ring);
        if is_new {
            self.shared.rung.notify_one();
        }
        Ok(())
    }
}

impl RingReceiver {
    /// The oldest ring that waits, or the next one to come. Dropping the future loses nothing.
    pub async fn next(&self) -> Ring {
        loop {
            // Registered before the queue is looked at: a ring in between leaves its permit.
            let rung = self.shared.rung.notified();
            if let Some(ring) = self.try_next() {
                return ring;
            }
            rung.await;
        }
    }

    /// The oldest ring that waits.
    pub fn try_next(&self) -> Option<Ring> {
        let (ring, more) = {
            let mut queue = self.shared.lock();
            (queue.pop(), !queue.order.is_empty())
        };
        if more {
            // Two rings may have shared one permit: pass the word on to another receiver.
            self.shared.rung.notify_one();
        }
        ring
    }

    /// How many rings wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().order.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, ring: &Ring) -> bool {
        let is_new = self.waiting.insert(ring.clone());
        if is_new {
            self.order.push_back(ring.clone());
        }
        is_new
    }

    fn pop(&mut self) -> Option<Ring> {
        let ring = self.order.pop_front()?;
        // A ring during the work must be heard again, so it stops counting as waiting before the work begins.
        self.waiting.remove(&ring);
        Some(ring)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{BucketName, IndexName, IndexUuid};

    use super::*;
    use crate::catalog::IndexPath;
    use crate::doorbell::Work;

    fn ring(index: &str, kind: Work) -> Ring {
        Ring {
            path: IndexPath {
                bucket: BucketName::parse("bucket").unwrap(),
                index: IndexName::parse(index).unwrap(),
            },
            uuid: IndexUuid(uuid::Uuid::from_u128(1)),
            kind,
        }
    }

    #[tokio::test]
    async fn repeats_merge_and_order_stays() {
        let (bell, receiver) = InProcessDoorbell::new();
        for index in ["one", "two", "one", "one"] {
            bell.ring(&ring(index, Work::Fold)).await.unwrap();
        }
        bell.ring(&ring("one", Work::Compact)).await.unwrap();
        assert_eq!(receiver.waiting(), 3);
        assert_eq!(receiver.next().await, ring("one", Work::Fold));
        bell.ring(&ring("one", Work::Fold)).await.unwrap();
        assert_eq!(receiver.next().await, ring("two", Work::Fold));
        assert_eq!(receiver.next().await, ring("one", Work::Compact));
        assert_eq!(receiver.next().await, ring("one", Work::Fold));
        assert_eq!(receiver.try_next(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_ring_reaches_one_of_several_receivers() {
        let (bell, receiver) = InProcessDoorbell::new();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = receiver.clone();
                tokio::spawn(async move {
                    let mut heard = 0;
                    while tokio::time::timeout(Duration::from_millis(300), receiver.next())
                        .await
                        .is_ok()
                    {
                        heard += 1;
                    }
                    heard
                })
            })
            .collect();
        for number in 0..500 {
            bell.ring(&ring(&format!("index-{number}"), Work::Fold)).await.unwrap();
        }
        let mut heard = 0;
        for worker in workers {
            heard += worker.await.unwrap();
        }
        assert_eq!(heard, 500);
    }
}
