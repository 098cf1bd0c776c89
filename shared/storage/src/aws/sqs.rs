//! The doorbell on SQS: one message per ring, on the queue of its work. Only sending: what hears the rings is a
//! function whose event the queue is.

use async_trait::async_trait;
use aws_sdk_sqs::Client;

use super::connection::Aws;
use super::failure::{Failure, Request};
use crate::doorbell::{Doorbell, Ring, Work};
use crate::error::StoreError;

/// Where rings are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrls {
    /// The queue of folds.
    pub fold: String,
    /// The queue of compactions, which take long.
    pub compact: String,
}

/// Rings by sending a message, whose body is the JSON of [`Ring`].
#[derive(Debug, Clone)]
pub struct SqsDoorbell {
    client: Client,
    queues: QueueUrls,
    server: String,
}

impl SqsDoorbell {
    /// A doorbell on these queues. Sends nothing yet.
    pub fn new(aws: &Aws, queues: QueueUrls) -> Self {
        // A ring is sent again at will: two are as good as one.
        let mut config = aws_sdk_sqs::config::Builder::from(&aws.sdk)
            .retry_config(aws.retries())
            .timeout_config(aws.answer_timeouts());
        if let Some(endpoint) = &aws.settings.endpoints.sqs {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            queues,
            server: aws.server("SQS", aws.settings.endpoints.sqs.as_deref()),
        }
    }

    fn queue(&self, work: Work) -> &str {
        match work {
            Work::Fold => &self.queues.fold,
            Work::Compact => &self.queues.compact,
        }
    }
}

#[async_trait]
impl Doorbell for SqsDoorbell {
    async fn ring(&self, ring: &Ring) -> Result<(), StoreError> {
        let queue = self.queue(ring.kind);
        let body = serde_json::to_string(ring).map_err(|error| StoreError::other_because("encoding a ring", error))?;
        let sent = self
            .client
            .send_message()
            .queue_url(queue)
            .message_body(body)
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| {
            let request = Request {
                server: self.server.clone(),
                action: "sqs:SendMessage",
                resource: format!("queue {queue}"),
            };
            Failure::new(&error, request)
                .into_store_error(format!("ringing for {}/{}", ring.path.bucket, ring.path.index))
        })
    }
}
