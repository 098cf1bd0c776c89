//! The tree of a policy, and JSON text -> tree.

use serde_json::value::RawValue;

use super::condition::Condition;
use super::pattern::{self, ArnPattern};
use super::principal::Principals;
use crate::json::{self, Kind, Members};
use crate::operation::Operation;

const SERVICE: &str = "s3vectors:";

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Permits.
    Allow,
    /// Forbids, whatever else permits.
    Deny,
}

/// Why a text is not a policy that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFault(String);

impl PolicyFault {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
}

/// One statement: it speaks when all of its parts fit a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    pub(super) actions: Choice<String>,
    pub(super) resources: Choice<ArnPattern>,
    pub(super) conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice<T> {
    Only(Vec<T>),
    AllBut(Vec<T>),
}

impl<T> Choice<T> {
    pub(super) fn includes(&self, fits: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Only(patterns) => patterns.iter().any(fits),
            Self::AllBut(patterns) => !patterns.iter().any(fits),
        }
    }
}

/// Whom the statements of a policy hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A vector bucket: each statement says so.
    Resource,
    /// An access key: for that key.
    Key,
}

impl Policy {
    /// Reads a vector bucket's policy.
    ///
    /// # Errors
    /// Anything that could not be judged later.
    pub fn parse_resource(text: &str) -> Result<Self, PolicyFault> {
        Self::parse(text, Owner::Resource)
    }

    /// Reads an access key's own policy.
    ///
    /// # Errors
    /// Anything that could not be judged later.
    pub fn parse_identity(text: &str) -> Result<Self, PolicyFault> {
        Self::parse(text, Owner::Key)
    }

    /// Whether some condition asks for tags of the resource.
    pub fn asks_resource_tags(&self) -> bool {
        self.conditions().any(Condition::asks_resource_tags)
    }

    /// Whether some condition asks for tags of the vector bucket.
    pub fn asks_bucket_tags(&self) -> bool {
        self.conditions().any(Condition::asks_bucket_tags)
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.statements.iter().flat_map(|statement| &statement.conditions)
    }

    fn parse(text: &str, owner: Owner) -> Result<Self, PolicyFault> {
        if serde_json::from_str::<&RawValue>(text).is_err() {
            return Err(PolicyFault::new("it is not valid JSON"));
        }
        let document = object(text, "it", &["Version", "Id", "Statement"])?;
        if let Some(version) = member(&document, "Version")
            && !matches!(json::string(version).as_deref(), Some("2012-10-17" | "2008-10-17"))
        {
            return Err(PolicyFault::new("Version must be 2012-10-17"));
        }
        let statements = match member(&document, "Statement") {
            Some(raw) if json::kind(raw) == Kind::Array => json::elements(raw).unwrap_or_default(),
            Some(raw) if json::kind(raw) == Kind::Object => vec![raw],
            _ => Vec::new(),
        };
        if statements.is_empty() {
            return Err(PolicyFault::new("it must have a Statement"));
        }
        let statements = statements.into_iter().map(|raw| Statement::parse(raw, owner));
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
        })
    }
}

impl Statement {
    fn parse(raw: &RawValue, owner: Owner) -> Result<Self, PolicyFault> {
        const MEMBERS: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let members = object(raw.get(), "each Statement", &MEMBERS)?;
        let effect = member(&members, "Effect").and_then(json::string);
        let effect = match effect.as_deref() {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(PolicyFault::new("Effect must be Allow or Deny")),
        };
        Ok(Self {
            effect,
            principals: principals(&members, owner)?,
            actions: choice(&members, "Action", "NotAction", action)?,
            resources: choice(&members, "Resource", "NotResource", |text| {
                refuse_variable(text)?;
                ArnPattern::parse(text)
            })?,
            conditions: member(&members, "Condition").map_or_else(|| Ok(Vec::new()), conditions)?,
        })
    }
}

fn principals(members: &Members<'_>, owner: Owner) -> Result<Principals, PolicyFault> {
    let only = member(members, "Principal");
    let all_but = member(members, "NotPrincipal");
    match (owner, only, all_but) {
        (Owner::Key, None, None) => Ok(Principals::Holder),
        (Owner::Key, ..) => Err(PolicyFault::new(
            "a Statement of a key's own policy has no Principal: it holds for that key",
        )),
        (Owner::Resource, Some(only), None) => Principals::parse_list(only).map(Principals::Only),
        (Owner::Resource, None, Some(all_but)) => Principals::parse_list(all_but).map(Principals::AllBut),
        (Owner::Resource, ..) => Err(one_of("Principal", "NotPrincipal")),
    }
}

fn choice<T>(
    members: &Members<'_>,
    positive: &str,
    negative: &str,
    read: impl Fn(&str) -> Result<T, PolicyFault>,
) -> Result<Choice<T>, PolicyFault> {
    let read_all = |raw: &RawValue, name: &str| {
        let texts = texts(raw, name)?;
        texts.iter().map(|text| read(text)).collect::<Result<Vec<T>, _>>()
    };
    match (member(members, positive), member(members, negative)) {
        (Some(raw), None) => Ok(Choice::Only(read_all(raw, positive)?)),
        (None, Some(raw)) => Ok(Choice::AllBut(read_all(raw, negative)?)),
        _ => Err(one_of(positive, negative)),
    }
}

fn one_of(positive: &str, negative: &str) -> PolicyFault {
    PolicyFault::new(format!("each Statement must have {positive} or {negative}, not both"))
}

/// A pattern of actions, in lower case. One that describes no action at all is a slip of the pen.
fn action(text: &str) -> Result<String, PolicyFault> {
    let pattern = text.to_ascii_lowercase();
    let describes = |operation: Operation| pattern::matches(&pattern, &operation.permission().to_ascii_lowercase());
    let is_ours = pattern == "*" || pattern.starts_with(SERVICE);
    if is_ours && Operation::ALL.into_iter().any(describes) {
        return Ok(pattern);
    }
    Err(PolicyFault::new(format!("{text} is not an action of {SERVICE}*")))
}

/// `{"<operator>": {"<key>": value or [values]}}`, all of which must be met.
fn conditions(raw: &RawValue) -> Result<Vec<Condition>, PolicyFault> {
    let mut conditions = Vec::new();
    for (operator, keys) in object(raw.get(), "Condition", &[])?.0 {
        for (key, values) in object(keys.get(), &operator, &[])?.0 {
            let values = texts(values, &key)?;
            for value in &values {
                refuse_variable(value)?;
            }
            conditions.push(Condition::parse(&operator, &key, &values)?);
        }
    }
    Ok(conditions)
}

fn refuse_variable(text: &str) -> Result<(), PolicyFault> {
    if text.contains("${") {
        return Err(PolicyFault::new(format!("policy variables are not supported: {text}")));
    }
    Ok(())
}

/// The members of an object: of these names (any, when there are none), each once.
fn object<'a>(text: &'a str, what: &str, names: &[&str]) -> Result<Members<'a>, PolicyFault> {
    let members = Members::parse(text).map_err(|_| PolicyFault::new(format!("{what} must be a JSON object")))?;
    for (at, (name, _)) in members.0.iter().enumerate() {
        if !names.is_empty() && !names.contains(&name.as_str()) {
            return Err(PolicyFault::new(format!(
                "{what} has a member {name}, which is not known"
            )));
        }
        if members.0.iter().take(at).any(|(earlier, _)| earlier == name) {
            return Err(PolicyFault::new(format!("{name} appears twice")));
        }
    }
    Ok(members)
}

fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.0.iter().find(|(found, _)| found == name).map(|(_, raw)| *raw)
}

/// A string or an array of strings, at least one; numbers and booleans of conditions count as their text.
pub(super) fn texts(raw: &RawValue, what: &str) -> Result<Vec<String>, PolicyFault> {
    let refused = || PolicyFault::new(format!("{what} must be a string or an array of strings"));
    let raws = match json::kind(raw) {
        Kind::Array => json::elements(raw).ok_or_else(refused)?,
        _ => vec![raw],
    };
    if raws.is_empty() {
        return Err(refused());
    }
    let text = |raw: &RawValue| match json::kind(raw) {
        Kind::String => json::string(raw).map(std::borrow::Cow::into_owned),
        Kind::Bool(_) | Kind::Number => Some(raw.get().to_owned()),
        _ => None,
    };
    raws.into_iter().map(|raw| text(raw).ok_or_else(refused)).collect()
}
