//! Secrets from Secrets Manager: no port of the service, but here is where the AWS SDK is.

use aws_sdk_secretsmanager::Client;
use futures::future::BoxFuture;

use super::connection::Aws;
use super::failure::{Failure, Request};
use crate::error::StoreError;

/// Reads secrets. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Secrets {
    client: Client,
    server: String,
}

impl Secrets {
    /// Sends nothing yet.
    pub fn new(aws: &Aws) -> Self {
        let endpoint = aws.settings.endpoints.secrets.as_deref();
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&aws.sdk)
            .retry_config(aws.retries())
            .timeout_config(aws.answer_timeouts());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            server: aws.server("Secrets Manager", endpoint),
        }
    }

    /// The current text of a secret, by its name or ARN.
    ///
    /// # Errors
    /// It cannot be read, or is no text. Nothing of it is in the message.
    pub fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let read = self.client.get_secret_value().secret_id(name).send().await;
            let value = read.map_err(|error| {
                let request = Request {
                    server: self.server.clone(),
                    action: "secretsmanager:GetSecretValue",
                    resource: format!("secret {name}"),
                };
                Failure::new(&error, request).into_store_error(format!("reading secret {name}"))
            })?;
            let text = value.secret_string;
            text.ok_or_else(|| StoreError::other(format!("secret {name} holds bytes, not a text")))
        })
    }
}
