//! The members that ListVectorBuckets and ListIndexes share: `maxResults`, `prefix`, `nextToken`.

use model::ApiError;
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
    /// The prefix the list was asked with: a token belongs to its own request.
    prefix: Option<String>,
}

/// A page request, constraints already noted.
#[derive(Debug)]
pub(crate) struct ListMembers {
    limit: usize,
    prefix: Option<String>,
    token: Option<String>,
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

    /// The page to ask the catalog for: one more than the limit, to know whether another page follows.
    pub(crate) fn page(&self) -> Result<NamePage, ApiError> {
        let after = match &self.token {
            None => None,
            Some(token) => {
                let cursor: NameCursor = wire::token::decode(self.kind, token)?;
                if cursor.prefix != self.prefix {
                    return Err(ApiError::invalid_token());
                }
                Some(cursor.after)
            }
        };
        Ok(NamePage {
            prefix: self.prefix.clone(),
            after,
            limit: self.limit.saturating_add(1),
        })
    }

    /// Cuts the page to its limit; the token names the last entry that stays.
    pub(crate) fn cut(&self, entries: &mut Vec<NameEntry>) -> Result<Option<String>, ApiError> {
        if entries.len() <= self.limit {
            return Ok(None);
        }
        entries.truncate(self.limit);
        let Some(last) = entries.last() else {
            return Ok(None);
        };
        let after = last.name.clone();
        let cursor = NameCursor {
            after,
            prefix: self.prefix.clone(),
        };
        wire::token::encode(self.kind, &cursor).map(Some)
    }
}
