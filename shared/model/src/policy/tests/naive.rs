//! The same language once more, on the JSON itself and with regular expressions: slow, short, obvious.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(super) type Known = BTreeMap<String, Vec<String>>;

pub(super) struct Request<'a> {
    pub(super) principal: &'a str,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    pub(super) known: &'a Known,
}

/// `Some(true)`: allowed, `Some(false)`: denied.
pub(super) fn verdict(policy: &Value, request: &Request<'_>) -> Option<bool> {
    let speaking = list(&policy["Statement"])
        .into_iter()
        .filter(|statement| speaks(statement, request));
    let effects: Vec<&Value> = speaking.map(|statement| &statement["Effect"]).collect();
    if effects.is_empty() {
        return None;
    }
    Some(!effects.iter().any(|effect| *effect == "Deny"))
}

fn speaks(statement: &Value, request: &Request<'_>) -> bool {
    let action = |pattern: &str| glob(&pattern.to_lowercase(), &request.action.to_lowercase());
    either(statement, "Principal", |name| is_principal(name, request.principal))
        && either(statement, "Action", action)
        && either(statement, "Resource", |pattern| is_arn(pattern, request.resource))
        && conditions(&statement["Condition"], request.known)
}

fn either(statement: &Value, name: &str, fits: impl Fn(&str) -> bool) -> bool {
    let values = |value: &Value| match value {
        Value::Object(kinds) => kinds.get("AWS").map(texts).unwrap_or_default(),
        other => texts(other),
    };
    match statement.get(name) {
        Some(positive) => values(positive).iter().any(|text| fits(text)),
        None => !values(&statement[format!("Not{name}")]).iter().any(|text| fits(text)),
    }
}

fn is_principal(name: &str, caller: &str) -> bool {
    let account: String = caller.split(':').nth(4).unwrap_or_default().to_owned();
    let role = Regex::new(r"^arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.*$").unwrap();
    let session_of = role.captures(caller).is_some_and(|parts| {
        let role = format!(r"^arn:aws:iam::{}:role/(.*/)?{}$", &parts[1], regex::escape(&parts[2]));
        Regex::new(&role).unwrap().is_match(name)
    });
    name == "*" || name == caller || name == account || name == format!("arn:aws:iam::{account}:root") || session_of
}

fn is_arn(pattern: &str, arn: &str) -> bool {
    let (patterns, parts): (Vec<&str>, Vec<&str>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern == "*"
        || (patterns.len() == parts.len() && patterns.iter().zip(parts).all(|(pattern, part)| glob(pattern, part)))
}

fn glob(pattern: &str, text: &str) -> bool {
    let expression = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("(?s)^{expression}$")).unwrap().is_match(text)
}

fn conditions(block: &Value, known: &Known) -> bool {
    let Some(block) = block.as_object() else {
        return true;
    };
    block.iter().all(|(operator, keys)| {
        let met =
            |(key, wanted): (&String, &Value)| condition(operator, known.get(&key.to_lowercase()), &texts(wanted));
        keys.as_object().unwrap().iter().all(met)
    })
}

fn condition(operator: &str, found: Option<&Vec<String>>, wanted: &[String]) -> bool {
    if operator == "Null" {
        return wanted.contains(&found.is_none().to_string());
    }
    let (quantifier, operator) = operator.split_once(':').unwrap_or(("", operator));
    let bare = operator.trim_end_matches("IfExists");
    let positive = bare.replace("Not", "");
    let Some(found) = found else {
        let for_nothing = match quantifier {
            "ForAllValues" => true,
            "ForAnyValue" => false,
            _ => bare != positive,
        };
        return for_nothing || operator.ends_with("IfExists");
    };
    let one = |value: &String| wanted.iter().any(|wanted| compare(&positive, value, wanted)) == (bare == positive);
    match quantifier {
        "ForAnyValue" => found.iter().any(one),
        _ => found.iter().all(one),
    }
}

fn compare(operator: &str, value: &str, wanted: &str) -> bool {
    let numbers = || Some((value.parse::<f64>().ok()?, wanted.parse::<f64>().ok()?));
    match operator {
        "StringEquals" => value == wanted,
        "StringEqualsIgnoreCase" => value.to_lowercase() == wanted.to_lowercase(),
        "StringLike" => glob(wanted, value),
        "NumericEquals" => numbers().is_some_and(|(value, wanted)| value == wanted),
        "NumericLessThan" => numbers().is_some_and(|(value, wanted)| value < wanted),
        "NumericGreaterThanEquals" => numbers().is_some_and(|(value, wanted)| value >= wanted),
        "Bool" => value == wanted,
        "ArnLike" => is_arn(wanted, value),
        other => panic!("{other}"),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        other => vec![other],
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    list(value).into_iter().map(text).collect()
}
