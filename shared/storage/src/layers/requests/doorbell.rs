//! A doorbell whose rings are logged as messages, each after a delay.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::log::{RequestKind, RequestLog};
use crate::doorbell::{Doorbell, Ring, Work};
use crate::error::StoreError;

/// Passes rings on to another doorbell.
#[derive(Debug, Clone)]
pub struct LoggedDoorbell {
    inner: Arc<dyn Doorbell>,
    log: RequestLog,
    delay: Duration,
}

impl LoggedDoorbell {
    /// Wraps a doorbell; each ring takes this much longer.
    pub fn new(inner: Arc<dyn Doorbell>, log: RequestLog, delay: Duration) -> Self {
        Self { inner, log, delay }
    }
}

#[async_trait]
impl Doorbell for LoggedDoorbell {
    async fn ring(&self, ring: &Ring) -> Result<(), StoreError> {
        let queue = match ring.kind {
            Work::Fold => "fold",
            Work::Compact => "compact",
        };
        self.log.note(RequestKind::SendMessage, queue);
        tokio::time::sleep(self.delay).await;
        self.inner.ring(ring).await
    }
}
