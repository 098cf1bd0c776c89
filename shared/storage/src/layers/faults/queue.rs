//! A queue between the doorbell and the indexer, as bad as a standard queue may be and worse: messages are lost, arrive
//! twice, late and in another order, ringing fails, and what nobody has deleted comes again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::Randomness;
use tokio::time::{Duration, Instant};

use crate::doorbell::{Doorbell, Ring};
use crate::error::StoreError;

/// How bad the queue is. Shares are of a thousand rings.
#[derive(Debug, Clone, Copy)]
pub struct QueueFaults {
    /// Rings that fail; half of them are sent all the same.
    pub failed: u64,
    /// Messages that vanish.
    pub lost: u64,
    /// Messages that arrive twice.
    pub doubled: u64,
    /// A message is on its way for up to so long, each for another time: so they arrive in another order.
    pub delay: Duration,
    /// A message that was received and not deleted comes again after this.
    pub hidden: Duration,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Message {
    /// By which it is deleted.
    pub number: u64,
    /// What it says.
    pub ring: Ring,
}

/// What has become of the rings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Rings that failed.
    pub failed: u64,
    /// Messages that vanished.
    pub lost: u64,
    /// Messages that were sent twice.
    pub doubled: u64,
    /// Messages received, again ones included.
    pub received: u64,
}

#[derive(Debug, Default)]
struct State {
    messages: BTreeMap<u64, (Instant, Ring)>,
    sent: u64,
    counts: QueueCounts,
}

/// The queue; clones are the same queue.
#[derive(Debug, Clone)]
pub struct FaultQueue {
    random: Arc<dyn Randomness>,
    faults: QueueFaults,
    state: Arc<Mutex<State>>,
}

impl FaultQueue {
    /// An empty queue.
    pub fn new(random: Arc<dyn Randomness>, faults: QueueFaults) -> Self {
        Self {
            random,
            faults,
            state: Arc::default(),
        }
    }

    /// Some messages that have arrived, in any order.
    pub fn receive(&self, most: usize) -> Vec<Message> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut arrived: Vec<(u64, u64)> = state
            .messages
            .iter()
            .filter(|(_, (visible, _))| *visible <= now)
            .map(|(number, _)| (self.draw(u64::MAX), *number))
            .collect();
        arrived.sort_unstable();
        let mut received = Vec::new();
        for (_, number) in arrived.into_iter().take(most) {
            if let Some((visible, ring)) = state.messages.get_mut(&number) {
                *visible = now + self.faults.hidden;
                received.push(Message {
                    number,
                    ring: ring.clone(),
                });
            }
        }
        state.counts.received += received.len() as u64;
        received
    }

    /// The message is done with.
    pub fn delete(&self, message: &Message) {
        self.lock().messages.remove(&message.number);
    }

    /// What has become of the rings so far.
    pub fn counts(&self) -> QueueCounts {
        self.lock().counts
    }

    fn send(&self, state: &mut State, ring: &Ring) {
        let micros = u64::try_from(self.faults.delay.as_micros()).unwrap_or(u64::MAX);
        let arrives = Instant::now() + Duration::from_micros(self.draw(micros.saturating_add(1)));
        state.sent += 1;
        state.messages.insert(state.sent, (arrives, ring.clone()));
    }

    fn draw(&self, below: u64) -> u64 {
        (self.random.next_u128() % u128::from(below.max(1))) as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Doorbell for FaultQueue {
    async fn ring(&self, ring: &Ring) -> Result<(), StoreError> {
        let mut state = self.lock();
        if self.draw(1000) < self.faults.failed {
            state.counts.failed += 1;
            if self.draw(2) == 0 {
                self.send(&mut state, ring);
            }
            return Err(StoreError::unknown("ringing (injected)"));
        }
        if self.draw(1000) < self.faults.lost {
            state.counts.lost += 1;
            return Ok(());
        }
        self.send(&mut state, ring);
        if self.draw(1000) < self.faults.doubled {
            state.counts.doubled += 1;
            self.send(&mut state, ring);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{IndexUuid, SeededRandom};

    use super::*;
    use crate::catalog::IndexPath;
    use crate::doorbell::Work;

    fn ring(index: &str) -> Ring {
        Ring {
            path: IndexPath {
                bucket: "books".parse().unwrap(),
                index: index.parse().unwrap(),
            },
            uuid: IndexUuid(uuid::Uuid::from_u128(1)),
            kind: Work::Fold,
        }
    }

    fn queue(failed: u64, lost: u64, doubled: u64) -> FaultQueue {
        let faults = QueueFaults {
            failed,
            lost,
            doubled,
            delay: Duration::from_secs(5),
            hidden: Duration::from_secs(30),
        };
        FaultQueue::new(Arc::new(SeededRandom::new(7)), faults)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_come_late_in_another_order_and_again_until_deleted() {
        let queue = queue(0, 0, 0);
        let names: Vec<String> = (0..20).map(|number| format!("index-{number}")).collect();
        for name in &names {
            queue.ring(&ring(name)).await.unwrap();
        }
        assert!(queue.receive(100).len() < 20);
        tokio::time::sleep(Duration::from_secs(36)).await;
        let received = queue.receive(100);
        let order: Vec<&str> = received
            .iter()
            .map(|message| message.ring.path.index.as_str())
            .collect();
        assert_eq!(order.len(), 20);
        assert_ne!(order, names);
        assert!(queue.receive(100).is_empty(), "hidden");
        queue.delete(&received[0]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(queue.receive(100).len(), 19);
    }

    #[tokio::test(start_paused = true)]
    async fn rings_fail_vanish_and_double() {
        for (queue, arrived) in [
            (queue(1000, 0, 0), 30..70),
            (queue(0, 1000, 0), 0..1),
            (queue(0, 0, 1000), 200..201),
        ] {
            for _ in 0..100 {
                let rung = queue.ring(&ring("all")).await;
                assert_eq!(rung.is_err(), queue.faults.failed > 0);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            let received = queue.receive(1000).len();
            assert!(arrived.contains(&received), "{received} of {arrived:?}");
            let counts = queue.counts();
            assert_eq!(counts.failed + counts.lost + counts.doubled, 100);
        }
    }
}
