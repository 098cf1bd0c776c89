//! The memory that requests in flight may hold together: a semaphore counted in KiB.
//!
//! A request takes its share before its body is read, for the body and for the largest answer that there may be; the
//! answer keeps what it needs until its last byte is with the kernel. When the budget is used up the client is told to
//! come back (503, Retry-After), which SDKs do by themselves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Every request may hold this much beside its body: headers, an answer's first pages.
const BASE_KIB: u32 = 64;
/// A body is held as sent and as parsed (numbers take a fifth of their text).
const BODY_FACTOR: u64 = 2;
/// How long a request waits for others to finish before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shared budget.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    permits: Arc<Semaphore>,
    total_kib: u32,
}

impl MemoryBudget {
    /// A budget of `mib` MiB, at least what one largest request needs.
    pub(crate) fn new(mib: u32) -> Self {
        let total_kib = mib.max(64).saturating_mul(1024);
        Self {
            permits: Arc::new(Semaphore::new(total_kib as usize)),
            total_kib,
        }
    }

    /// Waits for a request's share; 503 when it does not come free in time.
    pub(crate) async fn take(&self, body_bytes: u64, answer_bytes: u64) -> Result<Share, ApiError> {
        let held_kib = kib(body_bytes.saturating_mul(BODY_FACTOR)).saturating_add(kib(answer_bytes));
        let share = BASE_KIB.saturating_add(held_kib).min(self.total_kib);
        let permits = Arc::clone(&self.permits);
        let taken = tokio::time::timeout(PATIENCE, permits.acquire_many_owned(share)).await;
        match taken {
            Ok(Ok(permit)) => Ok(Share(permit)),
            _ => Err(ApiError::ServiceUnavailable {
                message: "Currently unable to handle the request: too many requests in flight".to_owned(),
                retry_after_s: Some(1),
            }),
        }
    }

    /// KiB in use, for the status endpoints.
    pub(crate) fn used_kib(&self) -> u64 {
        u64::from(self.total_kib).saturating_sub(self.permits.available_permits() as u64)
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// What one request holds of the budget; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

impl Share {
    /// The answer with what it needs of the share, which is given back when the last of its bytes is dropped: when the
    /// kernel has it, or when its connection ends.
    pub(crate) fn held_by(mut self, answer: Vec<u8>) -> Bytes {
        let needed = kib(answer.len() as u64) as usize;
        let spare = self.0.num_permits().saturating_sub(needed);
        drop(self.0.split(spare));
        Bytes::from_owner(Held { answer, _share: self })
    }
}

struct Held {
    answer: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_refuses_and_recovers() {
        let budget = MemoryBudget::new(64);
        let first = budget.take(24 * 1024 * 1024, 0).await.unwrap();
        let refused = budget.take(20 * 1024 * 1024, 0).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        drop(first);
        assert!(budget.take(20 * 1024 * 1024, 0).await.is_ok());
        assert_eq!(budget.used_kib(), 0);
    }

    #[tokio::test]
    async fn an_answer_keeps_what_it_needs_until_its_last_byte_is_gone() {
        let budget = MemoryBudget::new(64);
        let share = budget.take(1024 * 1024, 5_000_000).await.unwrap();
        assert!(budget.used_kib() > 6_000);
        let mut answer = share.held_by(vec![7; 100_000]);
        assert_eq!(budget.used_kib(), 98);
        let sent = answer.split_to(99_999);
        drop(sent);
        assert_eq!((budget.used_kib(), answer.as_ref()), (98, [7].as_slice()));
        drop(answer);
        assert_eq!(budget.used_kib(), 0);
    }
}
