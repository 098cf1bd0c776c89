//! The verdict of the bucket's policy and of the access key's own, without any I/O.

use std::sync::Arc;

use model::policy::{ConditionKeys, Effect, Policy, PolicyRequest};
use model::{ApiError, Operation};

use super::ask::Ask;

/// A bucket's policy as it was read.
#[derive(Debug, Clone)]
pub(super) enum BucketPolicy {
    /// There is none, or no bucket.
    None,
    /// This one.
    Is(Arc<Policy>),
    /// One that an earlier version stored and that cannot be judged: it may deny anything.
    Unreadable,
}

impl BucketPolicy {
    pub(super) fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Is(policy) => Some(policy),
            Self::None | Self::Unreadable => None,
        }
    }
}

/// Whether the request may go on, by what is known of it.
///
/// # Errors
/// AccessDenied in AWS's words.
pub(super) fn judge(ask: &Ask, bucket: &BucketPolicy, keys: &ConditionKeys) -> Result<(), ApiError> {
    for operation in std::iter::once(ask.operation).chain(ask.also) {
        judge_one(ask, operation, bucket, keys)?;
    }
    Ok(())
}

fn judge_one(ask: &Ask, operation: Operation, bucket: &BucketPolicy, keys: &ConditionKeys) -> Result<(), ApiError> {
    let action = operation.permission();
    let request = PolicyRequest {
        principal: ask.caller.principal.as_deref().unwrap_or_default(),
        action: &action,
        resource: &ask.resource,
        keys,
    };
    let refuse = |reason: &str| {
        let (principal, resource) = (request.principal, request.resource);
        let message =
            format!("User: {principal} is not authorized to perform: {action} on resource: {resource} {reason}");
        Err(ApiError::access_denied(message))
    };
    let own = ask.caller.policy.as_ref().and_then(|policy| policy.verdict(&request));
    if own == Some(Effect::Deny) {
        return refuse("with an explicit deny in an identity-based policy");
    }
    // An owner is never locked out of a bucket's policy, as an account's root user is not.
    let puts_right = ask.caller.owner && is_policy_operation(operation);
    if matches!(bucket, BucketPolicy::Unreadable) && !puts_right {
        return refuse("because the vector bucket's policy cannot be judged");
    }
    let theirs = bucket.policy().and_then(|policy| policy.verdict(&request));
    if theirs == Some(Effect::Deny) && !puts_right {
        return refuse("with an explicit deny in a resource-based policy");
    }
    if ask.caller.owner || own.is_some() || theirs == Some(Effect::Allow) {
        return Ok(());
    }
    refuse(&format!("because no identity-based policy allows the {action} action"))
}

fn is_policy_operation(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetVectorBucketPolicy | Operation::PutVectorBucketPolicy | Operation::DeleteVectorBucketPolicy
    )
}
