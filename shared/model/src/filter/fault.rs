//! What is wrong with a filter, and where.

use std::fmt::{self, Display};

use super::Strictness;
use crate::error::messages;

/// A filter that breaks the grammar. Displays as the service's message, `Invalid filter`; for a lenient reader with the
/// operator and the JSON pointer of the place, `Invalid filter: $gt at /price/$gt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFault {
    strictness: Strictness,
    operator: String,
    path: String,
    reason: &'static str,
}

impl FilterFault {
    pub(super) fn new(strictness: Strictness, operator: &str, path: &Path<'_>, reason: &'static str) -> Self {
        // Both come from the client: a message needs no more than this of them.
        const LONGEST: usize = 200;
        let operator = operator.chars().take(LONGEST).collect();
        let path = path.to_string().chars().take(LONGEST).collect();
        Self {
            strictness,
            operator,
            path,
            reason,
        }
    }

    /// What the grammar wants there, for the `fieldList`; in strict mode no more than the message.
    pub fn detail(&self) -> String {
        match self.strictness {
            Strictness::Strict => self.to_string(),
            Strictness::Lenient => format!("{self}: {}", self.reason),
        }
    }

    /// The operator, or what else stands at the place.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The JSON pointer of the place within the filter; `/` for the filter as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the grammar wants there.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(messages::INVALID_FILTER)?;
        match self.strictness {
            Strictness::Strict => Ok(()),
            Strictness::Lenient => write!(f, ": {} at {}", self.operator, self.path),
        }
    }
}

impl std::error::Error for FilterFault {}

/// A place within a filter, as a chain up to the root, so that it costs nothing while all is well.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member { parent: &'a Path<'a>, name: &'a str },
    Element { parent: &'a Path<'a>, position: usize },
}

impl Path<'_> {
    fn write_pointer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member { parent, name } => {
                parent.write_pointer(f)?;
                write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Element { parent, position } => {
                parent.write_pointer(f)?;
                write!(f, "/{position}")
            }
        }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            _ => self.write_pointer(f),
        }
    }
}
