//! The members that ListVectorBuckets and ListIndexes share: `maxResults`, `prefix`, `nextToken`.

use model::{ApiError, BucketUuid};
use serde::{Deserialize, Serialize};
use storage::{NameEntry, NamePage};
use wire::{Constraints, Members};

/// Names per page, the largest and the default (API specification, sections 4 and 10).
const MAX_PAGE: i64 = 500;

/// Where the next page of names begins.
#[derive(Debug, Serialize, Deserialize)]
struct NameCursor {
    /// The last name of the page before.
    after: String,
    /// The prefix the list was asked with: a token belongs to its own request ...
    prefix: Option<String>,
    /// ... and to the bucket that was listed; none for a list of buckets.
    bucket: Option<BucketUuid>,
}

/// A page request, constraints already noted.
#[derive(Debug)]
pub(crate) struct ListMembers {
    limit: usize,
    prefix: Option<String>,
    token: Option<String>,
    kind: &'static str,
}

/// A page that the catalog was asked for.
#[derive(Debug)]
pub(crate) struct ListPage {
    /// What to ask for: one more than the limit, to know whether another page follows.
    pub names: NamePage,
    /// The bucket that the token before it named.
    bucket: Option<BucketUuid>,
    is_first: bool,
    kind: &'static str,
}

impl ListMembers {
    /// Reads the three members; `kind` is the operation, which its tokens carry.
    pub(crate) fn read(members: &Members<'_>, constraints: &mut Constraints, kind: &'static str) -> Self {
        let limit = constraints.integer(members, "maxResults", 1..=MAX_PAGE, false);
        let prefix = constraints.string(members, "prefix", 1..=63, false);
        let token = constraints.string(members, "nextToken", 1..=512, false);
        Self {
            limit: usize::try_from(limit.unwrap_or(MAX_PAGE)).unwrap_or(1),
            prefix,
            token,
            kind,
        }
    }

    /// The page to ask the catalog for.
    pub(crate) fn page(self) -> Result<ListPage, ApiError> {
        let cursor: Option<NameCursor> = match &self.token {
            None => None,
            Some(token) => Some(wire::token::decode(self.kind, token)?),
        };
        if cursor.as_ref().is_some_and(|cursor| cursor.prefix != self.prefix) {
            return Err(ApiError::invalid_token());
        }
        let is_first = cursor.is_none();
        let (after, bucket) = cursor.map_or((None, None), |cursor| (Some(cursor.after), cursor.bucket));
        Ok(ListPage {
            names: NamePage {
                prefix: self.prefix,
                after,
                limit: self.limit.saturating_add(1),
            },
            bucket,
            is_first,
            kind: self.kind,
        })
    }
}

impl ListPage {
    /// Cuts what the catalog found in `bucket` to the limit; the token names the last entry that stays.
    ///
    /// # Errors
    /// ValidationException: the token was given out for another bucket (or an earlier one of the same name).
    pub(crate) fn cut(
        self,
        bucket: Option<BucketUuid>,
        entries: &mut Vec<NameEntry>,
    ) -> Result<Option<String>, ApiError> {
        if !self.is_first && self.bucket != bucket {
            return Err(ApiError::invalid_token());
        }
        let limit = self.names.limit.saturating_sub(1);
        if entries.len() <= limit {
            return Ok(None);
        }
        entries.truncate(limit);
        let Some(last) = entries.last() else {
            return Ok(None);
        };
        let cursor = NameCursor {
            after: last.name.clone(),
            prefix: self.names.prefix,
            bucket,
        };
        wire::token::encode(self.kind, &cursor).map(Some)
    }
}
