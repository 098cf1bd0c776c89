//! Canonical requests of AWS Signature Version 4, from the request as received. Paths are normalised and encoded once
//! more than they arrived, as every service but S3 itself wants it; header values keep nothing but single spaces.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Everything but `A-Z a-z 0-9 - . _ ~`.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `base_path` + `raw_path` without empty, `.` and `..` segments, each segment encoded once more.
pub fn canonical_path(base_path: &str, raw_path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in base_path.split('/').chain(raw_path.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut path = String::with_capacity(raw_path.len() + 16);
    for segment in &segments {
        path.push('/');
        path.extend(percent_encode(segment.as_bytes(), &ENCODED));
    }
    if segments.is_empty() || raw_path.ends_with('/') {
        path.push('/');
    }
    path
}

/// The parameters, decoded and encoded again by one rule, sorted by name and then by value.
pub fn canonical_query(raw_query: &str) -> String {
    let normal = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&decoded, &ENCODED).to_string()
    };
    let parameters = raw_query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<(String, String)> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (normal(name), normal(value)))
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

/// One line per signed header, in their order; `None` when one of them was not sent. Several headers of one name are
/// one line.
pub fn canonical_headers(headers: &[(String, String)], signed: &[&str]) -> Option<String> {
    let mut lines = String::new();
    for name in signed {
        let mut values = headers.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value);
        write!(lines, "{name}:{}", single_spaced(values.next()?)).ok()?;
        for value in values {
            write!(lines, ",{}", single_spaced(value)).ok()?;
        }
        lines.push('\n');
    }
    Some(lines)
}

fn single_spaced(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "/CreateIndex", "/CreateIndex")]
    #[case("", "/", "/")]
    #[case("", "", "/")]
    #[case("/stage", "/CreateIndex", "/stage/CreateIndex")]
    #[case("stage/v1/", "/CreateIndex", "/stage/v1/CreateIndex")]
    #[case("/", "/CreateIndex", "/CreateIndex")]
    #[case("", "/tags/arn%3Aaws%2Fidx", "/tags/arn%253Aaws%252Fidx")]
    #[case("", "/tags/arn:aws/idx", "/tags/arn%3Aaws/idx")]
    #[case("", "//a/./b/../c/", "/a/c/")]
    #[case("", "/../a", "/a")]
    #[case("", "/a~b_c-d.e f%é", "/a~b_c-d.e%20f%25%C3%A9")]
    fn paths(#[case] base: &str, #[case] path: &str, #[case] expected: &str) {
        assert_eq!(canonical_path(base, path), expected);
    }

    #[rstest]
    #[case("", "")]
    #[case("tagKeys=b&tagKeys=a", "tagKeys=a&tagKeys=b")]
    #[case("b=1&a=2&a=10&ab=0", "a=10&a=2&ab=0&b=1")]
    #[case("flag&x=", "flag=&x=")]
    #[case("a=b=c&&d=%2f~", "a=b%3Dc&d=%2F~")]
    #[case("k=a%20b&k=a+b", "k=a%20b&k=a%2Bb")]
    fn queries(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(canonical_query(query), expected);
    }

    #[test]
    fn headers() {
        let sent = [
            ("host", "h:80"),
            ("x-amz-a", "  one \t two  "),
            ("x-amz-a", "three"),
            ("other", "x"),
        ];
        let sent: Vec<(String, String)> = sent.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let lines = canonical_headers(&sent, &["host", "x-amz-a"]).unwrap();
        assert_eq!(lines, "host:h:80\nx-amz-a:one two,three\n");
        assert_eq!(canonical_headers(&sent, &["host", "x-amz-b"]), None);
    }
}
