//! Access policies (API.md section 12): who may do what to which vector bucket or index.
//!
//! Two kinds: a vector bucket's policy says for whom each statement holds; an access key's own policy holds for that
//! key. Whatever could not be judged later is refused when a policy is read, so that no statement is ever skipped: a
//! misspelt member, an action that no operation has, a condition on something that is not known of a request.
//!
//! | module | what it holds |
//! |---|---|
//! | `document` | the tree, and JSON text -> tree |
//! | `principal` | who a statement holds for |
//! | `pattern` | `*` and `?`, ARNs with them |
//! | `condition` | operators and keys of conditions |
//! | `evaluate` | what a policy says of one request |

mod condition;
mod document;
mod evaluate;
mod pattern;
mod principal;
#[cfg(test)]
mod tests;

pub use condition::ConditionKeys;
pub use document::{Effect, Policy, PolicyFault};
pub use evaluate::PolicyRequest;
