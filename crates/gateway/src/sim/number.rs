//! Numbers within the bounds of a schema.

use serde_json::{Map, Value};

use super::random::Random;

/// How far a number goes beyond the one bound that is given.
const REACH: f64 = 100.0;

/// An integer, or a number with two decimals.
pub(super) fn within(schema: &Map<String, Value>, integer: bool, random: &mut Random) -> Value {
    let step = bound(schema, "multipleOf").filter(|step| *step > 0.0);
    let (least, most) = bounds(schema, if integer { 1.0 } else { 0.01 });
    let drawn = least + random.unit() * (most - least);
    let number = match step {
        Some(step) => {
            (drawn / step)
                .round()
                .clamp((least / step).ceil(), (most / step).floor().max((least / step).ceil()))
                * step
        }
        None if integer => drawn.round().clamp(least.ceil(), most.floor().max(least.ceil())),
        None => ((drawn * 100.0).round() / 100.0).clamp(least, most),
    };
    match whole(number).filter(|_| integer) {
        Some(whole) => whole.into(),
        None => number.into(),
    }
}

/// Exclusive bounds are moved inwards by `margin`, or by less where they are close together.
fn bounds(schema: &Map<String, Value>, margin: f64) -> (f64, f64) {
    let above = bound(schema, "exclusiveMinimum");
    let below = bound(schema, "exclusiveMaximum");
    let margin = match (above, below) {
        (Some(above), Some(below)) => margin.min((below - above) / 3.0),
        _ => margin,
    };
    let least =
        bound(schema, "minimum").into_iter().chain(above.map(|above| above + margin)).reduce(f64::max);
    let most = bound(schema, "maximum").into_iter().chain(below.map(|below| below - margin)).reduce(f64::min);
    match (least, most) {
        (Some(least), Some(most)) => (least, most.max(least)),
        (Some(least), None) => (least, least + REACH),
        (None, Some(most)) if most >= 0.0 => (0.0, most),
        (None, Some(most)) => (most - REACH, most),
        (None, None) => (0.0, REACH),
    }
}

fn bound(schema: &Map<String, Value>, key: &str) -> Option<f64> {
    schema.get(key)?.as_f64()
}

/// By way of text, which is exact and never wraps around.
fn whole(number: f64) -> Option<i64> {
    format!("{number:.0}").parse().ok()
}
