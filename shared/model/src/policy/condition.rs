//! Conditions: operators of IAM's policy language over what is known of a request.

use std::collections::BTreeMap;

use super::document::PolicyFault;

mod operator;

use operator::Test;

/// Of the keys of a request that have exactly one value.
const SINGLE_KEYS: [&str; 10] = [
    "s3vectors:ssetype",
    "s3vectors:kmskeyarn",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:username",
    "aws:currenttime",
    "aws:epochtime",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
];
/// Of those, the ones that only Date operators compare.
const DATE_KEYS: [&str; 2] = ["aws:currenttime", "aws:epochtime"];
/// The one key with several values.
const TAG_KEYS: &str = "aws:tagkeys";
const REQUEST_TAG: &str = "aws:requesttag/";
const RESOURCE_TAG: &str = "aws:resourcetag/";
const BUCKET_TAG: &str = "s3vectors:vectorbuckettag/";

/// What is known of a request, by condition key. Names of keys have no case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConditionKeys(BTreeMap<String, Vec<String>>);

impl ConditionKeys {
    /// Sets a key to one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Sets the keys of the tags that a request gives.
    pub fn set_request_tags<'a>(&mut self, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
        let mut keys = Vec::new();
        for (key, value) in tags {
            self.set(&format!("{REQUEST_TAG}{key}"), value);
            keys.push(key.clone());
        }
        self.set_tag_keys(keys);
    }

    /// Sets the keys of tags that a request is about.
    pub fn set_tag_keys(&mut self, keys: Vec<String>) {
        if !keys.is_empty() {
            self.0.insert(TAG_KEYS.to_owned(), keys);
        }
    }

    /// Sets the tags of the resource that a request is about.
    pub fn set_resource_tags<'a>(&mut self, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (key, value) in tags {
            self.set(&format!("{RESOURCE_TAG}{key}"), value);
        }
    }

    /// Sets the tags of the vector bucket that a request is about.
    pub fn set_bucket_tags<'a>(&mut self, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (key, value) in tags {
            self.set(&format!("{BUCKET_TAG}{key}"), value);
        }
    }

    fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }
}

/// How the values of a key are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// There is one value.
    One,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// `{"<operator>": {"<key>": [values]}}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// In lower case.
    key: String,
    quantifier: Quantifier,
    if_exists: bool,
    test: KeyTest,
}

#[derive(Debug, Clone, PartialEq)]
enum KeyTest {
    /// `Null`: whether the key is absent (`true`) or present.
    Absent(Vec<bool>),
    /// Some value is one of those.
    Positive(Test),
    /// No value is one of those.
    Negative(Test),
}

impl Condition {
    pub(super) fn parse(operator: &str, key: &str, values: &[String]) -> Result<Self, PolicyFault> {
        let lower = key.to_ascii_lowercase();
        check_key(key, &lower)?;
        let (quantifier, operator) = match operator.split_once(':') {
            None => (Quantifier::One, operator),
            Some(("ForAllValues", operator)) => (Quantifier::All, operator),
            Some(("ForAnyValue", operator)) => (Quantifier::Any, operator),
            Some((other, _)) => {
                return Err(PolicyFault::new(format!(
                    "{other} is neither ForAllValues nor ForAnyValue"
                )));
            }
        };
        let (if_exists, operator) = match operator.strip_suffix("IfExists") {
            Some(operator) => (true, operator),
            None => (false, operator),
        };
        let is_null = operator == "Null";
        if is_null && (if_exists || quantifier != Quantifier::One) {
            return Err(PolicyFault::new(
                "Null stands alone: whether a key exists is what it asks",
            ));
        }
        if lower == TAG_KEYS && quantifier == Quantifier::One && !is_null {
            return Err(PolicyFault::new(format!(
                "{key} has several values: ForAllValues: or ForAnyValue: is needed before {operator}"
            )));
        }
        if DATE_KEYS.contains(&lower.as_str()) && !is_null && !operator.starts_with("Date") {
            return Err(PolicyFault::new(format!(
                "{key} is a date: {operator} cannot compare it"
            )));
        }
        let test = if is_null {
            KeyTest::Absent(values.iter().map(|value| boolean(value)).collect::<Result<_, _>>()?)
        } else {
            match operator::parse(operator, values)? {
                (test, true) => KeyTest::Negative(test),
                (test, false) => KeyTest::Positive(test),
            }
        };
        Ok(Self {
            key: lower,
            quantifier,
            if_exists,
            test,
        })
    }

    /// Whether the request meets it.
    pub(super) fn is_met(&self, keys: &ConditionKeys) -> bool {
        let found = keys.get(&self.key);
        let (test, negative) = match &self.test {
            KeyTest::Absent(wanted) => return wanted.contains(&found.is_none()),
            KeyTest::Positive(test) => (test, false),
            KeyTest::Negative(test) => (test, true),
        };
        let Some(values) = found else {
            // Of a key that is not there, only "is not" can be said; of no values, everything of all of them.
            return self.if_exists
                || (negative && self.quantifier != Quantifier::Any)
                || self.quantifier == Quantifier::All;
        };
        let mut verdicts = values.iter().map(|value| test.accepts(value) != negative);
        match self.quantifier {
            Quantifier::One | Quantifier::All => verdicts.all(|verdict| verdict),
            Quantifier::Any => verdicts.any(|verdict| verdict),
        }
    }

    /// Whether it asks for a tag of the resource.
    pub(super) fn asks_resource_tags(&self) -> bool {
        self.key.starts_with(RESOURCE_TAG)
    }

    /// Whether it asks for a tag of the vector bucket.
    pub(super) fn asks_bucket_tags(&self) -> bool {
        self.key.starts_with(BUCKET_TAG)
    }
}

/// A condition on what is not known of requests would never hold, or always.
fn check_key(key: &str, lower: &str) -> Result<(), PolicyFault> {
    let is_tag = [REQUEST_TAG, RESOURCE_TAG, BUCKET_TAG]
        .iter()
        .any(|prefix| lower.strip_prefix(prefix).is_some_and(|tag| !tag.is_empty()));
    if is_tag || lower == TAG_KEYS || SINGLE_KEYS.contains(&lower) {
        return Ok(());
    }
    Err(PolicyFault::new(format!("condition key {key} is not supported")))
}

fn boolean(text: &str) -> Result<bool, PolicyFault> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(PolicyFault::new(format!("{text} is neither true nor false"))),
    }
}
