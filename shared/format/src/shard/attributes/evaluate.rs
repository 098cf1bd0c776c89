//! Filters over bitmaps. `Filter::matches` of the model is the definition; this must agree with it for every row.

use model::{Condition, Filter, MISSING_KEY_MATCHES_NEGATION, Scalar};
use roaring::RoaringBitmap;

use super::Attributes;
use super::field::Field;
use crate::FormatError;

type Rows = Result<RoaringBitmap, FormatError>;

pub(super) fn filter(attributes: &Attributes, filter: &Filter) -> Rows {
    match filter {
        Filter::And(filters) => all_of(attributes, filters),
        Filter::Or(filters) => {
            let mut rows = RoaringBitmap::new();
            for part in filters {
                rows |= self::filter(attributes, part)?;
            }
            Ok(rows)
        }
        Filter::Field { key, condition } => match attributes.field(key)? {
            Some(field) => present(attributes, &field, condition),
            None => Ok(missing(attributes, condition)),
        },
    }
}

fn all_of(attributes: &Attributes, filters: &[Filter]) -> Rows {
    let mut rows: Option<RoaringBitmap> = None;
    for part in filters {
        if rows.as_ref().is_some_and(RoaringBitmap::is_empty) {
            break;
        }
        let next = filter(attributes, part)?;
        rows = Some(match rows {
            Some(rows) => rows & next,
            None => next,
        });
    }
    Ok(rows.unwrap_or_else(|| every(attributes)))
}

fn every(attributes: &Attributes) -> RoaringBitmap {
    let mut rows = RoaringBitmap::new();
    rows.insert_range(0..attributes.rows);
    rows
}

/// A key that no row has.
fn missing(attributes: &Attributes, condition: &Condition) -> RoaringBitmap {
    let holds = match condition {
        Condition::Ne(_) | Condition::Nin(_) => MISSING_KEY_MATCHES_NEGATION,
        Condition::Exists(wanted) => !wanted,
        _ => false,
    };
    if holds { every(attributes) } else { RoaringBitmap::new() }
}

fn present(attributes: &Attributes, field: &Field<'_>, condition: &Condition) -> Rows {
    match condition {
        Condition::Eq(value) => equal(field, value),
        Condition::In(values) => any_equal(field, values),
        Condition::Ne(value) => negation(attributes, field, equal(field, value)?),
        Condition::Nin(values) => negation(attributes, field, any_equal(field, values)?),
        Condition::Exists(true) => field.present(),
        Condition::Exists(false) => Ok(every(attributes) - field.present()?),
        Condition::StartsWith(prefix) => field.starts_with(prefix),
        Condition::Gt(bound) => range(field, |number| number <= *bound, |_| true),
        Condition::Gte(bound) => range(field, |number| number < *bound, |_| true),
        Condition::Lt(bound) => range(field, |_| false, |number| number < *bound),
        Condition::Lte(bound) => range(field, |_| false, |number| number <= *bound),
    }
}

fn equal(field: &Field<'_>, value: &Scalar) -> Rows {
    match value {
        Scalar::String(value) => field.string(value),
        Scalar::Number(value) => field.number(*value),
        Scalar::Bool(value) => field.bool(*value),
    }
}

fn any_equal(field: &Field<'_>, values: &[Scalar]) -> Rows {
    let mut rows = RoaringBitmap::new();
    for value in values {
        rows |= equal(field, value)?;
    }
    Ok(rows)
}

fn negation(attributes: &Attributes, field: &Field<'_>, rows: RoaringBitmap) -> Rows {
    let whole = if MISSING_KEY_MATCHES_NEGATION {
        every(attributes)
    } else {
        field.present()?
    };
    Ok(whole - rows)
}

/// The numbers from the first one that is not `below` to the last one that is `within`. An array is in no range.
fn range(field: &Field<'_>, below: impl Fn(f64) -> bool, within: impl Fn(f64) -> bool) -> Rows {
    let places = field.number_bound(below)..field.number_bound(within);
    Ok(field.numbers(places)? - field.arrays()?)
}
