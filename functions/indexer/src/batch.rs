//! A batch of a queue: which indexes it rings for, and which of its messages come back.
//!
//! Messages are only wake-up calls: many for one index are one piece of work, and one that is for an index that is gone,
//! or that has nothing due, is done. A message comes back (and in the end goes to the dead-letter queue, which raises an
//! alarm) when its work failed, or when it is none of ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::{IndexPath, Ring};

/// An event of a queue.
#[derive(Debug, Clone, Deserialize)]
pub struct QueueEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// By which it comes back.
    pub message_id: String,
    /// JSON of a [`Ring`].
    pub body: String,
}

/// The messages that come back; the others are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<Failed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    item_identifier: String,
}

impl BatchResponse {
    /// These come back.
    pub fn failed(ids: Vec<String>) -> Self {
        let failed = |item_identifier| Failed { item_identifier };
        Self {
            batch_item_failures: ids.into_iter().map(failed).collect(),
        }
    }

    /// How many come back.
    pub fn failures(&self) -> usize {
        self.batch_item_failures.len()
    }
}

/// What a batch asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The indexes, and the messages that ring for each.
    pub indexes: BTreeMap<IndexPath, Vec<String>>,
    /// Messages that are none of ours.
    pub foreign: Vec<String>,
}

impl Batch {
    /// Sorts the messages of an event by index.
    pub fn of(event: QueueEvent) -> Self {
        let mut batch = Self::default();
        for message in event.records {
            match serde_json::from_str::<Ring>(&message.body) {
                Ok(ring) => batch.indexes.entry(ring.path).or_default().push(message.message_id),
                Err(error) => {
                    tracing::error!(%error, message = message.message_id, "a message is not a ring");
                    batch.foreign.push(message.message_id);
                }
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use model::IndexUuid;
    use storage::Work;

    use super::*;

    fn ring(index: &str) -> String {
        let path = IndexPath {
            bucket: "books".parse().unwrap(),
            index: index.parse().unwrap(),
        };
        let uuid: IndexUuid = serde_json::from_str("\"6f6d6f2c-0000-4000-8000-000000000000\"").unwrap();
        let ring = Ring {
            path,
            uuid,
            kind: Work::Fold,
        };
        serde_json::to_string(&ring).unwrap()
    }

    #[test]
    fn messages_for_one_index_are_one_piece_of_work() {
        let records = serde_json::json!({"Records": [
            {"messageId": "1", "body": ring("all"), "eventSource": "aws:sqs"},
            {"messageId": "2", "body": ring("new")},
            {"messageId": "3", "body": ring("all")},
            {"messageId": "4", "body": "hello"}]});
        let batch = Batch::of(serde_json::from_value(records).unwrap());
        let found: Vec<(&str, &[String])> = batch
            .indexes
            .iter()
            .map(|(path, ids)| (path.index.as_str(), ids.as_slice()))
            .collect();
        assert_eq!(
            found,
            [
                ("all", ["1".to_owned(), "3".to_owned()].as_slice()),
                ("new", ["2".to_owned()].as_slice())
            ]
        );
        assert_eq!(batch.foreign, ["4"]);
    }

    #[test]
    fn what_lambda_is_told() {
        let response = BatchResponse::failed(vec!["4".to_owned()]);
        let told = serde_json::to_value(&response).unwrap();
        assert_eq!(
            told,
            serde_json::json!({"batchItemFailures": [{"itemIdentifier": "4"}]})
        );
        let none = serde_json::to_value(BatchResponse::default()).unwrap();
        assert_eq!(none, serde_json::json!({"batchItemFailures": []}));
    }
}
