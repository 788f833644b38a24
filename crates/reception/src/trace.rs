//! Where a job and a run stand in their traces.

use domain::Trace;
use tracing::Span;

/// Places a span behind `parent`, or at `own`, the beginning of a trace; says where it stands in its field
/// `trace_id`, and answers the place that is handed on.
pub(crate) fn place(span: &Span, parent: Option<Trace>, own: Trace) -> Trace {
    match parent {
        Some(parent) => telemetry::trace::follow(span, &parent.to_string()),
        None => telemetry::trace::begin(span, &own.to_string()),
    }
    let exported = telemetry::trace::place(span).and_then(|place| place.parse().ok());
    let place = exported.or(parent).unwrap_or(own);
    span.record("trace_id", place.trace_id());
    place
}
