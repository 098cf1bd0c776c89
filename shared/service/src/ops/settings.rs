//! Members that several operations share: encryption, tags, and how they are stored and answered.

use std::collections::BTreeMap;

use model::tags::{self, Tags};
use model::{ApiError, Encryption, OwnerUuid};
use serde_json::{Value, json};
use storage::{Attachment, Revision, WriteAttachment};
use wire::{Constraints, Members};

use crate::access::Ask;
use crate::{Context, errors};

/// The longest KMS key ARN (the service model).
const KMS_KEY_ARN_LENGTH: std::ops::RangeInclusive<usize> = 1..=2048;
const KMS_KEY_ARN_PATTERN: &str = r"^(arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:[0-9]{12}:key/.+)$";
/// Tags that are read of one request: one more than a resource may have, so that too many are noticed.
const MAX_TAGS: usize = model::limits::TAGS_PER_RESOURCE;
/// Attempts at a read-modify-write of one attachment before the client is told of the conflict.
pub(crate) const ATTEMPTS: usize = 16;

/// `encryptionConfiguration` as sent: judged by [`EncryptionMembers::resolve`] after all constraints.
#[derive(Debug)]
pub(crate) struct EncryptionMembers {
    given: bool,
    sse_type: Option<String>,
    key_arn: Option<String>,
}

impl EncryptionMembers {
    /// Reads the member.
    pub(crate) fn read(members: &Members<'_>, constraints: &mut Constraints) -> Self {
        let Some(inner) = constraints.object(members, "encryptionConfiguration", false) else {
            return Self {
                given: false,
                sse_type: None,
                key_arn: None,
            };
        };
        Self {
            given: true,
            sse_type: constraints.enumeration(&inner, "sseType", &Encryption::SSE_TYPES, false),
            key_arn: key_arn(&inner, constraints),
        }
    }

    /// What access policies may ask of it.
    pub(crate) fn describe(&self, ask: Ask) -> Ask {
        ask.with_encryption(self.sse_type.as_deref(), self.key_arn.as_deref())
    }

    /// The encryption that was asked for, or `None` when nothing was said.
    pub(crate) fn resolve(self) -> Result<Option<Encryption>, ApiError> {
        if !self.given {
            return Ok(None);
        }
        Encryption::from_members(self.sse_type.as_deref(), self.key_arn.as_deref()).map(Some)
    }
}

/// `kmsKeyArn`: the ARN of a key; aliases are refused, as AWS refuses them.
fn key_arn(inner: &Members<'_>, constraints: &mut Constraints) -> Option<String> {
    let text = constraints.string(inner, "kmsKeyArn", KMS_KEY_ARN_LENGTH, false)?;
    if !is_key_arn(&text) {
        constraints.pattern(&inner.path("kmsKeyArn"), KMS_KEY_ARN_PATTERN);
    }
    Some(text)
}

fn is_key_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        return false;
    };
    let key = resource.strip_prefix("key/").unwrap_or_default();
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    *arn == "arn" && partition.starts_with("aws") && *service == "kms" && !region.is_empty() && is_account && is_key
}

/// How an encryption configuration is answered.
pub(crate) fn encryption_json(encryption: &Encryption) -> Value {
    match encryption.key_arn() {
        None => json!({"sseType": encryption.sse_type()}),
        Some(key_arn) => json!({"sseType": encryption.sse_type(), "kmsKeyArn": key_arn}),
    }
}

/// Epoch seconds as a JSON number: whole when the moment is whole, as AWS prints them.
pub(crate) fn epoch_seconds(ms: u64) -> Value {
    if ms.is_multiple_of(1000) {
        return json!(ms / 1000);
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
    let seconds = ms as f64 / 1000.0;
    json!(seconds)
}

/// The `tags` member; empty when absent. Judge it with [`tags::check_tags`] after all constraints.
pub(crate) fn tags(members: &Members<'_>, constraints: &mut Constraints, required: bool) -> Tags {
    let map = constraints.string_map(members, "tags", MAX_TAGS, required);
    map.unwrap_or_default().into_iter().collect()
}

/// Adds, overwrites or removes tags of one resource. A lost race against another change is tried again.
pub(crate) async fn change_tags(
    ctx: &Context,
    owner: OwnerUuid,
    add: &Tags,
    remove: &[String],
) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let (present, revision) = read_tags(ctx, owner).await?;
        let mut changed = tags::merge(&present, add)?;
        for key in remove {
            changed.remove(key);
        }
        if changed == present {
            return Ok(());
        }
        let text = (!changed.is_empty()).then(|| json!(changed).to_string());
        if write_attachment(ctx, owner, Attachment::Tags, text, revision).await? {
            return Ok(());
        }
    }
    Err(ApiError::concurrent_change())
}

/// The tags of one resource and the revision they were read at.
pub(crate) async fn read_tags(ctx: &Context, owner: OwnerUuid) -> Result<(Tags, Option<Revision>), ApiError> {
    let Some((text, revision)) = read_attachment(ctx, owner, Attachment::Tags).await? else {
        return Ok((BTreeMap::new(), None));
    };
    let tags = serde_json::from_str(&text).map_err(|error| {
        tracing::error!(%error, "stored tags are unreadable");
        ApiError::internal()
    })?;
    Ok((tags, Some(revision)))
}

/// The attachment and its revision.
pub(crate) async fn read_attachment(
    ctx: &Context,
    owner: OwnerUuid,
    attachment: Attachment,
) -> Result<Option<(String, Revision)>, ApiError> {
    let read = ctx.ports.catalog.read_attachment(owner, attachment).await;
    read.map_err(|error| errors::store(&error))
}

/// Whether the attachment was written (`false`: somebody else changed it meanwhile).
pub(crate) async fn write_attachment(
    ctx: &Context,
    owner: OwnerUuid,
    attachment: Attachment,
    text: Option<String>,
    expected: Option<Revision>,
) -> Result<bool, ApiError> {
    let written = ctx
        .ports
        .catalog
        .write_attachment(owner, attachment, text, expected)
        .await;
    let outcome = written.map_err(|error| errors::store(&error))?;
    Ok(outcome == WriteAttachment::Done)
}
