//! PutVectorBucketPolicy: a resource policy is judged for its form and stored as sent.

use std::sync::Arc;

use model::ApiError;
use serde_json::Value;
use storage::Attachment;
use wire::{Constraints, Members};

use super::target::BucketMembers;
use super::{EMPTY, get_vector_bucket, settings};
use crate::{Context, Input};

/// IAM's own bound on a resource policy's text.
const MAX_POLICY_BYTES: usize = 20_480;

pub(crate) async fn run(ctx: &Arc<Context>, input: &Input) -> Result<Vec<u8>, ApiError> {
    let members = Members::parse(&input.body)?;
    let mut constraints = Constraints::new();
    let target = BucketMembers::read(&members, &mut constraints);
    let policy = constraints.string(&members, "policy", 1..=MAX_POLICY_BYTES, true);
    constraints.finish()?;
    let name = target.resolve(ctx)?;
    let bucket = get_vector_bucket::read(ctx, &name).await?;
    let policy = policy.unwrap_or_default();
    check(&policy).map_err(|fault| ApiError::validation_at("policy", format!("Invalid policy: {fault}")))?;
    for _ in 0..settings::ATTEMPTS {
        let current = settings::read_attachment(ctx, bucket.uuid.into(), Attachment::Policy).await?;
        let expected = current.map(|(_, revision)| revision);
        let owner = bucket.uuid.into();
        let text = Some(policy.clone());
        if settings::write_attachment(ctx, owner, Attachment::Policy, text, expected).await? {
            return Ok(EMPTY.to_vec());
        }
    }
    Err(ApiError::concurrent_change())
}

/// The form of a resource policy: a document of statements, each with an effect, and one of each pair of
/// principal, action and resource members.
fn check(policy: &str) -> Result<(), String> {
    let document: Value = serde_json::from_str(policy).map_err(|_| "it is not valid JSON".to_owned())?;
    let document = document.as_object().ok_or("it must be a JSON object")?;
    if let Some(version) = document.get("Version")
        && version != "2012-10-17"
        && version != "2008-10-17"
    {
        return Err("Version must be 2012-10-17".to_owned());
    }
    let statements: Vec<&Value> = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err("it must have a Statement".to_owned()),
    };
    if statements.is_empty() {
        return Err("it must have a Statement".to_owned());
    }
    for statement in statements {
        check_statement(statement)?;
    }
    Ok(())
}

fn check_statement(statement: &Value) -> Result<(), String> {
    let statement = statement.as_object().ok_or("each Statement must be a JSON object")?;
    let effect = statement.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Err("Effect must be Allow or Deny".to_owned());
    }
    for [positive, negative] in [
        ["Principal", "NotPrincipal"],
        ["Action", "NotAction"],
        ["Resource", "NotResource"],
    ] {
        if statement.contains_key(positive) == statement.contains_key(negative) {
            return Err(format!("each Statement must have {positive} or {negative}, not both"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::check;

    #[rstest]
    #[case::not_json("{", false)]
    #[case::array("[]", false)]
    #[case::no_statement(r#"{"Version":"2012-10-17"}"#, false)]
    #[case::no_statements(r#"{"Statement":[]}"#, false)]
    #[case::bad_version(
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#,
        false
    )]
    #[case::bad_effect(
        r#"{"Statement":[{"Effect":"allow","Principal":"*","Action":"*","Resource":"*"}]}"#,
        false
    )]
    #[case::no_principal(r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, false)]
    #[case::both_actions(
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotAction":"*","Resource":"*"}]}"#,
        false
    )]
    #[case::one_statement(
        r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#,
        true
    )]
    #[case::usual(r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["s3vectors:*"],"NotResource":"*"}]}"#, true)]
    fn policy_form(#[case] policy: &str, #[case] good: bool) {
        assert_eq!(check(policy).is_ok(), good, "{policy}");
    }
}
