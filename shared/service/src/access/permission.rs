//! Verdicts that are on their way while a request is worked on: the policy is read in parallel with the record, which
//! says only afterwards whether it was the right bucket's.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use model::{ApiError, BucketUuid, IndexUuid};
use storage::IndexPath;
use tokio::task::JoinHandle;

use super::ask::{Ask, Target};
use super::policies::{self, Grounds};
use crate::query::{self, Snapshot};
use crate::{Context, errors};

/// The index at `path` as of now, if the caller may ask. Work that turns out not to be allowed is dropped.
///
/// # Errors
/// AccessDenied, then NotFound (also when the bucket is missing).
pub(crate) async fn snapshot(
    ctx: &Context,
    ask: &Ask,
    path: &IndexPath,
    deadline_ms: u64,
) -> Result<Arc<Snapshot>, ApiError> {
    let reading = query::read(ctx, path, deadline_ms);
    if !ask.is_judged() {
        return reading.await;
    }
    let (grounds, reading) = (pin!(grounds(ctx, ask)), pin!(reading));
    let (grounds, snapshot) = match select(grounds, reading).await {
        Either::Left((grounds, reading)) => (grounds?, reading.await?),
        Either::Right((snapshot, grounds)) => (grounds.await?, snapshot?),
    };
    confirm(ctx, ask, grounds, snapshot.bucket, snapshot.uuid).await?;
    Ok(snapshot)
}

/// Judges a request on an index by what its bucket's name is remembered to mean; a refusal by a memory that is wrong is
/// judged again.
pub(super) async fn grounds(ctx: &Context, ask: &Ask) -> Result<Grounds, ApiError> {
    let Target::Index(path) = &ask.target else {
        return Err(errors::internal());
    };
    let read = async || {
        Ok::<_, ApiError>(
            policies::read_bucket(ctx, &path.bucket)
                .await?
                .map(|bucket| bucket.uuid),
        )
    };
    let Some(remembered) = ctx.access.bucket(&path.bucket) else {
        return policies::check(ctx, ask, read().await?).await;
    };
    match policies::check(ctx, ask, Some(remembered)).await {
        Err(refusal @ ApiError::AccessDenied { .. }) => match read().await? {
            Some(current) if current == remembered => Err(refusal),
            current => policies::check(ctx, ask, current).await,
        },
        verdict => verdict,
    }
}

/// Judges again where a verdict stands on another bucket or index than the record has shown.
async fn confirm(
    ctx: &Context,
    ask: &Ask,
    grounds: Grounds,
    bucket: BucketUuid,
    index: IndexUuid,
) -> Result<Grounds, ApiError> {
    let stands = grounds.bucket == Some(bucket) && grounds.index.is_none_or(|tagged| tagged == index);
    if stands {
        return Ok(grounds);
    }
    if let Target::Index(path) = &ask.target {
        ctx.access.learn(&path.bucket, bucket);
    }
    policies::check(ctx, ask, Some(bucket)).await
}

/// A write's permission: needed before it takes effect, not before its object is stored.
#[derive(Debug)]
pub(crate) enum Permission {
    /// Nobody is known, nothing is judged.
    Open,
    /// The verdict is on its way.
    Asked(Box<Ask>, JoinHandle<Result<Grounds, ApiError>>),
    /// Granted, for this bucket.
    Granted(Box<Ask>, Grounds),
    /// Refused, or given up before the verdict was known.
    Refused,
}

impl Permission {
    /// Asks for it. The verdict is awaited at once, unless it can be expected to be favourable: then the write goes on
    /// meanwhile. So callers without permission cannot make anything be stored.
    ///
    /// # Errors
    /// AccessDenied.
    pub(crate) async fn ask(ctx: &Arc<Context>, ask: Ask) -> Result<Self, ApiError> {
        if !ask.is_judged() {
            return Ok(Self::Open);
        }
        if policies::is_likely(ctx, &ask) {
            let (task_ctx, task_ask) = (Arc::clone(ctx), ask.clone());
            let verdict = tokio::spawn(async move { grounds(&task_ctx, &task_ask).await });
            return Ok(Self::Asked(Box::new(ask), verdict));
        }
        let grounds = grounds(ctx, &ask).await?;
        Ok(Self::Granted(Box::new(ask), grounds))
    }

    /// Waits for the verdict.
    ///
    /// # Errors
    /// AccessDenied.
    pub(crate) async fn arrive(&mut self) -> Result<(), ApiError> {
        *self = match std::mem::replace(self, Self::Refused) {
            Self::Asked(ask, verdict) => Self::Granted(ask, joined(verdict).await?),
            Self::Refused => return Err(errors::internal()),
            settled => settled,
        };
        Ok(())
    }

    /// Makes sure that the verdict, which has arrived, stands on this bucket and index.
    ///
    /// # Errors
    /// AccessDenied.
    pub(crate) async fn confirm(
        &mut self,
        ctx: &Context,
        bucket: BucketUuid,
        index: IndexUuid,
    ) -> Result<(), ApiError> {
        *self = match std::mem::replace(self, Self::Refused) {
            Self::Granted(ask, grounds) => {
                let grounds = confirm(ctx, &ask, grounds, bucket, index).await?;
                Self::Granted(ask, grounds)
            }
            Self::Open => Self::Open,
            Self::Asked(..) | Self::Refused => return Err(errors::internal()),
        };
        Ok(())
    }

    /// What the client is told when the write has failed for another reason: that it was not allowed comes first.
    pub(crate) async fn overrule(self, failure: ApiError) -> ApiError {
        match self {
            Self::Asked(_, verdict) => joined(verdict).await.err().unwrap_or(failure),
            Self::Open | Self::Granted(..) | Self::Refused => failure,
        }
    }
}

async fn joined(verdict: JoinHandle<Result<Grounds, ApiError>>) -> Result<Grounds, ApiError> {
    verdict.await.unwrap_or_else(|_| Err(errors::internal()))
}
