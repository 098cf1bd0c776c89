//! Random policies and requests, from words that often fit each other.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::naive::{self, Known};
use crate::policy::{ConditionKeys, Effect, Policy, PolicyRequest};

const CALLERS: [&str; 4] = [
    "arn:aws:iam::123456789012:user/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::210987654321:user/alice",
    "arn:aws:sts::123456789012:assumed-role/reader/alice",
];
const PRINCIPALS: [&str; 9] = [
    "*",
    "123456789012",
    "210987654321",
    "arn:aws:iam::123456789012:root",
    "arn:aws:iam::123456789012:user/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::123456789012:role/reader",
    "arn:aws:iam::123456789012:role/team/reader",
    "arn:aws:sts::123456789012:assumed-role/reader/alice",
];
const ASKED: [&str; 4] = [
    "s3vectors:GetVectors",
    "s3vectors:PutVectors",
    "s3vectors:GetIndex",
    "s3vectors:ListVectorBuckets",
];
const ACTIONS: [&str; 8] = [
    "*",
    "s3vectors:*",
    "s3vectors:Get*",
    "S3VECTORS:*Vectors",
    "s3vectors:PutVectors",
    "s3vectors:GetIndex",
    "s3vectors:?etVectors",
    "s3vectors:*e*c*s",
];
const RESOURCES: [&str; 4] = [
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/books",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/books/index/all",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/films/index/all",
    "*",
];
const PATTERNS: [&str; 8] = [
    "*",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/books",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/books*",
    "arn:aws:s3vectors:*:*:bucket/*/index/all",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/?????/*",
    "arn:*:s3vectors:*:*:*:*",
    "arn:*:*:*:*:*",
    "arn:aws:s3vectors:us-east-1:123456789012:bucket/b**s/index/*l*",
];
const OPERATORS: [&str; 11] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericGreaterThanEquals",
    "Null",
];
const KEYS: [&str; 5] = [
    "aws:ResourceTag/team",
    "aws:RequestTag/Team",
    "s3vectors:sseType",
    "s3vectors:VectorBucketTag/x",
    "aws:TagKeys",
];
const VALUES: [&str; 6] = ["search", "Search", "s*h", "7", "7.0", ""];

fn texts(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        select(words).prop_map(|word| json!(word)),
        subsequence(words, 1..=words.len()).prop_map(|words| json!(words)),
    ]
}

fn condition() -> impl Strategy<Value = (String, Value)> {
    let quantifier = select(&["", "", "ForAllValues:", "ForAnyValue:"][..]);
    let wanted = prop_oneof![3 => vec(select(&VALUES[..]), 1..4).boxed()];
    (
        quantifier,
        select(&OPERATORS[..]),
        any::<bool>(),
        select(&KEYS[..]),
        wanted,
    )
        .prop_map(|(quantifier, operator, if_exists, key, wanted)| {
            if operator == "Null" {
                return ("Null".to_owned(), json!({key: wanted.len() > 1}));
            }
            let quantifier = if key == "aws:TagKeys" && quantifier.is_empty() {
                "ForAnyValue:"
            } else {
                quantifier
            };
            let numbers: Vec<&str> = wanted
                .iter()
                .map(|value| if value.starts_with('7') { *value } else { "8" })
                .collect();
            let wanted = if operator.starts_with("Numeric") {
                numbers
            } else {
                wanted
            };
            let suffix = if if_exists { "IfExists" } else { "" };
            (format!("{quantifier}{operator}{suffix}"), json!({key: wanted}))
        })
}

fn statement() -> impl Strategy<Value = Value> {
    let effect = select(&["Allow", "Allow", "Deny"][..]);
    let parts = (texts(&PRINCIPALS), texts(&ACTIONS), texts(&PATTERNS));
    let negated = vec(proptest::bool::weighted(0.2), 3);
    (effect, parts, negated, vec(condition(), 0..3)).prop_map(|(effect, parts, negated, conditions)| {
        let (principals, actions, resources) = parts;
        let mut statement = serde_json::Map::new();
        statement.insert("Effect".to_owned(), json!(effect));
        let parts = [
            ("Principal", json!({"AWS": principals})),
            ("Action", actions),
            ("Resource", resources),
        ];
        for ((name, value), negated) in parts.into_iter().zip(negated) {
            let name = if negated { format!("Not{name}") } else { name.to_owned() };
            statement.insert(name, value);
        }
        let conditions: serde_json::Map<String, Value> = conditions.into_iter().collect();
        if !conditions.is_empty() {
            statement.insert("Condition".to_owned(), Value::Object(conditions));
        }
        Value::Object(statement)
    })
}

fn known() -> impl Strategy<Value = Known> {
    let value = || proptest::option::of(select(&VALUES[..]));
    (vec(value(), 4), vec(select(&VALUES[..]), 0..3)).prop_map(|(singles, tag_keys)| {
        let mut known = Known::new();
        for (key, value) in KEYS.iter().zip(singles) {
            if let Some(value) = value {
                known.insert(key.to_lowercase(), vec![value.to_owned()]);
            }
        }
        if !tag_keys.is_empty() {
            known.insert(
                "aws:tagkeys".to_owned(),
                tag_keys.into_iter().map(ToOwned::to_owned).collect(),
            );
        }
        known
    })
}

fn keys(known: &Known) -> ConditionKeys {
    let mut keys = ConditionKeys::default();
    for (key, values) in known {
        if key == "aws:tagkeys" {
            keys.set_tag_keys(values.clone());
        } else {
            keys.set(key, &values[0]);
        }
    }
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_naive_evaluator(
        statements in vec(statement(), 1..5),
        principal in select(&CALLERS[..]),
        action in select(&ASKED[..]),
        resource in select(&RESOURCES[..]),
        known in known(),
    ) {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let expected = naive::verdict(&document, &naive::Request { principal, action, resource, known: &known });
        let policy = Policy::parse_resource(&document.to_string()).unwrap();
        let found = policy.verdict(&PolicyRequest { principal, action, resource, keys: &keys(&known) });
        prop_assert_eq!(found.map(|effect| effect == Effect::Allow), expected, "{}", document);
    }

    #[test]
    fn any_text_ends_without_panic(text in "\\PC{0,40}", pattern in "[*?a:]{0,12}") {
        let _ = Policy::parse_resource(&text);
        let document = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": pattern}});
        let _ = Policy::parse_resource(&document.to_string());
    }
}
