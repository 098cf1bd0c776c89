//! What policies say, by table; and against an evaluator that works on the JSON itself.

use rstest::rstest;

use super::{ConditionKeys, Effect, Policy, PolicyRequest};

mod naive;
mod random;

const ALICE: &str = "arn:aws:iam::123456789012:user/alice";
const INDEX: &str = "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all";

/// What a policy with this one statement says; members left out are those of "everything is allowed to everybody".
fn says(statement: &str, principal: &str, action: &str, resource: &str, keys: &ConditionKeys) -> Option<Effect> {
    let mut full = serde_json::json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
    let given: serde_json::Value = serde_json::from_str(statement).unwrap();
    let object = full.as_object_mut().unwrap();
    for (name, value) in given.as_object().unwrap() {
        for pair in ["Principal", "Action", "Resource"] {
            if name.ends_with(pair) {
                object.remove(pair);
            }
        }
        object.insert(name.clone(), value.clone());
    }
    let policy = Policy::parse_resource(&serde_json::json!({"Statement": full}).to_string()).unwrap();
    policy.verdict(&PolicyRequest {
        principal,
        action,
        resource,
        keys,
    })
}

#[rstest]
#[case::anyone(r#"{"Principal": "*"}"#, ALICE, true)]
#[case::anyone_of_aws(r#"{"Principal": {"AWS": "*"}}"#, ALICE, true)]
#[case::user(r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:user/alice"}}"#, ALICE, true)]
#[case::other_user(r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:user/bob"}}"#, ALICE, false)]
#[case::no_prefixes(r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:user/ali"}}"#, ALICE, false)]
#[case::among(
    r#"{"Principal": {"AWS": ["210987654321", "arn:aws:iam::123456789012:user/alice"]}}"#,
    ALICE,
    true
)]
#[case::account(r#"{"Principal": {"AWS": "123456789012"}}"#, ALICE, true)]
#[case::account_root(r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}"#, ALICE, true)]
#[case::other_account(r#"{"Principal": {"AWS": "210987654321"}}"#, ALICE, false)]
#[case::service_only(r#"{"Principal": {"Service": "lambda.amazonaws.com"}}"#, ALICE, false)]
#[case::not_bob(r#"{"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/bob"}}"#, ALICE, true)]
#[case::not_alice(r#"{"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/alice"}}"#, ALICE, false)]
#[case::session_of_role(
    r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:role/path/reader"}}"#,
    "arn:aws:sts::123456789012:assumed-role/reader/session-1",
    true
)]
#[case::that_session(
    r#"{"Principal": {"AWS": "arn:aws:sts::123456789012:assumed-role/reader/session-1"}}"#,
    "arn:aws:sts::123456789012:assumed-role/reader/session-1",
    true
)]
#[case::session_of_other_role(
    r#"{"Principal": {"AWS": "arn:aws:iam::123456789012:role/writer"}}"#,
    "arn:aws:sts::123456789012:assumed-role/reader/writer",
    false
)]
#[case::role_elsewhere(
    r#"{"Principal": {"AWS": "arn:aws:iam::210987654321:role/reader"}}"#,
    "arn:aws:sts::123456789012:assumed-role/reader/session-1",
    false
)]
fn principals(#[case] statement: &str, #[case] principal: &str, #[case] speaks: bool) {
    let found = says(
        statement,
        principal,
        "s3vectors:GetIndex",
        INDEX,
        &ConditionKeys::default(),
    );
    assert_eq!(found, speaks.then_some(Effect::Allow));
}

#[rstest]
#[case(r#"{"Action": "*"}"#, true)]
#[case(r#"{"Action": "s3vectors:*"}"#, true)]
#[case(r#"{"Action": "s3vectors:GetIndex"}"#, true)]
#[case(r#"{"Action": "S3Vectors:getindex"}"#, true)]
#[case(r#"{"Action": ["s3vectors:PutVectors", "s3vectors:Get*"]}"#, true)]
#[case(r#"{"Action": "s3vectors:GetInde?"}"#, true)]
#[case(r#"{"Action": "s3vectors:Put*"}"#, false)]
#[case(r#"{"NotAction": "s3vectors:Put*"}"#, true)]
#[case(r#"{"NotAction": ["s3vectors:GetIndex"]}"#, false)]
#[case(r#"{"Resource": "*"}"#, true)]
#[case(
    r#"{"Resource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all"}"#,
    true
)]
#[case(
    r#"{"Resource": "arn:aws:s3vectors:us-east-1:123456789012:vector-bucket/books/index/all"}"#,
    true
)]
#[case(r#"{"Resource": "arn:aws:s3vectors:*:*:bucket/books/*"}"#, true)]
#[case(
    r#"{"Resource": "arn:aws:s3vectors:us-east-?:123456789012:bucket/*/index/a?l"}"#,
    true
)]
#[case(r#"{"Resource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/books"}"#, false)]
#[case(r#"{"Resource": "arn:aws:s3vectors:*:*:*:bucket/books/index/all"}"#, false)]
#[case(
    r#"{"Resource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/Books/index/all"}"#,
    false
)]
#[case(
    r#"{"NotResource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/*"}"#,
    false
)]
#[case(
    r#"{"NotResource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/other/*"}"#,
    true
)]
fn actions_and_resources(#[case] statement: &str, #[case] speaks: bool) {
    let found = says(statement, ALICE, "s3vectors:GetIndex", INDEX, &ConditionKeys::default());
    assert_eq!(found, speaks.then_some(Effect::Allow), "{statement}");
}

/// A request with two tags, on a resource with one, at noon of a day in 2026.
fn known() -> ConditionKeys {
    let tags = |pairs: &[(&str, &str)]| -> std::collections::BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let mut keys = ConditionKeys::default();
    keys.set_request_tags(&tags(&[("Team", "search"), ("cost", "12")]));
    keys.set_resource_tags(&tags(&[("team", "Search")]));
    keys.set_bucket_tags(&tags(&[("stage", "prod")]));
    keys.set("aws:PrincipalArn", ALICE);
    keys.set("aws:SecureTransport", "true");
    keys.set("aws:CurrentTime", "1795348800");
    keys
}

#[rstest]
#[case::equal(r#""StringEquals": {"aws:ResourceTag/team": "Search"}"#, true)]
#[case::has_case(r#""StringEquals": {"aws:ResourceTag/team": "search"}"#, false)]
#[case::any_case(r#""StringEqualsIgnoreCase": {"aws:ResourceTag/team": "SEARCH"}"#, true)]
#[case::key_without_case(r#""StringEquals": {"AWS:resourcetag/TEAM": "Search"}"#, true)]
#[case::one_of(r#""StringEquals": {"aws:ResourceTag/team": ["x", "Search"]}"#, true)]
#[case::none_of(r#""StringNotEquals": {"aws:ResourceTag/team": ["x", "Search"]}"#, false)]
#[case::not_any_case(r#""StringNotEqualsIgnoreCase": {"aws:ResourceTag/team": "x"}"#, true)]
#[case::like(r#""StringLike": {"s3vectors:VectorBucketTag/stage": "p*d"}"#, true)]
#[case::not_like(r#""StringNotLike": {"s3vectors:VectorBucketTag/stage": "p*d"}"#, false)]
#[case::equal_is_no_pattern(r#""StringEquals": {"s3vectors:VectorBucketTag/stage": "p*d"}"#, false)]
#[case::both_keys(
    r#""StringEquals": {"aws:ResourceTag/team": "Search", "aws:RequestTag/team": "x"}"#,
    false
)]
#[case::both_operators(
    r#""StringEquals": {"aws:ResourceTag/team": "Search"}, "Bool": {"aws:SecureTransport": "false"}"#,
    false
)]
#[case::missing(r#""StringEquals": {"aws:ResourceTag/owner": "x"}"#, false)]
#[case::missing_negated(r#""StringNotEquals": {"aws:ResourceTag/owner": "x"}"#, true)]
#[case::missing_if_exists(r#""StringEqualsIfExists": {"aws:ResourceTag/owner": "x"}"#, true)]
#[case::there_if_exists(r#""StringEqualsIfExists": {"aws:ResourceTag/team": "x"}"#, false)]
#[case::null_missing(r#""Null": {"aws:ResourceTag/owner": "true"}"#, true)]
#[case::null_there(r#""Null": {"aws:ResourceTag/team": true}"#, false)]
#[case::not_null(r#""Null": {"aws:ResourceTag/team": "false"}"#, true)]
#[case::number(r#""NumericLessThan": {"aws:RequestTag/cost": 13}"#, true)]
#[case::number_equal(r#""NumericEquals": {"aws:RequestTag/cost": "12.0"}"#, true)]
#[case::number_not_equal(r#""NumericNotEquals": {"aws:RequestTag/cost": "12"}"#, false)]
#[case::number_greater(r#""NumericGreaterThanEquals": {"aws:RequestTag/cost": 12}"#, true)]
#[case::no_number(r#""NumericLessThan": {"aws:RequestTag/team": 13}"#, false)]
#[case::before(r#""DateLessThan": {"aws:CurrentTime": "2026-11-22T12:00:01Z"}"#, true)]
#[case::at(r#""DateEquals": {"aws:CurrentTime": "2026-11-22T12:00:00Z"}"#, true)]
#[case::after(r#""DateGreaterThan": {"aws:CurrentTime": "2026-11-22T12:00:00Z"}"#, false)]
#[case::boolean(r#""Bool": {"aws:SecureTransport": true}"#, true)]
#[case::boolean_false(r#""Bool": {"aws:SecureTransport": "False"}"#, false)]
#[case::arn(r#""ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}"#, true)]
#[case::arn_across(r#""ArnLike": {"aws:PrincipalArn": "arn:aws:*:user/*:x:y"}"#, false)]
#[case::arn_not(
    r#""ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/bob"}"#,
    true
)]
#[case::all_of(
    r#""ForAllValues:StringEqualsIgnoreCase": {"aws:TagKeys": ["team", "cost", "x"]}"#,
    true
)]
#[case::not_all_of(r#""ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}"#, false)]
#[case::any_of(r#""ForAnyValue:StringEquals": {"aws:TagKeys": ["cost", "x"]}"#, true)]
#[case::any_is_other(r#""ForAnyValue:StringNotEquals": {"aws:TagKeys": ["cost"]}"#, true)]
#[case::all_are_other(r#""ForAllValues:StringNotEquals": {"aws:TagKeys": ["cost"]}"#, false)]
#[case::null_of_many(r#""Null": {"aws:TagKeys": "false"}"#, true)]
fn conditions(#[case] condition: &str, #[case] met: bool) {
    let statement = format!(r#"{{"Condition": {{{condition}}}}}"#);
    let found = says(&statement, ALICE, "s3vectors:TagResource", INDEX, &known());
    assert_eq!(found, met.then_some(Effect::Allow), "{condition}");
}

#[rstest]
#[case::all_of_none(r#""ForAllValues:StringEquals": {"aws:TagKeys": "team"}"#, true)]
#[case::any_of_none(r#""ForAnyValue:StringEquals": {"aws:TagKeys": "team"}"#, false)]
#[case::any_other_of_none(r#""ForAnyValue:StringNotEquals": {"aws:TagKeys": "team"}"#, false)]
#[case::any_of_none_if_exists(r#""ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "team"}"#, true)]
#[case::null(r#""Null": {"aws:TagKeys": "true"}"#, true)]
fn conditions_on_nothing(#[case] condition: &str, #[case] met: bool) {
    let statement = format!(r#"{{"Condition": {{{condition}}}}}"#);
    let found = says(
        &statement,
        ALICE,
        "s3vectors:GetIndex",
        INDEX,
        &ConditionKeys::default(),
    );
    assert_eq!(found, met.then_some(Effect::Allow), "{condition}");
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let statement = |effect: &str, action: &str| serde_json::json!({"Effect": effect, "Principal": "*", "Action": action, "Resource": "*"});
    let deny = statement("Deny", "s3vectors:DeleteIndex");
    let allow = statement("Allow", "s3vectors:*Index");
    let keys = ConditionKeys::default();
    for statements in [[&deny, &allow], [&allow, &deny]] {
        let policy = Policy::parse_resource(&serde_json::json!({"Statement": statements}).to_string()).unwrap();
        let verdict = |action| {
            policy.verdict(&PolicyRequest {
                principal: ALICE,
                action,
                resource: INDEX,
                keys: &keys,
            })
        };
        assert_eq!(verdict("s3vectors:DeleteIndex"), Some(Effect::Deny));
        assert_eq!(verdict("s3vectors:GetIndex"), Some(Effect::Allow));
        assert_eq!(verdict("s3vectors:PutVectors"), None);
    }
}

const USUAL: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;

#[rstest]
#[case::not_json("{", "it is not valid JSON")]
#[case::array("[]", "it must be a JSON object")]
#[case::text(r#""policy""#, "it must be a JSON object")]
#[case::no_statement(r#"{"Version":"2012-10-17"}"#, "it must have a Statement")]
#[case::no_statements(r#"{"Statement":[]}"#, "it must have a Statement")]
#[case::text_statement(r#"{"Statement":"x"}"#, "it must have a Statement")]
#[case::bad_version(&format!(r#"{{"Version":"1","Statement":{USUAL}}}"#), "Version must be 2012-10-17")]
#[case::other_member(&format!(r#"{{"Statements":1,"Statement":{USUAL}}}"#), "it has a member Statements, which is not known")]
#[case::statement_twice(&format!(r#"{{"Statement":{USUAL},"Statement":{USUAL}}}"#), "Statement appears twice")]
#[case::bad_effect(&with("Effect", r#""allow""#), "Effect must be Allow or Deny")]
#[case::effect_twice(&USUAL.replace(r#""Allow""#, r#""Deny","Effect":"Allow""#), "Effect appears twice")]
#[case::misspelt(&USUAL.replace("Principal", "principal"), "each Statement has a member principal, which is not known")]
#[case::no_principal(
    r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
    "each Statement must have Principal or NotPrincipal, not both"
)]
#[case::both_actions(&USUAL.replace(r#""Action":"#, r#""NotAction":"*","Action":"#), "each Statement must have Action or NotAction, not both")]
#[case::no_resource(
    r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#,
    "each Statement must have Resource or NotResource, not both"
)]
#[case::principal_text(&with("Principal", r#""alice""#), "a principal is \"*\" or a JSON object such as {\"AWS\": ...}")]
#[case::principal_none(&with("Principal", "{}"), "a principal names nobody")]
#[case::principal_kind(&with("Principal", r#"{"Aws":"*"}"#), "Aws is not a kind of principal")]
#[case::principal_arn(&with("Principal", r#"{"AWS":"alice"}"#), "alice is not a principal: an IAM ARN, an account or * is expected")]
#[case::principal_pattern(&with("Principal", r#"{"AWS":"arn:aws:iam::123456789012:user/*"}"#), "arn:aws:iam::123456789012:user/* is not a principal: an IAM ARN, an account or * is expected")]
#[case::other_service(&with("Action", r#""s3:GetObject""#), "s3:GetObject is not an action of s3vectors:*")]
#[case::no_such_action(&with("Action", r#""s3vectors:QueryVector""#), "s3vectors:QueryVector is not an action of s3vectors:*")]
#[case::no_actions(&with("Action", "[]"), "Action must be a string or an array of strings")]
#[case::resource_name(&with("Resource", r#""books""#), "books is neither * nor an ARN of six parts")]
#[case::resource_short(&with("Resource", r#""arn:aws:s3vectors:*""#), "arn:aws:s3vectors:* is neither * nor an ARN of six parts")]
#[case::variable(&with("Resource", r#""arn:aws:s3vectors:::bucket/${aws:username}""#), "policy variables are not supported: arn:aws:s3vectors:::bucket/${aws:username}")]
#[case::operator(&on(r#""IpAddress":{"aws:PrincipalArn":"1.2.3.4"}"#), "condition operator IpAddress is not supported")]
#[case::operator_case(&on(r#""stringEquals":{"aws:PrincipalArn":"x"}"#), "condition operator stringEquals is not supported")]
#[case::key(&on(r#""StringEquals":{"aws:SourceVpc":"vpc-1"}"#), "condition key aws:SourceVpc is not supported")]
#[case::tag_without_name(&on(r#""StringEquals":{"aws:ResourceTag/":"x"}"#), "condition key aws:ResourceTag/ is not supported")]
#[case::key_twice(&on(r#""StringEquals":{"aws:username":"x","aws:username":"y"}"#), "aws:username appears twice")]
#[case::quantifier(&on(r#""ForEachValue:StringEquals":{"aws:TagKeys":"x"}"#), "ForEachValue is neither ForAllValues nor ForAnyValue")]
#[case::needs_quantifier(&on(r#""StringEquals":{"aws:TagKeys":"x"}"#), "aws:TagKeys has several values: ForAllValues: or ForAnyValue: is needed before StringEquals")]
#[case::null_if_exists(&on(r#""NullIfExists":{"aws:username":"true"}"#), "Null stands alone: whether a key exists is what it asks")]
#[case::null_text(&on(r#""Null":{"aws:username":"yes"}"#), "yes is neither true nor false")]
#[case::date_as_text(&on(r#""StringLike":{"aws:CurrentTime":"2026*"}"#), "aws:CurrentTime is a date: StringLike cannot compare it")]
#[case::no_date(&on(r#""DateLessThan":{"aws:CurrentTime":"tomorrow"}"#), "tomorrow is not a date such as 2026-11-22T10:15:00Z")]
#[case::no_number(&on(r#""NumericEquals":{"aws:RequestTag/a":"many"}"#), "many is not a number")]
#[case::no_values(&on(r#""StringEquals":{"aws:username":[]}"#), "aws:username must be a string or an array of strings")]
fn refused(#[case] text: &str, #[case] reason: &str) {
    let policy = if text.contains(r#""Effect""#) && !text.contains("Statement") {
        format!(r#"{{"Statement":[{text}]}}"#)
    } else {
        text.to_owned()
    };
    assert_eq!(
        Policy::parse_resource(&policy).unwrap_err().to_string(),
        reason,
        "{policy}"
    );
}

fn with(name: &str, value: &str) -> String {
    let mut statement: serde_json::Value = serde_json::from_str(USUAL).unwrap();
    statement[name] = serde_json::from_str(value).unwrap();
    statement.to_string()
}

fn on(condition: &str) -> String {
    with("Condition", "1").replace(r#""Condition":1"#, &format!(r#""Condition":{{{condition}}}"#))
}

#[test]
fn policies_of_keys_have_no_principals() {
    let own = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3vectors:Get*","Resource":"*"}}"#;
    let policy = Policy::parse_identity(own).unwrap();
    assert_eq!(policy.statements.len(), 1);
    assert!(Policy::parse_resource(own).is_err());
    let refused = Policy::parse_identity(&format!(r#"{{"Statement":{USUAL}}}"#)).unwrap_err();
    assert!(refused.to_string().contains("has no Principal"), "{refused}");
}

#[test]
fn which_tags_are_asked_for() {
    let asks = |condition: &str| {
        let policy = Policy::parse_resource(&format!(r#"{{"Statement":{}}}"#, on(condition))).unwrap();
        (policy.asks_resource_tags(), policy.asks_bucket_tags())
    };
    assert_eq!(asks(r#""StringEquals":{"aws:RequestTag/a":"x"}"#), (false, false));
    assert_eq!(asks(r#""Null":{"aws:ResourceTag/a":"true"}"#), (true, false));
    assert_eq!(
        asks(r#""StringLike":{"s3vectors:VectorBucketTag/a":"x"}"#),
        (false, true)
    );
}
