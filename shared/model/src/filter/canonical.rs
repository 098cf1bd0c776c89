//! One text for all ways of writing a filter: page tokens are tied to what a filter asks, not to how a client's JSON
//! library writes it (some write the members of an object in another order each time).

use super::{Condition, Filter, Scalar};

impl Filter {
    /// The same text for filters that differ only in spaces, in the order of members and operands, in repetition, in
    /// nesting of the same connective, in `$eq` left out, or in how numbers are written. Filters with the same text
    /// let the same vectors through.
    pub fn canonical(&self) -> String {
        match self {
            Self::And(_) => joined('&', self.operands(|filter| matches!(filter, Self::And(_)))),
            Self::Or(_) => joined('|', self.operands(|filter| matches!(filter, Self::Or(_)))),
            Self::Field { key, condition } => format!("{}{}", text(key), condition.canonical()),
        }
    }

    /// The operands' texts, those of nested filters of the same kind among them.
    fn operands(&self, is_same_kind: fn(&Self) -> bool) -> Vec<String> {
        let (Self::And(filters) | Self::Or(filters)) = self else {
            return vec![self.canonical()];
        };
        let operands = filters.iter().flat_map(|filter| {
            if is_same_kind(filter) {
                filter.operands(is_same_kind)
            } else {
                vec![filter.canonical()]
            }
        });
        operands.collect()
    }
}

impl Condition {
    fn canonical(&self) -> String {
        let values = |values: &[Scalar]| joined(',', values.iter().map(Scalar::canonical).collect());
        match self {
            Self::Eq(value) => format!("={}", value.canonical()),
            Self::Ne(value) => format!("!{}", value.canonical()),
            Self::Gt(bound) => format!(">{}", number(*bound)),
            Self::Gte(bound) => format!(">={}", number(*bound)),
            Self::Lt(bound) => format!("<{}", number(*bound)),
            Self::Lte(bound) => format!("<={}", number(*bound)),
            Self::In(wanted) => format!("+{}", values(wanted)),
            Self::Nin(unwanted) => format!("-{}", values(unwanted)),
            Self::Exists(wanted) => format!("?{wanted}"),
            Self::StartsWith(prefix) => format!("^{}", text(prefix)),
        }
    }
}

impl Scalar {
    fn canonical(&self) -> String {
        match self {
            Self::String(value) => text(value),
            Self::Number(value) => number(*value),
            Self::Bool(truth) => truth.to_string(),
        }
    }
}

/// Operands as a set; a single one is itself.
fn joined(sign: char, mut operands: Vec<String>) -> String {
    operands.sort_unstable();
    operands.dedup();
    match operands.as_slice() {
        [only] if sign != ',' => only.clone(),
        _ => {
            let mut joined = format!("({sign}");
            for operand in operands {
                joined.push_str(&text(&operand));
            }
            joined.push(')');
            joined
        }
    }
}

/// With its length before it, so that nothing in it can be taken for what follows.
fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// By its bits: texts of equal numbers are equal, and 0 is -0.
fn number(number: f64) -> String {
    format!("#{:x}", (number + 0.0).to_bits())
}
