//! A processor as it is written down, in TOML by people and in JSON by the jobs that keep a snapshot.
//!
//! Reading one checks all of it: whoever holds a `Definition` from here can make a `Processor` of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::ProcessorError;
use crate::processor::compile;

/// Longest name, in characters; the provider takes as many for the name of a schema.
const MAX_NAME_CHARS: usize = 64;

/// A processor as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What people call it: lower-case letters, digits and `-`.
    pub name: String,
    /// Counted up by its author when results are not comparable any more. From 1.
    pub version: u32,
    /// One sentence for lists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The model, unless the job says otherwise.
    pub model: String,
    /// What kind of request it makes.
    pub endpoint: Endpoint,
    /// Most tokens of an answer, reasoning included.
    pub max_output_tokens: u32,
    /// Left out of the request where unset, since reasoning models refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The agent whose backlog tasks it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The template of the instructions. Left out of the request where empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The template of the question.
    pub prompt: String,
    /// The JSON Schema of the answer, as JSON text: its order of properties is the order in which a model
    /// writes them, and TOML tables have none. Where unset, the answer is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// What kind of request a processor makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// Chat Completions.
    #[serde(rename = "/v1/chat/completions")]
    Chat,
    /// Responses.
    #[serde(rename = "/v1/responses")]
    Responses,
}

impl Endpoint {
    /// The path on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The platform's agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// Says how an issue is to be solved.
    Planner,
    /// Solves it.
    Coder,
    /// Repairs what fails.
    Fixer,
    /// Judges a change.
    Reviewer,
}

impl Agent {
    /// The word in the backlog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Coder => "coder",
            Self::Fixer => "fixer",
            Self::Reviewer => "reviewer",
        }
    }
}

impl Definition {
    /// Reads and checks a processor file; `origin` names it in messages.
    ///
    /// # Errors
    /// Text that isn't TOML, a key that is unknown, missing or of the wrong type, a value that can't work,
    /// a template or schema that is wrong. The message names the line and the key.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ProcessorError> {
        let definition: Self = toml::from_str(text).map_err(|error| toml_error(text, origin, &error))?;
        compile(&definition, origin).map_err(|error| with_line(error, text))?;
        Ok(definition)
    }

    /// Reads and checks a snapshot.
    ///
    /// # Errors
    /// As for TOML, only that no line can be named.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, ProcessorError> {
        let definition: Self = serde_json::from_str(text)
            .map_err(|error| Mistake { key: None, what: error.to_string() }.at(origin))?;
        compile(&definition, origin)?;
        Ok(definition)
    }

    /// The snapshot that a job keeps, so that editing the file later changes nothing. Compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// What can be said without the templates and the schema.
    pub(crate) fn check(&self) -> Result<(), Mistake> {
        let odd = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if self.name.is_empty() || self.name.len() > MAX_NAME_CHARS || self.name.contains(odd) {
            let what =
                format!("`{}` is no name; it takes 1 to {MAX_NAME_CHARS} of a-z, 0-9 and `-`", self.name);
            return Err(Mistake::of("name", what));
        }
        if self.version == 0 {
            return Err(Mistake::of("version", "versions count from 1"));
        }
        if self.model.trim().is_empty() {
            return Err(Mistake::of("model", "empty; name the model, such as `gpt-4o-mini`"));
        }
        if self.max_output_tokens == 0 {
            return Err(Mistake::of("max_output_tokens", "0 tokens leave no room for an answer"));
        }
        if self.temperature.is_some_and(|degree| !(0.0..=2.0).contains(&degree)) {
            return Err(Mistake::of("temperature", "outside of 0 to 2"));
        }
        if self.prompt.trim().is_empty() {
            return Err(Mistake::of("prompt", "empty; write the template of the question"));
        }
        Ok(())
    }
}

/// A mistake in a definition, before it is known where the definition comes from.
#[derive(Debug)]
pub struct Mistake {
    /// The key, where it is one key's fault.
    pub key: Option<&'static str>,
    /// What is wrong.
    pub what: String,
}

impl Mistake {
    /// A mistake of one key.
    pub fn of(key: &'static str, what: impl Into<String>) -> Self {
        Self { key: Some(key), what: what.into() }
    }

    /// The error that people see.
    pub fn at(self, origin: &str) -> ProcessorError {
        let key = self.key.map(str::to_owned);
        ProcessorError::Invalid { origin: origin.to_owned(), line: None, key, what: self.what }
    }
}

/// The key is the one in whose line or value the parser stopped; messages about keys name it themselves.
fn toml_error(text: &str, origin: &str, error: &toml::de::Error) -> ProcessorError {
    let what = error.message().trim().replace('\n', "; ");
    let start = error.span().map(|span| span.start).filter(|_| !what.starts_with("missing field"));
    let key = start.and_then(|start| key_at(text, start)).filter(|_| !what.starts_with("unknown field"));
    ProcessorError::Invalid { origin: origin.to_owned(), line: start.map(|at| line_at(text, at)), key, what }
}

fn key_at(text: &str, at: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let entry = table.get_ref().iter().find(|(_, value)| value.span().contains(&at));
    entry.map(|(key, _)| key.get_ref().to_string())
}

fn with_line(error: ProcessorError, text: &str) -> ProcessorError {
    let ProcessorError::Invalid { origin, line: None, key: Some(key), what } = error else { return error };
    let table = DeTable::parse(text).ok();
    let entry = table.as_ref().and_then(|table| table.get_ref().get_key_value(key.as_str()));
    let line = entry.map(|(key, _)| line_at(text, key.span().start));
    ProcessorError::Invalid { origin, line, key: Some(key), what }
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests;
