//! The memory that requests in flight may hold together: a semaphore counted in KiB.
//!
//! A request takes its share before its body is read and gives it back with its answer. When the budget is used
//! up the client is told to come back (503, Retry-After), which SDKs do by themselves.

use std::sync::Arc;
use std::time::Duration;

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
    pub(crate) async fn take(&self, body_bytes: u64) -> Result<OwnedSemaphorePermit, ApiError> {
        let body_kib = u32::try_from(body_bytes.saturating_mul(BODY_FACTOR) / 1024).unwrap_or(u32::MAX);
        let share = BASE_KIB.saturating_add(body_kib).min(self.total_kib);
        let permits = Arc::clone(&self.permits);
        let taken = tokio::time::timeout(PATIENCE, permits.acquire_many_owned(share)).await;
        match taken {
            Ok(Ok(permit)) => Ok(permit),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_refuses_and_recovers() {
        let budget = MemoryBudget::new(64);
        let first = budget.take(24 * 1024 * 1024).await.unwrap();
        let refused = budget.take(20 * 1024 * 1024).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        drop(first);
        assert!(budget.take(20 * 1024 * 1024).await.is_ok());
        assert_eq!(budget.used_kib(), 0);
    }
}
