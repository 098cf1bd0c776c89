//! A request's filter, judged against the index.

use model::{ApiError, Filter, IndexConfig, Strictness, limits};

/// Reads a filter's JSON: the grammar, then the keys that the index keeps out of filters, then strict mode's budget.
pub(crate) fn read_filter(json: &str, config: &IndexConfig, strictness: Strictness) -> Result<Filter, ApiError> {
    let filter = Filter::parse(json, strictness).map_err(|fault| ApiError::invalid_filter(&fault))?;
    let kept_out = |key: &&str| config.non_filterable().iter().any(|kept_out| kept_out == key);
    if let Some(key) = filter.keys().into_iter().find(kept_out) {
        return Err(ApiError::non_filterable_key(key));
    }
    if strictness == Strictness::Strict && filter.constraint_count() > limits::STRICT_FILTER_CONSTRAINTS {
        return Err(ApiError::validation_at(
            "filter",
            format!(
                "Invalid filter: more than {} constraints",
                limits::STRICT_FILTER_CONSTRAINTS
            ),
        ));
    }
    Ok(filter)
}
