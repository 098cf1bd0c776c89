//! The memory that requests in flight may hold together, in three pots that cannot lock each other out: bodies that
//! arrive (from anybody, nothing is authenticated yet), requests that are worked on, answers that are sent.
//!
//! Whatever does not fit is told to come back (503, Retry-After), which SDKs do by themselves. Who waits for a pot
//! holds nothing of a later one, so nobody waits in a circle. Up to [`FREE_BYTES`] of a body and of an answer are not
//! counted: that much a connection costs anyway, and connections are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a body or an answer may be without being counted.
pub(crate) const FREE_BYTES: usize = 64 * 1024;
/// What a request holds while it is worked on, beside its body.
const BASE_BYTES: usize = 64 * 1024;
/// A body, and its texts as they are stored. (Metadata is never held parsed for more than one record at a time.)
const BYTES_PER_BODY_BYTE: usize = 2;
/// A number is held as a row's value, in a column, encoded, and in the WAL object: four times four bytes. There are at
/// most as many numbers as commas, and one.
const BYTES_PER_COMMA: usize = 16;
/// How long a request waits for others to finish before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shared budget.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    arriving: Pot,
    working: Pot,
    sending: Pot,
}

impl MemoryBudget {
    /// A budget of `mib` MiB (at least 64): a half to work with, a quarter each for what comes and what goes.
    pub(crate) fn new(mib: u32) -> Self {
        let quarter_kib = mib.max(64).saturating_mul(1024) / 4;
        Self {
            arriving: Pot::new(quarter_kib),
            working: Pot::new(quarter_kib * 2),
            sending: Pot::new(quarter_kib),
        }
    }

    /// A body that begins to arrive: it holds nothing yet.
    pub(crate) fn arrival(&self) -> Share {
        Share::empty(&self.arriving)
    }

    /// Waits for the memory of work that may hold so many `bytes`.
    pub(crate) async fn work(&self, bytes: usize) -> Result<Share, ApiError> {
        let mut share = Share::empty(&self.working);
        share.grow_to(bytes).await?;
        Ok(share)
    }

    /// An answer on its way: what it holds is given back when the last of it has been handed to the system. The answer
    /// exists already, so it does not wait: it is thrown away when there is no room for it.
    pub(crate) fn answer(&self, bytes: Vec<u8>) -> Result<Bytes, ApiError> {
        if bytes.capacity() <= FREE_BYTES {
            return Ok(Bytes::from(bytes));
        }
        let share = self.sending.try_take(kib(bytes.capacity())).ok_or_else(too_many)?;
        Ok(Bytes::from_owner(Answer { bytes, _share: share }))
    }

    /// KiB in use, for the status endpoints.
    pub(crate) fn used_kib(&self) -> u64 {
        [&self.arriving, &self.working, &self.sending]
            .map(Pot::used_kib)
            .iter()
            .sum()
    }
}

/// What working on a body may hold at most, with the largest answer that there may be, in bytes.
pub(crate) fn weight(body_bytes: usize, commas: usize, answer_bytes: usize) -> usize {
    let body = body_bytes.saturating_mul(BYTES_PER_BODY_BYTE);
    let numbers = commas.saturating_mul(BYTES_PER_COMMA);
    BASE_BYTES
        .saturating_add(body)
        .saturating_add(numbers)
        .saturating_add(answer_bytes)
}

struct Answer {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A number of KiB that requests share.
#[derive(Debug, Clone)]
struct Pot {
    permits: Arc<Semaphore>,
    total_kib: u32,
    waiting: Arc<AtomicUsize>,
}

impl Pot {
    fn new(total_kib: u32) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(total_kib as usize)),
            total_kib,
            waiting: Arc::default(),
        }
    }

    fn try_take(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        let share = kib.min(self.total_kib);
        Arc::clone(&self.permits).try_acquire_many_owned(share).ok()
    }

    /// The largest request fits when it is alone.
    async fn take(&self, kib: u32) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Some(permit) = self.try_take(kib) {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting);
        let share = kib.min(self.total_kib);
        let permits = Arc::clone(&self.permits).acquire_many_owned(share);
        match tokio::time::timeout(PATIENCE, permits).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(too_many()),
        }
    }

    fn used_kib(&self) -> u64 {
        u64::from(self.total_kib).saturating_sub(self.permits.available_permits() as u64)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one request holds of a pot.
#[derive(Debug)]
pub(crate) struct Share {
    pot: Pot,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn empty(pot: &Pot) -> Self {
        Self {
            pot: pot.clone(),
            held: None,
        }
    }

    /// Waits until it holds `bytes`; 503 when that takes too long.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let wanted = kib(bytes).min(self.pot.total_kib);
        let missing = wanted.saturating_sub(self.kib());
        if missing == 0 {
            return Ok(());
        }
        let more = self.pot.take(missing).await?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// Whether somebody waits for what this holds.
    pub(crate) fn is_wanted(&self) -> bool {
        self.held.is_some() && self.pot.waiting.load(Ordering::Relaxed) > 0
    }

    fn kib(&self) -> u32 {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(held).unwrap_or(u32::MAX)
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn too_many() -> ApiError {
    ApiError::ServiceUnavailable {
        message: "Currently unable to handle the request: too many requests in flight".to_owned(),
        retry_after_s: Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn a_full_pot_refuses_and_recovers() {
        let budget = MemoryBudget::new(64);
        let first = budget.work(weight(12 * MIB, 0, 0)).await.unwrap();
        let refused = budget.work(weight(10 * MIB, 0, 0)).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        drop(first);
        assert!(budget.work(weight(10 * MIB, 0, 0)).await.is_ok());
        assert!(
            budget.work(weight(500 * MIB, 0, 0)).await.is_ok(),
            "the largest one, alone"
        );
        assert_eq!(budget.used_kib(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_pot_locks_out_another() {
        let budget = MemoryBudget::new(64);
        let mut arrival = budget.arrival();
        arrival.grow_to(16 * MIB).await.unwrap();
        let answer = budget.answer(vec![0; 16 * MIB]).unwrap();
        assert_eq!(budget.used_kib(), 32 * 1024);
        let work = budget.work(weight(1000, 10, 0)).await.unwrap();
        assert_eq!(budget.answer(vec![0; MIB]).unwrap_err().status(), 503, "at once");
        assert!(budget.answer(vec![0; FREE_BYTES]).is_ok(), "small ones always");
        let part = answer.slice(10..20);
        drop(answer);
        assert!(
            budget.answer(vec![0; MIB]).is_err(),
            "held until the last of it is gone"
        );
        drop(part);
        assert!(budget.answer(vec![0; MIB]).is_ok());
        drop((arrival, work));
        assert_eq!(budget.used_kib(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_knows_that_it_is_wanted() {
        let budget = MemoryBudget::new(64);
        let mut first = budget.arrival();
        first.grow_to(10 * MIB).await.unwrap();
        assert!(!first.is_wanted());
        let mut second = budget.arrival();
        let waiting = tokio::spawn(async move { second.grow_to(10 * MIB).await.map(|()| second) });
        tokio::task::yield_now().await;
        assert!(first.is_wanted());
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        assert!(!second.is_wanted());
    }
}
