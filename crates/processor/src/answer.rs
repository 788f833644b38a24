//! From the body of an HTTP answer to a result, for either endpoint.
//!
//! A result is what was asked for or nothing: a text that was cut, refused, or that breaks the schema never
//! passes for one. Messages say what is wrong and never quote the answer.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::schema::{Schema, place};

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Compact JSON: the object that the schema describes, or a JSON string where there is no schema.
    pub result: String,
    /// The model as the provider names it, mostly with a date.
    pub model: Option<String>,
}

/// Why an answer is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The body can't be parsed.
    #[error("the answer's body is not JSON: {what}")]
    NotJson {
        /// Where it stops being JSON.
        what: String,
    },
    /// The body is JSON and not an answer of this endpoint.
    #[error("the answer's body is not what the endpoint promises: {what}")]
    Shape {
        /// What is missing or wrong.
        what: String,
    },
    /// The model ran out of output tokens.
    #[error("the answer was cut at the limit of output tokens; raise `max_output_tokens` of the processor")]
    Truncated,
    /// Nobody answered on purpose.
    #[error("{by} refused to answer")]
    Refused {
        /// Who: the model, or the content filter.
        by: &'static str,
    },
    /// The answer isn't what the schema says.
    #[error("the answer breaks the schema at {}: {message}", place(.pointer))]
    Schema {
        /// JSON Pointer into the answer; empty is the whole.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
}

impl AnswerError {
    /// The error class of the task: `output_invalid`, `content_filter` or `transient_parse`.
    #[must_use]
    pub fn class_label(&self) -> &'static str {
        match self {
            Self::NotJson { .. } | Self::Shape { .. } => "transient_parse",
            Self::Refused { .. } => "content_filter",
            Self::Truncated | Self::Schema { .. } => "output_invalid",
        }
    }
}

/// What a model said, whole.
pub struct Said {
    text: String,
    model: Option<String>,
}

const MODEL: AnswerError = AnswerError::Refused { by: "the model" };
const FILTER: AnswerError = AnswerError::Refused { by: "the provider's content filter" };

#[derive(Deserialize)]
struct Chat {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// What was said in a chat completion.
pub fn chat(body: &str) -> Result<Said, AnswerError> {
    let Chat { choices, model } = parse(body)?;
    let choice = choices.into_iter().next().ok_or_else(|| shape("`choices` is missing or empty"))?;
    if choice.message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(MODEL);
    }
    match choice.finish_reason.as_deref() {
        Some("length") => Err(AnswerError::Truncated),
        Some("content_filter") => Err(FILTER),
        _ => match choice.message.content {
            Some(text) => Ok(Said { text, model }),
            None => Err(shape("`choices[0].message.content` is missing or null")),
        },
    }
}

#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
    #[serde(borrow, default)]
    output: Vec<Item<'a>>,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

/// Reasoning and tool calls are items too, with a `content` of their own shape: only messages are read.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

/// What was said in a response.
pub fn responses(body: &str) -> Result<Said, AnswerError> {
    let response: Responses<'_> = parse(body)?;
    match response.status.as_deref() {
        Some("completed") | None => {}
        Some("incomplete") => {
            let reason = response.incomplete_details.and_then(|details| details.reason);
            return Err(if reason.as_deref() == Some("content_filter") {
                FILTER
            } else {
                AnswerError::Truncated
            });
        }
        Some(status) => return Err(shape(format!("`status` is `{status}`"))),
    }
    let mut parts = Vec::new();
    for content in
        response.output.iter().filter(|item| item.kind == "message").filter_map(|item| item.content)
    {
        parts.append(&mut parse::<Vec<Part>>(content.get())?);
    }
    if parts.iter().any(|part| part.kind == "refusal") {
        return Err(MODEL);
    }
    let texts: Vec<String> =
        parts.into_iter().filter(|part| part.kind == "output_text").filter_map(|part| part.text).collect();
    if texts.is_empty() {
        return Err(shape("`output` holds no message with text"));
    }
    Ok(Said { text: texts.concat(), model: response.model })
}

/// The result in what was said.
pub fn check(said: Said, schema: Option<&Schema>) -> Result<Answer, AnswerError> {
    let Some(schema) = schema else {
        return Ok(Answer { result: Value::String(said.text).to_string(), model: said.model });
    };
    let value: Value = serde_json::from_str(&said.text).map_err(|error| AnswerError::Schema {
        pointer: String::new(),
        message: format!("not JSON, as it should be: line {} column {}", error.line(), error.column()),
    })?;
    match schema.check(&value) {
        Ok(()) => Ok(Answer { result: value.to_string(), model: said.model }),
        Err(violation) => Err(AnswerError::Schema { pointer: violation.pointer, message: violation.message }),
    }
}

/// Parsing errors of the right syntax may quote a value, so only their place is told.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, AnswerError> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => shape(format!("unexpected value at {place}")),
            _ => AnswerError::NotJson { what: place },
        }
    })
}

fn shape(what: impl Into<String>) -> AnswerError {
    AnswerError::Shape { what: what.into() }
}

#[cfg(test)]
mod tests;
