//! The bucket's policy and the tags that policies ask for, read for every request; and what is remembered of them, so
//! that reading can begin before it is known which bucket a name means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::policy::{ConditionKeys, Policy};
use model::{ApiError, BucketName, BucketUuid, IndexUuid, OwnerUuid};
use storage::{Attachment, BucketInfo, Revision};

use super::ask::{Ask, Target};
use super::judge::{BucketPolicy, judge};
use crate::ops::settings;
use crate::write::known_index;
use crate::{Context, errors};

/// Buckets remembered; beyond, all are forgotten (each costs one read to learn again).
const REMEMBERED: usize = 4_096;

/// What this process has seen of buckets. Never believed: a verdict stands on what was read for its request.
#[derive(Debug, Default)]
pub(crate) struct AccessMemory {
    names: Mutex<HashMap<BucketName, BucketUuid>>,
    /// The last policy of each bucket; of an unchanged one the text is not parsed again.
    policies: Mutex<HashMap<BucketUuid, (Option<Revision>, BucketPolicy)>>,
}

impl AccessMemory {
    /// Which bucket a name meant.
    pub(super) fn bucket(&self, name: &BucketName) -> Option<BucketUuid> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).copied()
    }

    /// Takes note of what a name means.
    pub(crate) fn learn(&self, name: &BucketName, uuid: BucketUuid) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(name) == Some(&uuid) {
            return;
        }
        if names.len() >= REMEMBERED {
            names.clear();
        }
        names.insert(name.clone(), uuid);
    }

    /// The policy that the bucket had when it was last asked for.
    pub(super) fn policy(&self, bucket: BucketUuid) -> Option<BucketPolicy> {
        let policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        policies.get(&bucket).map(|(_, policy)| policy.clone())
    }

    /// The policy as it was just read, which is remembered.
    fn parsed(&self, bucket: BucketUuid, read: Option<(String, Revision)>) -> BucketPolicy {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = read.as_ref().map(|(_, revision)| *revision);
        if let Some((known, policy)) = policies.get(&bucket)
            && *known == revision
        {
            return policy.clone();
        }
        let policy = match read.map(|(text, _)| Policy::parse_resource(&text)) {
            None => BucketPolicy::None,
            Some(Ok(policy)) => BucketPolicy::Is(Arc::new(policy)),
            Some(Err(fault)) => {
                tracing::error!(%fault, %bucket, "a stored policy cannot be judged");
                BucketPolicy::Unreadable
            }
        };
        if policies.len() >= REMEMBERED {
            policies.clear();
        }
        policies.insert(bucket, (revision, policy.clone()));
        policy
    }
}

/// What a verdict stands on: the bucket whose policy was read, and the index whose tags were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grounds {
    pub(super) bucket: Option<BucketUuid>,
    pub(super) index: Option<IndexUuid>,
}

/// The bucket of this name.
pub(super) async fn read_bucket(ctx: &Context, name: &BucketName) -> Result<Option<BucketInfo>, ApiError> {
    let read = ctx.ports.catalog.read_bucket(name).await;
    let found = read.map_err(|error| errors::store(&error))?;
    if let Some(bucket) = &found {
        ctx.access.learn(name, bucket.uuid);
    }
    Ok(found)
}

/// Judges a request by the policy of this bucket (`None`: there is no such bucket) and by the caller's own.
pub(super) async fn check(ctx: &Context, ask: &Ask, bucket: Option<BucketUuid>) -> Result<Grounds, ApiError> {
    let mut grounds = Grounds { bucket, index: None };
    if !ask.is_judged() {
        return Ok(grounds);
    }
    let policy = match bucket {
        Some(bucket) => read_policy(ctx, bucket).await?,
        None => BucketPolicy::None,
    };
    let mut keys = keys(ctx, ask);
    add_tags(ctx, ask, &policy, &mut grounds, &mut keys).await?;
    judge(ask, &policy, &keys)?;
    Ok(grounds)
}

/// Whether the policy that the bucket had last would let the request pass; `false` when that is not known.
pub(super) fn is_likely(ctx: &Context, ask: &Ask) -> bool {
    let Target::Index(path) = &ask.target else {
        return false;
    };
    let policy = ctx
        .access
        .bucket(&path.bucket)
        .and_then(|bucket| ctx.access.policy(bucket));
    let (policy, asks_tags) = match policy {
        Some(policy) => {
            let asks_tags =
                asks(ask, &policy, Policy::asks_resource_tags) || asks(ask, &policy, Policy::asks_bucket_tags);
            (policy, asks_tags)
        }
        None => return false,
    };
    !asks_tags && judge(ask, &policy, &keys(ctx, ask)).is_ok()
}

async fn read_policy(ctx: &Context, bucket: BucketUuid) -> Result<BucketPolicy, ApiError> {
    let read = settings::read_attachment(ctx, bucket.into(), Attachment::Policy).await?;
    Ok(ctx.access.parsed(bucket, read))
}

fn asks(ask: &Ask, policy: &BucketPolicy, what: fn(&Policy) -> bool) -> bool {
    let own = ask.caller.policy.as_deref();
    [own, policy.policy()].into_iter().flatten().any(what)
}

/// Tags are read only for policies that ask for them.
async fn add_tags(
    ctx: &Context,
    ask: &Ask,
    policy: &BucketPolicy,
    grounds: &mut Grounds,
    keys: &mut ConditionKeys,
) -> Result<(), ApiError> {
    if let Some(bucket) = grounds.bucket
        && asks(ask, policy, Policy::asks_bucket_tags)
    {
        let (tags, _) = settings::read_tags(ctx, bucket.into()).await?;
        keys.set_bucket_tags(&tags);
    }
    if !asks(ask, policy, Policy::asks_resource_tags) {
        return Ok(());
    }
    let owner: Option<OwnerUuid> = match &ask.target {
        Target::Account => None,
        Target::Bucket(_) => grounds.bucket.map(Into::into),
        Target::Index(path) => match known_index(ctx, path).await {
            Ok(judge) => {
                grounds.index = Some(judge.known.uuid);
                Some(judge.known.uuid.into())
            }
            Err(ApiError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        },
    };
    if let Some(owner) = owner {
        let (tags, _) = settings::read_tags(ctx, owner).await?;
        keys.set_resource_tags(&tags);
    }
    Ok(())
}

/// Everything that is known of a request without asking anybody.
fn keys(ctx: &Context, ask: &Ask) -> ConditionKeys {
    let mut keys = ask.given.clone();
    let region = &ctx.config.region;
    let seconds = (ctx.now_ms() / 1000).to_string();
    keys.set("aws:CurrentTime", &seconds);
    keys.set("aws:EpochTime", seconds);
    keys.set("aws:RequestedRegion", &region.region);
    keys.set("aws:ResourceAccount", &region.account);
    keys.set("aws:SecureTransport", ask.caller.secure_transport.to_string());
    if let Some(principal) = &ask.caller.principal {
        keys.set("aws:PrincipalArn", principal);
        if let Some(account) = principal.split(':').nth(4) {
            keys.set("aws:PrincipalAccount", account);
        }
        if let Some((_, user)) = principal.split_once(":user/") {
            keys.set("aws:username", user.rsplit('/').next().unwrap_or(user));
        }
    }
    keys
}
