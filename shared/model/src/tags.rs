//! Rules for resource tags (API.md sections 2.3 and 4.4).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::error::{ApiError, Violation, Violations};
use crate::limits;

/// The tags of one resource, by key.
pub type Tags = BTreeMap<String, String>;

/// What tag keys and values are made of, as the service's messages quote it.
pub const PATTERN: &str = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$";

#[allow(clippy::expect_used)] // a constant, compiled by every test of this file
static CHARACTERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(PATTERN).expect("the pattern is well-formed"));

/// Whether a tag key or value has only the characters that tags may have.
pub fn has_tag_characters(text: &str) -> bool {
    // `$` of this regex engine matches at the very end only, not before a last line feed.
    CHARACTERS.is_match(text)
}

/// Checks the tags of one request: characters and lengths first, all of them; then the reserved prefix; then the count.
///
/// # Errors
/// In the service's words.
pub fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    for (key, value) in tags {
        check_key("/tags", key, &mut violations);
        let path = format!("/tags/{key}");
        violations.check_length(&path, value.chars().count(), limits::TAG_VALUE_LENGTH);
        if !has_tag_characters(value) {
            violations.push(Violation::pattern(path, PATTERN));
        }
    }
    violations.finish()?;
    check_not_reserved(tags.keys().map(String::as_str))?;
    check_count(tags.len())
}

/// Checks the keys of an UntagResource.
///
/// # Errors
/// In the service's words.
pub fn check_tag_keys(keys: &[String]) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    for (position, key) in keys.iter().enumerate() {
        check_key(&format!("/tagKeys/{position}"), key, &mut violations);
    }
    violations.finish()?;
    check_not_reserved(keys.iter().map(String::as_str))
}

/// The tags after a TagResource: adds and overwrites.
///
/// # Errors
/// When the resource would have too many tags.
pub fn merge(present: &Tags, added: &Tags) -> Result<Tags, ApiError> {
    let mut merged = present.clone();
    merged.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    check_count(merged.len())?;
    Ok(merged)
}

fn check_key(path: &str, key: &str, violations: &mut Violations) {
    violations.check_length(path, key.chars().count(), limits::TAG_KEY_LENGTH);
    if !has_tag_characters(key) {
        violations.push(Violation::pattern(path, PATTERN));
    }
}

/// The service reserves `aws:` in any case; values may begin with it.
fn check_not_reserved<'a>(mut keys: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let reserved = |key: &&str| key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"));
    match keys.find(reserved) {
        Some(key) if key.starts_with("aws:") => Err(ApiError::system_tags()),
        Some(key) => Err(ApiError::system_tag_in_upper_case(key)),
        None => Ok(()),
    }
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count > limits::TAGS_PER_RESOURCE {
        Err(ApiError::too_many_tags())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn tags(key: &str, value: &str) -> Tags {
        Tags::from([(key.to_owned(), value.to_owned())])
    }

    #[rstest]
    #[case::plain("team", "search", None)]
    #[case::all_marks(" a_.:/=+-@", "\u{e9}\u{4e00}\u{2167}", None)]
    #[case::empty_value("team", "", None)]
    #[case::aws_value("team", "aws:x", None)]
    #[case::longest(&"k".repeat(128), &"v".repeat(256), None)]
    #[case::empty_key("", "v", Some("Value with length 0 at '/tags' failed"))]
    #[case::long_key(&"k".repeat(129), "v", Some("Value with length 129 at '/tags' failed"))]
    #[case::long_value("team", &"v".repeat(257), Some("Value with length 257 at '/tags/team' failed"))]
    #[case::bad_key(
        "te*m",
        "v",
        Some("Value at '/tags' failed to satisfy constraint: Member must satisfy regular")
    )]
    #[case::bad_value(
        "team",
        "a!",
        Some("Value at '/tags/team' failed to satisfy constraint: Member must satisfy")
    )]
    #[case::combining_mark("team", "e\u{301}", Some("Value at '/tags/team' failed"))]
    #[case::line_feed("team\n", "v", Some("Value at '/tags' failed"))]
    #[case::system("aws:team", "v", Some("System tags cannot be added/updated by requester"))]
    #[case::system_upper(
        "AWS:team",
        "v",
        Some("Invalid System Tag: AWS:team must be prefixed with \"aws:\" in lowercase.")
    )]
    fn one_tag(#[case] key: &str, #[case] value: &str, #[case] fault: Option<&str>) {
        let found = check_tags(&tags(key, value))
            .err()
            .map(|error| error.message().to_owned());
        match (found, fault) {
            (Some(found), Some(fault)) => assert!(found.contains(fault), "{found}"),
            (found, fault) => assert_eq!(found.as_deref(), fault),
        }
    }

    #[test]
    fn fifty_tags_are_the_most() {
        let many = |count: usize| -> Tags { (0..count).map(|n| (format!("k{n}"), String::new())).collect() };
        assert_eq!(check_tags(&many(50)), Ok(()));
        assert_eq!(check_tags(&many(51)).unwrap_err().message(), "Too many tags specified");
        assert_eq!(merge(&many(50), &tags("k7", "new")).unwrap()["k7"], "new");
        assert_eq!(
            merge(&many(50), &tags("other", "")).unwrap_err().message(),
            "Too many tags specified"
        );
    }

    #[test]
    fn keys_to_remove_are_checked() {
        let check = |key: &str| check_tag_keys(&[key.to_owned()]);
        assert_eq!(check("team"), Ok(()));
        assert!(check("").unwrap_err().message().contains("'/tagKeys/0'"));
        assert!(check("aws:x").is_err());
    }
}
