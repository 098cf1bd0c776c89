//! What a request wants to do, and on what.

use model::policy::ConditionKeys;
use model::tags::Tags;
use model::{BucketName, Operation, ResourceArn};
use storage::IndexPath;
use wire::Caller;

use crate::{Context, Input};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The whole account.
    Account,
    /// A vector bucket.
    Bucket(BucketName),
    /// An index, existing or to be created.
    Index(IndexPath),
}

/// A request as policies see it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(super) caller: Caller,
    pub(super) operation: Operation,
    /// A second permission that the request needs (API.md section 12).
    pub(super) also: Option<Operation>,
    pub(super) target: Target,
    /// The target's ARN; `*` for the account.
    pub(super) resource: String,
    /// What the request itself says.
    pub(super) given: ConditionKeys,
}

impl Ask {
    /// Something that concerns the account.
    pub(crate) fn account(input: &Input, operation: Operation) -> Self {
        Self::new(input, operation, Target::Account, "*".to_owned())
    }

    /// Something with a vector bucket.
    pub(crate) fn bucket(ctx: &Context, input: &Input, operation: Operation, name: &BucketName) -> Self {
        let arn = ResourceArn::bucket(&ctx.config.region, name);
        Self::new(input, operation, Target::Bucket(name.clone()), arn.to_string())
    }

    /// Something with an index.
    pub(crate) fn index(ctx: &Context, input: &Input, operation: Operation, path: &IndexPath) -> Self {
        let arn = ResourceArn::index(&ctx.config.region, &path.bucket, &path.index);
        Self::new(input, operation, Target::Index(path.clone()), arn.to_string())
    }

    fn new(input: &Input, operation: Operation, target: Target, resource: String) -> Self {
        Self {
            caller: input.caller.clone(),
            operation,
            also: None,
            target,
            resource,
            given: ConditionKeys::default(),
        }
    }

    /// Needs the permission of another operation too, if `needed`.
    #[must_use]
    pub(crate) fn also_if(mut self, needed: bool, operation: Operation) -> Self {
        self.also = needed.then_some(operation);
        self
    }

    /// Gives these tags to the resource.
    #[must_use]
    pub(crate) fn with_tags(mut self, tags: &Tags) -> Self {
        self.given.set_request_tags(tags);
        self
    }

    /// Is about tags with these keys.
    #[must_use]
    pub(crate) fn with_tag_keys(mut self, keys: &[String]) -> Self {
        self.given.set_tag_keys(keys.to_vec());
        self
    }

    /// Says how the resource shall be encrypted.
    #[must_use]
    pub(crate) fn with_encryption(mut self, sse_type: Option<&str>, key_arn: Option<&str>) -> Self {
        if let Some(sse_type) = sse_type {
            self.given.set("s3vectors:sseType", sse_type);
        }
        if let Some(key_arn) = key_arn {
            self.given.set("s3vectors:kmsKeyArn", key_arn);
        }
        self
    }

    /// Whether there is anything to judge: without keys nobody is known.
    pub(crate) fn is_judged(&self) -> bool {
        self.caller.principal.is_some() || !self.caller.owner
    }
}
