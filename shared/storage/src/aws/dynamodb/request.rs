//! The calls themselves: strong reads, queries page by page, one conditional update; and what their failures mean.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::DynamoCatalog;
use super::schema::{self, Item, names};
use crate::aws::failure::{Failure, Request};
use crate::error::StoreError;

/// A conditional update of one item.
pub(super) struct Update {
    pub(super) key: Item,
    pub(super) change: String,
    pub(super) condition: String,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
}

/// How a conditional update ended.
pub(super) enum Updated {
    /// Made: the item as it is now.
    Done(Item),
    /// Not made: the item that refused it, `None` when there is none.
    Refused(Option<Item>),
}

/// What a query is for.
pub(super) struct Query<'a> {
    pub(super) pk: &'a str,
    /// Sort keys after this ...
    pub(super) after: Option<&'a str>,
    /// ... or from this on.
    pub(super) from: Option<&'a str>,
    /// Items per page.
    pub(super) limit: usize,
}

impl DynamoCatalog {
    pub(super) fn failure<E>(&self, error: &SdkError<E, HttpResponse>, action: &'static str) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let request = Request {
            server: self.server.clone(),
            action,
            resource: format!("table {}", self.table),
        };
        Failure::new(error, request)
    }

    /// One item, strongly read.
    pub(super) async fn read_item(&self, key: Item, what: &str) -> Result<Option<Item>, StoreError> {
        let answer = self
            .again
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await;
        match answer {
            Ok(output) => Ok(output.item),
            Err(error) => Err(self.failure(&error, "dynamodb:GetItem").into_store_error(what)),
        }
    }

    /// One page of a partition, strongly read, in the order of the sort keys; and whether there may be more.
    pub(super) async fn query(&self, query: &Query<'_>) -> Result<(Vec<Item>, bool), StoreError> {
        let (condition, edge) = match (query.after, query.from) {
            (Some(after), _) => ("#pk = :pk AND #sk > :edge", Some(after)),
            (None, Some(from)) => ("#pk = :pk AND #sk >= :edge", Some(from)),
            (None, None) => ("#pk = :pk", None),
        };
        let mut request = self
            .again
            .query()
            .table_name(&self.table)
            .key_condition_expression(condition)
            .set_expression_attribute_names(Some(names(&[condition])))
            .expression_attribute_values(":pk", schema::text(query.pk))
            .limit(i32::try_from(query.limit.max(1)).unwrap_or(i32::MAX))
            .consistent_read(true);
        if let Some(edge) = edge {
            request = request.expression_attribute_values(":edge", schema::text(edge));
        }
        let output = request.send().await.map_err(|error| {
            let failure = self.failure(&error, "dynamodb:Query");
            failure.into_store_error(format!("listing {}", query.pk))
        })?;
        let more = output.last_evaluated_key.is_some();
        Ok((output.items.unwrap_or_default(), more))
    }

    /// One conditional update, sent once.
    pub(super) async fn update(&self, update: Update, what: &str) -> Result<Updated, StoreError> {
        let names = names(&[&update.change, &update.condition]);
        let mut request = self
            .once
            .update_item()
            .table_name(&self.table)
            .set_key(Some(update.key))
            .update_expression(update.change)
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(names))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in update.values {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(output) => Ok(Updated::Done(output.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                let UpdateItemError::ConditionalCheckFailedException(refused) = error.into_err() else {
                    return Err(StoreError::unknown(what));
                };
                Ok(Updated::Refused(refused.item.filter(|item| !item.is_empty())))
            }
            Err(error) => Err(self.failure(&error, "dynamodb:UpdateItem").into_store_error(what)),
        }
    }
}
