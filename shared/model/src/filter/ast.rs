//! A filter as a tree.

use crate::limits;

/// A condition on a vector's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them hold; never empty.
    And(Vec<Filter>),
    /// At least one of them holds; never empty.
    Or(Vec<Filter>),
    /// The condition holds for the value under this key.
    Field {
        /// The metadata key, dots and all.
        key: String,
        /// What is asked of its value.
        condition: Condition,
    },
}

/// What is asked of the value under one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `$eq`.
    Eq(Scalar),
    /// `$ne`: not [`Condition::Eq`].
    Ne(Scalar),
    /// `$gt`.
    Gt(f64),
    /// `$gte`.
    Gte(f64),
    /// `$lt`.
    Lt(f64),
    /// `$lte`.
    Lte(f64),
    /// `$in`; never empty.
    In(Vec<Scalar>),
    /// `$nin`: not [`Condition::In`].
    Nin(Vec<Scalar>),
    /// `$exists`.
    Exists(bool),
    /// `$startsWith`.
    StartsWith(String),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A string, compared byte by byte.
    String(String),
    /// A finite number.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// How closely to follow the service where we could accept more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Several keys in one object mean AND; errors say where.
    #[default]
    Lenient,
    /// As the service does it.
    Strict,
}

impl Strictness {
    /// How many constraints a filter may have.
    pub(super) fn most_constraints(self) -> usize {
        match self {
            Self::Lenient => limits::FILTER_CONSTRAINTS,
            Self::Strict => limits::STRICT_FILTER_CONSTRAINTS,
        }
    }
}

impl Filter {
    /// The metadata keys it names, each once, in order of first appearance.
    pub fn keys(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        let mut keys = Vec::new();
        self.visit_fields(&mut |key, _| {
            if seen.insert(key) {
                keys.push(key);
            }
        });
        keys
    }

    /// How many constraints it has by the service's count: one for each value that is compared, none for `$and` and `$or`.
    pub fn constraint_count(&self) -> usize {
        let mut count = 0;
        self.visit_fields(&mut |_, condition| count += condition.constraint_count());
        count
    }

    fn visit_fields<'a>(&'a self, visit: &mut impl FnMut(&'a str, &'a Condition)) {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().for_each(|filter| filter.visit_fields(visit)),
            Self::Field { key, condition } => visit(key, condition),
        }
    }
}

impl Condition {
    pub(super) fn constraint_count(&self) -> usize {
        match self {
            Self::In(values) | Self::Nin(values) => values.len(),
            _ => 1,
        }
    }
}
