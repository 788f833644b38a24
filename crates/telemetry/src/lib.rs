//! Logs: one line per thing that happened, readable alone, with dotted fields; and the names of what is
//! counted. Prompts, answers and secrets never.

/// What is counted, and how it is told.
pub mod metrics;

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

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

/// Sends logs to standard error, from now on. A second call changes nothing.
///
/// # Errors
/// A filter that can't be read.
pub fn init(filter: &str, format: LogFormat) -> Result<(), BadFilter> {
    // Libraries that say at each turn what is no news: a rollback without a transaction, which is what keeps
    // connections clean, and a lost connection to the broker, which the queue reports in its own words.
    let quiet = format!("sqlx::postgres::notice=error,lapin=off,{filter}");
    let filter = EnvFilter::try_new(quiet).map_err(|error| BadFilter(error.to_string()))?;
    let color = std::io::stderr().is_terminal();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color);
    // Only a second call in one process can fail here.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_and_a_filter_are_checked() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(init("overnight=loud", LogFormat::Text).is_err());
    }
}
