//! Who a statement holds for.

use serde_json::value::RawValue;

use super::document::{PolicyFault, texts};
use crate::json::{self, Kind, Members};

/// The member of a `Principal` that names our callers; the others name AWS services and identity providers, which
/// never call.
const AWS: &str = "AWS";
const OTHER_KINDS: [&str; 3] = ["Service", "Federated", "CanonicalUser"];

/// The principals of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principals {
    /// An access key's own policy holds for that key.
    Holder,
    /// `Principal`
    Only(Vec<PrincipalPattern>),
    /// `NotPrincipal`
    AllBut(Vec<PrincipalPattern>),
}

/// One principal as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PrincipalPattern {
    /// `*`
    Anyone,
    /// An account, as twelve digits or as `arn:aws:iam::<account>:root`: everybody in it.
    Account(String),
    /// One user, role or session.
    Arn(String),
}

impl Principals {
    /// Whether the statement holds for the caller with this ARN.
    pub(super) fn include(&self, caller: &str) -> bool {
        match self {
            Self::Holder => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(caller)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| pattern.matches(caller)),
        }
    }

    /// `"*"` or `{"AWS": ...}`. Of the other kinds of principals only the form is checked.
    pub(super) fn parse_list(raw: &RawValue) -> Result<Vec<PrincipalPattern>, PolicyFault> {
        if json::kind(raw) == Kind::String {
            return match json::string(raw).as_deref() {
                Some("*") => Ok(vec![PrincipalPattern::Anyone]),
                _ => Err(PolicyFault::new(
                    "a principal is \"*\" or a JSON object such as {\"AWS\": ...}",
                )),
            };
        }
        let members = Members::parse(raw.get())
            .map_err(|_| PolicyFault::new("a principal is \"*\" or a JSON object such as {\"AWS\": ...}"))?;
        if members.0.is_empty() {
            return Err(PolicyFault::new("a principal names nobody"));
        }
        let mut patterns = Vec::new();
        for (at, (kind, raw)) in members.0.iter().enumerate() {
            if members.0.iter().take(at).any(|(earlier, _)| earlier == kind) {
                return Err(PolicyFault::new(format!("{kind} appears twice")));
            }
            let names = texts(raw, kind)?;
            if kind == AWS {
                for name in names {
                    patterns.push(PrincipalPattern::parse(&name)?);
                }
            } else if !OTHER_KINDS.contains(&kind.as_str()) {
                return Err(PolicyFault::new(format!("{kind} is not a kind of principal")));
            }
        }
        Ok(patterns)
    }
}

impl PrincipalPattern {
    fn parse(text: &str) -> Result<Self, PolicyFault> {
        if text == "*" {
            return Ok(Self::Anyone);
        }
        if is_account(text) {
            return Ok(Self::Account(text.to_owned()));
        }
        let refused = || {
            PolicyFault::new(format!(
                "{text} is not a principal: an IAM ARN, an account or * is expected"
            ))
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts.as_slice() else {
            return Err(refused());
        };
        let is_iam = *arn == "arn" && partition.starts_with("aws") && matches!(*service, "iam" | "sts");
        if !is_iam || !region.is_empty() || !is_account(account) || resource.is_empty() || text.contains(['*', '?']) {
            return Err(refused());
        }
        if *resource == "root" {
            return Ok(Self::Account((*account).to_owned()));
        }
        Ok(Self::Arn(text.to_owned()))
    }

    fn matches(&self, caller: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Account(account) => account_of(caller) == Some(account),
            Self::Arn(arn) => arn == caller || is_session_of(caller, arn),
        }
    }
}

/// The account in a principal's ARN.
pub(super) fn account_of(principal: &str) -> Option<&str> {
    principal.split(':').nth(4).filter(|account| is_account(account))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the caller is a session of this role: `assumed-role/<name>/<session>` of `role/<path>/<name>`.
fn is_session_of(caller: &str, role: &str) -> bool {
    let session = caller.split_once(":assumed-role/").map(|(_, session)| session);
    let role_path = role.split_once(":role/").map(|(_, path)| path);
    let (Some(session), Some(path)) = (session, role_path) else {
        return false;
    };
    let name = path.rsplit('/').next();
    account_of(caller) == account_of(role) && session.split('/').next() == name
}
