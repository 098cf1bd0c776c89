//! Index modes (API.md section 8). Every index here is ENHANCED: filters are applied before the search, exactly.

/// How an index treats filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexMode {
    /// Filters while it searches; refused wherever it is asked for.
    Classic,
    /// Filters first.
    Enhanced,
}

impl IndexMode {
    /// The words of the API.
    pub const WORDS: [&'static str; 2] = ["CLASSIC", "ENHANCED"];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "CLASSIC",
            Self::Enhanced => "ENHANCED",
        }
    }

    /// Reads the word exactly.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Classic, Self::Enhanced]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

impl std::fmt::Display for IndexMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for word in IndexMode::WORDS {
            assert_eq!(IndexMode::parse(word).unwrap().as_str(), word);
        }
        assert_eq!(IndexMode::parse("enhanced"), None);
    }
}
