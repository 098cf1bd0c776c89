//! Filters over bitmaps. `Filter::matches` of the model is the definition; this must agree with it for every row.

use std::ops::Range;

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
    let (ranges, others) = joined_ranges(attributes, filters)?;
    let mut rows: Option<RoaringBitmap> = None;
    for range in ranges {
        rows = Some(narrowed(rows, range.rows()?));
    }
    for part in others {
        if rows.as_ref().is_some_and(RoaringBitmap::is_empty) {
            break;
        }
        let next = filter(attributes, part)?;
        rows = Some(narrowed(rows, next));
    }
    Ok(rows.unwrap_or_else(|| every(attributes)))
}

fn narrowed(rows: Option<RoaringBitmap>, next: RoaringBitmap) -> RoaringBitmap {
    match rows {
        Some(rows) => rows & next,
        None => next,
    }
}

/// The bounds on one key's numbers, taken together.
struct JoinedRange<'a> {
    key: &'a str,
    /// `None`: no row has the key.
    field: Option<Field<'a>>,
    places: Range<usize>,
}

impl JoinedRange<'_> {
    /// An array is in no range.
    fn rows(&self) -> Rows {
        match &self.field {
            Some(field) if !self.places.is_empty() => Ok(field.numbers(self.places.clone())? - field.arrays()?),
            _ => Ok(RoaringBitmap::new()),
        }
    }
}

/// Splits the parts of an AND into ranges of numbers, all bounds on one key taken together, and the rest: a narrow range
/// between two bounds visits the values between them, not all values beyond either.
fn joined_ranges<'a>(
    attributes: &'a Attributes,
    filters: &'a [Filter],
) -> Result<(Vec<JoinedRange<'a>>, Vec<&'a Filter>), FormatError> {
    let mut ranges: Vec<JoinedRange<'a>> = Vec::new();
    let mut others = Vec::new();
    for part in filters {
        let Filter::Field { key, condition } = part else {
            others.push(part);
            continue;
        };
        if !is_range(condition) {
            others.push(part);
            continue;
        }
        let known = ranges.iter().position(|range| range.key == key);
        let place = match known {
            Some(place) => place,
            None => {
                let field = attributes.field(key)?;
                let places = 0..field.as_ref().map_or(0, Field::number_count);
                ranges.push(JoinedRange { key, field, places });
                ranges.len() - 1
            }
        };
        if let Some(JoinedRange {
            field: Some(field),
            places,
            ..
        }) = ranges.get_mut(place)
        {
            let more = places_of(field, condition);
            *places = places.start.max(more.start)..places.end.min(more.end);
        }
    }
    Ok((ranges, others))
}

fn is_range(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Gt(_) | Condition::Gte(_) | Condition::Lt(_) | Condition::Lte(_)
    )
}

/// The places in the dictionary of numbers that a range holds for.
fn places_of(field: &Field<'_>, condition: &Condition) -> Range<usize> {
    let count = field.number_count();
    match condition {
        Condition::Gt(bound) => field.number_bound(|number| number <= *bound)..count,
        Condition::Gte(bound) => field.number_bound(|number| number < *bound)..count,
        Condition::Lt(bound) => 0..field.number_bound(|number| number < *bound),
        Condition::Lte(bound) => 0..field.number_bound(|number| number <= *bound),
        _ => 0..0,
    }
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
        Condition::Gt(_) | Condition::Gte(_) | Condition::Lt(_) | Condition::Lte(_) => {
            Ok(field.numbers(places_of(field, condition))? - field.arrays()?)
        }
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
