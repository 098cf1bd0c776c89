//! What a policy says of one request.

use super::condition::ConditionKeys;
use super::document::{Effect, Policy, Statement};
use super::pattern;

/// A request as policies see it.
#[derive(Debug, Clone, Copy)]
pub struct PolicyRequest<'a> {
    /// Who asks: an IAM ARN.
    pub principal: &'a str,
    /// What for: `s3vectors:PutVectors`.
    pub action: &'a str,
    /// On what: an ARN, or `*` for what has none.
    pub resource: &'a str,
    /// What else is known.
    pub keys: &'a ConditionKeys,
}

impl Policy {
    /// What the policy says; `None` when no statement speaks of the request. A Deny wins over every Allow.
    pub fn verdict(&self, request: &PolicyRequest<'_>) -> Option<Effect> {
        let mut verdict = None;
        for statement in self.statements.iter().filter(|statement| statement.speaks_of(request)) {
            match statement.effect {
                Effect::Deny => return Some(Effect::Deny),
                Effect::Allow => verdict = Some(Effect::Allow),
            }
        }
        verdict
    }
}

impl Statement {
    fn speaks_of(&self, request: &PolicyRequest<'_>) -> bool {
        let action = request.action.to_ascii_lowercase();
        self.principals.include(request.principal)
            && self.actions.includes(|pattern| pattern::matches(pattern, &action))
            && self.resources.includes(|pattern| pattern.matches(request.resource))
            && self.conditions.iter().all(|condition| condition.is_met(request.keys))
    }
}
