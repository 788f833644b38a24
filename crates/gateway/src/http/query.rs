//! Parameters of lists. Unknown ones are let through, as the provider does.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::reply::Refusal;

/// What stands behind the question mark.
pub(super) type Query = axum::extract::Query<HashMap<String, String>>;

/// The page size.
pub(super) fn limit(query: &Query, range: RangeInclusive<u64>, default: u64) -> Result<u64, Refusal> {
    let Some(text) = query.get("limit") else { return Ok(default) };
    let wrong = |code: &str, rule: String| {
        Refusal::invalid(code, "limit", format!("Invalid 'limit': {rule}, but got '{text}' instead."))
    };
    let (least, most) = (*range.start(), *range.end());
    match text.parse::<u64>() {
        Ok(limit) if limit < least => {
            Err(wrong("integer_below_min_value", format!("expected a value >= {least}")))
        }
        Ok(limit) if limit > most => {
            Err(wrong("integer_above_max_value", format!("expected a value <= {most}")))
        }
        Ok(limit) => Ok(limit),
        Err(_) => Err(wrong("invalid_type", "expected an integer".to_owned())),
    }
}

/// The id of the last item seen.
pub(super) fn after(query: &Query) -> Option<String> {
    query.get("after").filter(|id| !id.is_empty()).cloned()
}

/// The answer where `after` was never an item of this list.
pub(super) fn unknown_after(query: &Query) -> Refusal {
    let id = query.get("after").map_or("", String::as_str);
    Refusal::invalid("invalid_value", "after", format!("Invalid 'after': no object with id '{id}'."))
}
