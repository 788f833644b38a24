//! Traces: the places of spans, and their way to a collector over OTLP. A place travels as the text of a W3C
//! `traceparent`. Where nobody asked for traces, nothing here does anything.

mod ids;

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// How long an end of the process waits for a collector that doesn't answer.
const FLUSH: Duration = Duration::from_secs(3);
/// Crates whose spans are exported: ours, and nobody's else.
const OURS: [&str; 4] = ["api", "overnight", "pipeline", "reception"];

/// Makes `span` the next step of the trace whose place is `parent`.
pub fn follow(span: &Span, parent: &str) {
    let Some(parent) = context(parent) else { return };
    // Nobody who exports: nothing to place.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Makes `span` the first step of a trace, at a place that is known before it.
pub fn begin(span: &Span, place: &str) {
    if let Some(place) = context(place) {
        // The span is built where somebody asks for its context.
        ids::with(place.trace_id(), place.span_id(), || drop(span.context()));
    }
}

/// The place of `span`; none where nobody exports it.
#[must_use]
pub fn place(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    let sampled = u8::from(span.is_sampled());
    span.is_valid().then(|| format!("00-{}-{}-{sampled:02x}", span.trace_id(), span.span_id()))
}

fn context(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

/// Whether a span is exported.
pub(crate) fn is_ours(metadata: &Metadata<'_>) -> bool {
    let room = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && OURS.contains(&room)
}

/// The way to a collector.
pub(crate) struct Exporter(SdkTracerProvider);

/// Why there is no way to the collector.
#[derive(Debug)]
pub struct BadCollector(String);

impl std::fmt::Display for BadCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "traces can't be exported: {}", self.0)
    }
}

impl std::error::Error for BadCollector {}

impl Exporter {
    /// Exports to the collector at `endpoint`, from a thread of its own. What it can't take is dropped.
    pub(crate) fn new(endpoint: &str) -> Result<Self, BadCollector> {
        // An error says that the process has chosen one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|error| BadCollector(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_id_generator(ids::Ids::default())
            .with_batch_exporter(exporter)
            .with_resource(resource());
        Ok(Self(provider.build()))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("overnight")
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH) {
            tracing::warn!(error = %error, "the last spans could not be exported");
        }
    }
}

/// Who we are; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may say so.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&"service.name".into()).map(|name| name.to_string());
    let builder =
        Resource::builder().with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    match name {
        Some(name) if !name.starts_with("unknown_service") => builder.build(),
        _ => builder.with_service_name("overnight").build(),
    }
}
