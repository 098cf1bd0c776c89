//! `*` (any run of characters) and `?` (any one character); ARNs whose parts have them.

use super::document::PolicyFault;

/// Parts of an ARN: `arn:partition:service:region:account:resource`; the last one may have colons.
const ARN_PARTS: usize = 6;

/// Whether the pattern describes the whole text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Behind the last star: the pattern that is left, and the text that the star has not taken yet.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut rest = pattern.clone();
        let wanted = rest.next();
        if wanted == Some('*') {
            star = Some((rest.clone(), text.clone()));
            pattern = rest;
            continue;
        }
        let mut left = text.clone();
        match (wanted, left.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => (pattern, text) = (rest, left),
            _ => {
                // The last star takes one character more.
                let Some((behind, untaken)) = star.as_mut() else {
                    return false;
                };
                if untaken.next().is_none() {
                    return false;
                }
                (pattern, text) = (behind.clone(), untaken.clone());
            }
        }
    }
}

/// A pattern of ARNs. Wildcards do not reach across the colons between its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    /// `*`
    Any,
    /// Part by part.
    Parts(Vec<String>),
}

impl ArnPattern {
    /// Reads a pattern. `vector-bucket/` is taken for `bucket/`, as in ARNs of requests (API.md section 16).
    pub(super) fn parse(text: &str) -> Result<Self, PolicyFault> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut parts: Vec<String> = text.splitn(ARN_PARTS, ':').map(ToOwned::to_owned).collect();
        if parts.len() < ARN_PARTS || parts.first().is_none_or(|arn| arn != "arn") {
            return Err(PolicyFault::new(format!("{text} is neither * nor an ARN of six parts")));
        }
        if let Some(resource) = parts.last_mut()
            && let Some(names) = resource.strip_prefix("vector-bucket/")
        {
            *resource = format!("bucket/{names}");
        }
        Ok(Self::Parts(parts))
    }

    /// Whether it describes this ARN. What has no ARN (`*`: the whole account) is described by `*` alone.
    pub(super) fn matches(&self, arn: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Parts(parts) => {
                let found: Vec<&str> = arn.splitn(ARN_PARTS, ':').collect();
                found.len() == parts.len() && parts.iter().zip(found).all(|(pattern, part)| matches(pattern, part))
            }
        }
    }
}
