//! A collector of traces: takes what is exported to it over OTLP/HTTP, and remembers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use prost::Message as _;
use tokio::runtime::Runtime;

/// A span that was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its trace, hexadecimal.
    pub trace: String,
    /// Its id, hexadecimal.
    pub id: String,
    /// The span that it follows; empty: it is the first of its trace.
    pub parent: String,
    /// What it says of itself, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A collector that listens until it is dropped.
pub struct Collector {
    url: String,
    spans: Spans,
    _runtime: Runtime,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    /// A collector on a free port.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let spans = Spans::default();
        let router = axum::Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, spans, _runtime: runtime }
    }

    /// Its address, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was exported so far.
    ///
    /// # Panics
    /// Where a request was broken.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("whole").clone()
    }
}

async fn take(State(spans): State<Spans>, body: Bytes) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("an export of traces");
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let exported = scopes.flat_map(|scope| scope.spans).map(span);
    spans.lock().expect("whole").extend(exported);
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn span(span: Exported) -> Span {
    Span {
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: span.attributes.into_iter().map(attribute).collect(),
    }
}

fn attribute(pair: KeyValue) -> (String, String) {
    let text = match pair.value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(other) => format!("{other:?}"),
        None => String::new(),
    };
    (pair.key, text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
