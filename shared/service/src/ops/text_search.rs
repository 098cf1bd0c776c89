//! Text search configurations: they are read and judged as the service model has them, so that a malformed request is
//! told what is malformed; a well-formed one is refused by its operation, since full-text search is not supported yet.

use std::ops::RangeInclusive;

use wire::{Constraints, Members};

const MEMBER: &str = "textSearchConfigurations";
const MAX_CONFIGURATIONS: usize = 10;
const KEY_LENGTH: RangeInclusive<usize> = 1..=63;
const LANGUAGES: [&str; 10] = ["en", "fr", "es", "pt", "it", "de", "nl", "zh", "ja", "ko"];
const STATUSES: [&str; 2] = ["ACTIVE", "BUILDING"];

/// `textSearchConfigurations` of what is to be configured; answers how many there are.
pub(crate) fn configurations(parent: &Members<'_>, constraints: &mut Constraints) -> usize {
    items(parent, constraints, 0..=MAX_CONFIGURATIONS, |item, constraints| {
        constraints.enumeration(item, "language", &LANGUAGES, false);
        constraints.enumeration(item, "status", &STATUSES, false);
    })
}

/// `textSearchConfigurations` of what is to be removed.
pub(crate) fn removals(parent: &Members<'_>, constraints: &mut Constraints) {
    items(parent, constraints, 1..=MAX_CONFIGURATIONS, |_, _| {});
}

fn items(
    parent: &Members<'_>,
    constraints: &mut Constraints,
    count: RangeInclusive<usize>,
    also: fn(&Members<'_>, &mut Constraints),
) -> usize {
    let items = constraints.list(parent, MEMBER, count, false).unwrap_or_default();
    for (position, raw) in items.iter().enumerate() {
        let path = format!("{}/{position}", parent.path(MEMBER));
        if let Some(item) = constraints.nested(*raw, &path) {
            constraints.string(&item, "metadataKey", KEY_LENGTH, true);
            also(&item, constraints);
        }
    }
    items.len()
}
