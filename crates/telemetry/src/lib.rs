//! Logs: one line per thing that happened, readable alone, with dotted fields; the names of what is counted;
//! and traces, for whoever asks for them. Prompts, answers and secrets never.

mod lines;
/// What is counted, and how it is told.
pub mod metrics;
/// From what asked for a job to the event that tells its end.
pub mod trace;

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use lines::JsonLine;
pub use trace::BadCollector;
use trace::{Exporter, is_ours};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// A log format that isn't one.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAFormat(String);

impl fmt::Display for NotAFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a log format; take text or json", self.0)
    }
}

impl std::error::Error for NotAFormat {}

impl FromStr for LogFormat {
    type Err = NotAFormat;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(NotAFormat(other.to_owned())),
        }
    }
}

/// A filter that can't be read.
#[derive(Debug)]
pub struct BadFilter(String);

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't read the log filter: {}; take a level such as info, or target=level,…", self.0)
    }
}

impl std::error::Error for BadFilter {}

/// Why nothing can be said or traced.
#[derive(Debug)]
pub enum TelemetryError {
    /// A filter that can't be read.
    Filter(BadFilter),
    /// A collector that can't be reached by any means.
    Collector(BadCollector),
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => error.fmt(f),
            Self::Collector(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TelemetryError {}

/// What must be kept until the end: letting it go exports the last spans, for a bounded time.
#[must_use = "it exports until it is let go"]
pub struct Telemetry {
    _exporter: Option<Exporter>,
}

/// Sends logs to standard error, and spans to the collector where there is one, from now on. A second call
/// changes nothing.
///
/// # Errors
/// A filter that can't be read, or a collector's address that is none.
pub fn init(filter: &str, format: LogFormat, collector: Option<&str>) -> Result<Telemetry, TelemetryError> {
    // Libraries that say at each turn what is no news: a rollback without a transaction, which is what keeps
    // connections clean, and a lost connection to the broker, which the queue reports in its own words.
    let quiet = format!(
        "sqlx::postgres::notice=error,lapin=off,opentelemetry_sdk=error,opentelemetry-otlp=error,{filter}"
    );
    let filter =
        EnvFilter::try_new(quiet).map_err(|error| TelemetryError::Filter(BadFilter(error.to_string())))?;
    let exporter = collector.map(Exporter::new).transpose().map_err(TelemetryError::Collector)?;
    let spans = exporter.as_ref().map(|exporter| {
        let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
        layer.with_location(false).with_threads(false).with_target(false).with_filter(filter_fn(is_ours))
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => {
            // A person reads one line at a time, and each says what it is about.
            let filter = filter.and(filter_fn(|metadata| metadata.is_event()));
            lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            lines.fmt_fields(JsonFields::new()).event_format(JsonLine).with_filter(filter).boxed()
        }
    };
    // Only a second call in one process can fail here.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
    Ok(Telemetry { _exporter: exporter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_and_a_filter_are_checked() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(init("overnight=loud", LogFormat::Text, None).is_err());
    }
}
