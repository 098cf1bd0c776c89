//! Operators: what a value of a request is compared with, and how.

use super::super::document::PolicyFault;
use super::super::pattern::{self, ArnPattern};

/// A comparison with values of a policy; one of them suffices.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// `StringEquals`
    Text(Vec<String>),
    /// `StringEqualsIgnoreCase`, in lower case.
    TextAnyCase(Vec<String>),
    /// `StringLike`
    Like(Vec<String>),
    /// `NumericEquals`, `NumericLessThan`, ...
    Number(Order, Vec<f64>),
    /// `DateEquals`, `DateLessThan`, ..., in seconds since 1970.
    Date(Order, Vec<f64>),
    /// `Bool`
    Bool(Vec<bool>),
    /// `ArnEquals` and `ArnLike`, which mean the same.
    Arn(Vec<ArnPattern>),
}

/// Where a value must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The comparison, and whether it is negated.
pub(super) fn parse(operator: &str, values: &[String]) -> Result<(Test, bool), PolicyFault> {
    let texts = || values.to_vec();
    let lower = || values.iter().map(|value| value.to_lowercase()).collect();
    if let Some(name) = operator.strip_prefix("Numeric") {
        let (order, negated) = order(name).ok_or_else(|| unknown(operator))?;
        return Ok((Test::Number(order, all(values, number)?), negated));
    }
    if let Some(name) = operator.strip_prefix("Date") {
        let (order, negated) = order(name).ok_or_else(|| unknown(operator))?;
        return Ok((Test::Date(order, all(values, seconds)?), negated));
    }
    Ok(match operator {
        "StringEquals" => (Test::Text(texts()), false),
        "StringNotEquals" => (Test::Text(texts()), true),
        "StringEqualsIgnoreCase" => (Test::TextAnyCase(lower()), false),
        "StringNotEqualsIgnoreCase" => (Test::TextAnyCase(lower()), true),
        "StringLike" => (Test::Like(texts()), false),
        "StringNotLike" => (Test::Like(texts()), true),
        "Bool" => (Test::Bool(all(values, super::boolean)?), false),
        "ArnEquals" | "ArnLike" => (Test::Arn(all(values, ArnPattern::parse)?), false),
        "ArnNotEquals" | "ArnNotLike" => (Test::Arn(all(values, ArnPattern::parse)?), true),
        _ => return Err(unknown(operator)),
    })
}

impl Test {
    /// Whether a value of the request is one of those. One that cannot be compared is none of them.
    pub(super) fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Text(texts) => texts.iter().any(|text| text == value),
            Self::TextAnyCase(texts) => texts.contains(&value.to_lowercase()),
            Self::Like(patterns) => patterns.iter().any(|text| pattern::matches(text, value)),
            Self::Number(order, bounds) => number(value).is_ok_and(|found| order.any(found, bounds)),
            Self::Date(order, bounds) => seconds(value).is_ok_and(|found| order.any(found, bounds)),
            Self::Bool(wanted) => super::boolean(value).is_ok_and(|found| wanted.contains(&found)),
            Self::Arn(patterns) => patterns.iter().any(|arn| arn.matches(value)),
        }
    }
}

impl Order {
    fn any(self, found: f64, bounds: &[f64]) -> bool {
        bounds.iter().any(|bound| match self {
            Self::Equal => found == *bound,
            Self::Less => found < *bound,
            Self::LessOrEqual => found <= *bound,
            Self::Greater => found > *bound,
            Self::GreaterOrEqual => found >= *bound,
        })
    }
}

fn order(name: &str) -> Option<(Order, bool)> {
    Some(match name {
        "Equals" => (Order::Equal, false),
        "NotEquals" => (Order::Equal, true),
        "LessThan" => (Order::Less, false),
        "LessThanEquals" => (Order::LessOrEqual, false),
        "GreaterThan" => (Order::Greater, false),
        "GreaterThanEquals" => (Order::GreaterOrEqual, false),
        _ => return None,
    })
}

fn unknown(operator: &str) -> PolicyFault {
    PolicyFault::new(format!("condition operator {operator} is not supported"))
}

fn all<T>(values: &[String], read: impl Fn(&str) -> Result<T, PolicyFault>) -> Result<Vec<T>, PolicyFault> {
    values.iter().map(|value| read(value)).collect()
}

fn number(text: &str) -> Result<f64, PolicyFault> {
    let parsed = text.parse::<f64>().ok().filter(|number| number.is_finite());
    parsed.ok_or_else(|| PolicyFault::new(format!("{text} is not a number")))
}

/// Seconds since 1970 of `2026-11-22`, `2026-11-22T10:15:00Z`, or a number of them.
pub(super) fn seconds(text: &str) -> Result<f64, PolicyFault> {
    if let Ok(seconds) = number(text) {
        return Ok(seconds);
    }
    moment(text).ok_or_else(|| PolicyFault::new(format!("{text} is not a date such as 2026-11-22T10:15:00Z")))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of four-digit years stay far below 2^53"
)]
fn moment(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = digits(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = digits(time, ':', [2, 2, 2])?;
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !in_range {
        return None;
    }
    // Days of the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day;
    let since_1970 = days - 719_469;
    Some((((since_1970 * 24 + hour) * 60 + minute) * 60 + second) as f64)
}

/// Three numbers of so many digits each.
fn digits(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let right = parts.len() == widths.len()
        && parts
            .iter()
            .zip(widths)
            .all(|(part, width)| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !right {
        return None;
    }
    let numbers: Vec<i64> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::seconds;

    #[rstest]
    #[case("1970-01-01", Some(0.0))]
    #[case("1970-01-01T00:00:01Z", Some(1.0))]
    #[case("2000-02-29", Some(951_782_400.0))]
    #[case("2026-11-22T10:15:00Z", Some(1_795_342_500.0))]
    #[case("1969-12-31T23:59:59Z", Some(-1.0))]
    #[case("1795342500", Some(1_795_342_500.0))]
    #[case("2026-13-01", None)]
    #[case("2026-11-22T10:15:00", None)]
    #[case("2026-11-22T10:15:00+01:00", None)]
    #[case("+026-11-22", None)]
    #[case("soon", None)]
    fn dates(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(seconds(text).ok(), expected, "{text}");
    }
}
