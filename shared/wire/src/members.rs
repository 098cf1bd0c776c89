//! Members of a request's JSON objects, by name, as raw text that has been validated.

use std::borrow::Cow;

use model::ApiError;

pub use crate::scan::Kind;
use crate::scan::Scanner;

/// Members one object may have. The API's largest structure has 15; maps of tags 50. Bounds the work of last-wins.
const MAX_MEMBERS: usize = 1000;

/// JSON text that has been scanned: valid, no lone surrogates, bounded depth. (`serde_json::value::RawValue` cannot be
/// made from text that is already validated without reading it again.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawJson<'a>(&'a str);

impl<'a> RawJson<'a> {
    pub(crate) fn scanned(text: &'a str) -> Self {
        Self(text)
    }

    /// The text, without surrounding white space.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        self.0.bytes().next().and_then(Kind::of).unwrap_or(Kind::Null)
    }

    /// The characters, if it is a string.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::String => Scanner::new(self.0).string().ok(),
            _ => None,
        }
    }

    /// Calls `each` for every item, if it is an array.
    pub(crate) fn each_item(self, mut each: impl FnMut(RawJson<'a>)) -> Option<()> {
        let mut scanner = Scanner::new(self.0);
        let mut more = scanner.open_array().ok()?;
        while more {
            each(RawJson(scanner.skip_value().ok()?));
            more = scanner.more_items().ok()?;
        }
        Some(())
    }

    /// Calls `each` for every member, duplicates included, if it is an object.
    pub(crate) fn each_member(self, mut each: impl FnMut(Cow<'a, str>, RawJson<'a>)) -> Option<()> {
        let mut scanner = Scanner::new(self.0);
        let mut more = scanner.open_object().ok()?;
        while more {
            let name = scanner.member_name().ok()?;
            each(name, RawJson(scanner.skip_value().ok()?));
            more = scanner.more_members().ok()?;
        }
        Some(())
    }
}

/// A JSON object's members by name. null = absent; duplicates: the last wins (also a null that follows a value).
#[derive(Debug, Clone, Default)]
pub struct Members<'a> {
    /// JSON pointer of the object; empty for the request itself.
    path: String,
    entries: Vec<(Cow<'a, str>, RawJson<'a>)>,
}

impl<'a> Members<'a> {
    /// A request body; empty = `{}`.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        Self::scan(Scanner::over(body)?, String::new())
    }

    /// The members of a value that is an object, at `path` (a JSON pointer) of the request.
    pub fn nested(object: RawJson<'a>, path: &str) -> Result<Self, ApiError> {
        Self::scan(Scanner::new(object.get()), path.to_owned())
    }

    fn scan(mut scanner: Scanner<'a>, path: String) -> Result<Self, ApiError> {
        if scanner.peek_kind()? != Kind::Object {
            scanner.skip_value()?;
            return Err(wrong_type(&path, "an object"));
        }
        let mut members = Self {
            path,
            entries: Vec::with_capacity(8),
        };
        let mut more = scanner.open_object()?;
        while more {
            let name = scanner.member_name()?;
            let value = RawJson(scanner.skip_value()?);
            members.set(name, value)?;
            more = scanner.more_members()?;
        }
        scanner.end()?;
        Ok(members)
    }

    /// Sets a member, as the last one of its name.
    pub(crate) fn set(&mut self, name: Cow<'a, str>, value: RawJson<'a>) -> Result<(), ApiError> {
        let known = self.entries.iter().position(|(entry, _)| *entry == name);
        match (known, value.kind()) {
            (Some(position), Kind::Null) => drop(self.entries.remove(position)),
            (None, Kind::Null) => {}
            (Some(position), _) => {
                if let Some(entry) = self.entries.get_mut(position) {
                    entry.1 = value;
                }
            }
            (None, _) if self.entries.len() == MAX_MEMBERS => {
                let message = format!("Value at '{}' has more than {MAX_MEMBERS} members", self.pointer());
                return Err(ApiError::Serialization { message });
            }
            (None, _) => self.entries.push((name, value)),
        }
        Ok(())
    }

    /// The value, when present and not null.
    pub fn raw(&self, name: &str) -> Option<RawJson<'a>> {
        self.entries
            .iter()
            .find(|(entry, _)| entry == name)
            .map(|(_, value)| *value)
    }

    /// Present and not null.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Names of all members that are not null.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_ref())
    }

    /// JSON pointer of a member.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn pointer(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }
}

/// A value of another JSON type than its member has.
pub(crate) fn wrong_type(path: &str, expected: &str) -> ApiError {
    let message = match path {
        "" => format!("Request body must be {expected}"),
        _ => format!("Value at '{path}' must be {expected}"),
    };
    ApiError::Serialization { message }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn names(body: &str) -> Vec<(String, String)> {
        let members = Members::parse(body.as_bytes()).unwrap();
        members
            .names()
            .map(|name| (name.to_owned(), members.raw(name).unwrap().get().to_owned()))
            .collect()
    }

    #[rstest]
    #[case::empty_body("", &[])]
    #[case::empty_object(" {} ", &[])]
    #[case::values(r#"{"a": 1.0 ,"b":[ 1, {"c":null}], "":"x"}"#, &[("a", "1.0"), ("b", r#"[ 1, {"c":null}]"#), ("", "\"x\"")])]
    #[case::null_is_absent(r#"{"a":null,"b":1}"#, &[("b", "1")])]
    #[case::last_wins(r#"{"a":1,"b":2,"a":3}"#, &[("a", "3"), ("b", "2")])]
    #[case::last_null_wins(r#"{"a":1,"a":null}"#, &[])]
    #[case::escaped_name(r#"{"\u0061":1,"a":2}"#, &[("a", "2")])]
    fn members_by_name(#[case] body: &str, #[case] expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(names(body), expected);
    }

    #[rstest]
    #[case::array("[1]", "Request body must be an object")]
    #[case::null("null", "Request body must be an object")]
    #[case::cut("{\"a\":", "Request body is not valid JSON: expected a value at byte 5")]
    #[case::spaces("  ", "Request body is not valid JSON: expected a value at byte 2")]
    #[case::trailing("{} {", "Request body is not valid JSON: expected the end at byte 3")]
    #[case::comma(r#"{"a":1,}"#, "Request body is not valid JSON: expected a member name at byte 7")]
    #[case::surrogate(r#"{"a":{"b":["\ud83d"]}}"#, "UnknownError")]
    #[case::surrogate_in_unknown_name(r#"{"\udc00":1}"#, "UnknownError")]
    fn refused(#[case] body: &str, #[case] message: &str) {
        let error = Members::parse(body.as_bytes()).unwrap_err();
        assert_eq!(
            error,
            ApiError::Serialization {
                message: message.to_owned()
            }
        );
    }

    #[test]
    fn not_utf8_is_refused() {
        let error = Members::parse(b"{\"a\":\"\xff\"}").unwrap_err();
        assert_eq!(
            error.message(),
            "Request body is not valid JSON: expected UTF-8 at byte 6"
        );
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let body = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Members::parse(body(MAX_MEMBERS).as_bytes()).is_ok());
        let error = Members::parse(body(MAX_MEMBERS + 1).as_bytes()).unwrap_err();
        assert_eq!(error.message(), "Value at '/' has more than 1000 members");
    }

    #[test]
    fn nested_members_know_their_path() {
        let members = Members::parse(br#"{"encryptionConfiguration":{"sseType":"AES256"}}"#).unwrap();
        let raw = members.raw("encryptionConfiguration").unwrap();
        let nested = Members::nested(raw, &members.path("encryptionConfiguration")).unwrap();
        assert_eq!(nested.path("sseType"), "/encryptionConfiguration/sseType");
        assert_eq!(nested.raw("sseType").unwrap().as_str().unwrap(), "AES256");
        assert_eq!(nested.raw("sseType").unwrap().kind(), Kind::String);
    }
}
