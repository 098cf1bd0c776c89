//! The loop around a transaction: send it, and after anything but success read and decide.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update};
use aws_smithy_runtime_api::client::result::SdkError;

use super::DynamoCatalog;
use super::schema::{Item, names};
use crate::aws::failure::Kind;
use crate::error::StoreError;

/// Collisions with other writes of the same items before a call gives up.
const CONFLICTS: u32 = 64;
/// Failed or ambiguous requests before it does.
const FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How one attempt ended.
pub(super) enum Transacted {
    /// Everything was written.
    Done,
    /// A condition did not hold: nothing was written.
    Refused,
}

/// One call's patience, and what it knows of its earlier attempts.
pub(super) struct Attempts<'a> {
    catalog: &'a DynamoCatalog,
    what: String,
    conflicts: u32,
    failures: u32,
    pause: Duration,
    /// An attempt was sent and its answer lost: it may have taken effect, or may still.
    pub(super) ambiguous: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(catalog: &'a DynamoCatalog, what: String) -> Self {
        Self {
            catalog,
            what,
            conflicts: 0,
            failures: 0,
            pause: FIRST_PAUSE,
            ambiguous: false,
        }
    }

    /// Sends a transaction until it is made or refused. An attempt that cannot be told to have failed counts as
    /// refused: the caller reads what became of it.
    pub(super) async fn send(&mut self, items: &[TransactWriteItem]) -> Result<Transacted, StoreError> {
        loop {
            let answer = self
                .catalog
                .once
                .transact_write_items()
                .set_transact_items(Some(items.to_vec()))
                .send()
                .await;
            let error = match answer {
                Ok(_) => return Ok(Transacted::Done),
                Err(error) => error,
            };
            match reasons(&error) {
                // Another write of one of the items was going on, or there were too many: nothing was written.
                Some(codes) if codes.iter().any(|code| is_passing(code)) => self.conflicted().await?,
                Some(codes) if codes.iter().any(|code| code == "ConditionalCheckFailed") => {
                    return Ok(Transacted::Refused);
                }
                _ => {
                    let failure = self.catalog.failure(&error, "dynamodb:TransactWriteItems");
                    let is_lost = failure.kind == Kind::Unknown;
                    self.failed(failure.kind, failure.into_store_error(&self.what)).await?;
                    if is_lost {
                        return Ok(Transacted::Refused);
                    }
                }
            }
        }
    }

    /// What was read shows no reason for the refusal any more: try again, some time.
    pub(super) async fn conflicted(&mut self) -> Result<(), StoreError> {
        self.conflicts += 1;
        if self.conflicts > CONFLICTS {
            return Err(self.verdict(StoreError::throttled(&self.what)));
        }
        self.rest().await;
        Ok(())
    }

    async fn failed(&mut self, kind: Kind, error: StoreError) -> Result<(), StoreError> {
        self.ambiguous |= kind == Kind::Unknown;
        self.failures += 1;
        let is_passing = matches!(kind, Kind::Unknown | Kind::Throttled | Kind::Refused);
        if !is_passing || self.failures > FAILURES {
            return Err(self.verdict(error));
        }
        self.rest().await;
        Ok(())
    }

    /// A "no" to the caller: only if no attempt may still take effect.
    pub(super) fn refuse<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.ambiguous {
            return Err(StoreError::unknown(&self.what));
        }
        Ok(answer)
    }

    fn verdict(&self, error: StoreError) -> StoreError {
        if self.ambiguous && !error.is_unknown() {
            return StoreError::unknown_because(&self.what, error);
        }
        error
    }

    async fn rest(&mut self) {
        let fraction = f64::from((self.catalog.ids.nonce() >> 32) as u32) / f64::from(u32::MAX);
        tokio::time::sleep(self.pause.mul_f64(fraction)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why a transaction was cancelled, item by item.
fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Vec<String>> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return None;
    };
    let code = |reason: &aws_sdk_dynamodb::types::CancellationReason| reason.code().unwrap_or_default().to_owned();
    Some(cancelled.cancellation_reasons().iter().map(code).collect())
}

fn is_passing(code: &str) -> bool {
    let passing = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ];
    passing.contains(&code)
}

/// Values of an expression by their `:name`.
type Values = Vec<(&'static str, AttributeValue)>;

fn values(values: Values) -> Option<Item> {
    (!values.is_empty()).then(|| {
        values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

fn built<T>(
    built: Result<T, impl std::error::Error + Send + Sync + 'static>,
    wrap: impl FnOnce(T) -> TransactWriteItem,
) -> Result<TransactWriteItem, StoreError> {
    let built = built.map_err(|error| StoreError::other_because("building a transaction", error))?;
    Ok(wrap(built))
}

impl DynamoCatalog {
    /// Puts an item that must not be there.
    pub(super) fn put_new(&self, item: Item) -> Result<TransactWriteItem, StoreError> {
        let condition = "attribute_not_exists(#pk)";
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names(&[condition])))
            .build();
        built(put, |put| TransactWriteItem::builder().put(put).build())
    }

    /// Requires that an item is not there.
    pub(super) fn require_absent(&self, key: Item) -> Result<TransactWriteItem, StoreError> {
        let condition = "attribute_not_exists(#pk)";
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names(&[condition])))
            .build();
        built(check, |check| {
            TransactWriteItem::builder().condition_check(check).build()
        })
    }

    pub(super) fn delete_if(&self, key: Item, condition: &str, with: Values) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names(&[condition])))
            .set_expression_attribute_values(values(with))
            .build();
        built(delete, |delete| TransactWriteItem::builder().delete(delete).build())
    }

    pub(super) fn update_if(
        &self,
        key: Item,
        change: &str,
        condition: &str,
        with: Values,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression(change)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names(&[change, condition])))
            .set_expression_attribute_values(values(with))
            .build();
        built(update, |update| TransactWriteItem::builder().update(update).build())
    }
}
