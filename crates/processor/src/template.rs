//! Prompt templates: compiled once, rendered over a record's JSON.
//!
//! A field that a record lacks is an error and never an empty place in a prompt; null is an empty text.
//! Block tags on a line of their own leave no line behind. Nothing is escaped: prompts are not HTML.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};

use crate::definition::Mistake;

/// Why a record can't be made into a prompt. It fails alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The record is no JSON object.
    #[error("the record is not a JSON object: {what}")]
    Record {
        /// What it is instead.
        what: String,
    },
    /// The record lacks a field.
    #[error(
        "the record has no `{field}`, which line {line} of `{template}` reads; guard it with `default` or `is defined`"
    )]
    Missing {
        /// Which template: `system` or `prompt`.
        template: &'static str,
        /// The line in it, from 1.
        line: usize,
        /// The field, dotted.
        field: String,
    },
    /// Anything else that a template can't do with this record.
    #[error("line {line} of `{template}`: {what}")]
    Template {
        /// Which template: `system` or `prompt`.
        template: &'static str,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// The two templates of a processor.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

/// A record that templates can read.
pub struct Context(Value);

impl Context {
    /// Parses the record's JSON. It goes through serde_json's own value, whose parser is optimised in
    /// development builds too.
    pub fn new(record: &str) -> Result<Self, RenderError> {
        let record: serde_json::Value = record
            .parse()
            .map_err(|error: serde_json::Error| RenderError::Record { what: error.to_string() })?;
        let value = Value::from(Serde(record));
        match value.kind() {
            ValueKind::Map => Ok(Self(value)),
            kind => Err(RenderError::Record { what: format!("a {kind}") }),
        }
    }
}

impl Templates {
    /// Compiles both, and finds filters, tests and functions that don't exist.
    pub fn compile(system: &str, prompt: &str) -> Result<Self, Mistake> {
        let mut templates = Self { environment: environment().map_err(|error| mistake("prompt", &error))? };
        for (name, text) in [("system", system), ("prompt", prompt)] {
            let added = templates.environment.add_template_owned(name, text.to_owned());
            added.map_err(|error| mistake(name, &error))?;
            templates.rehearse(name)?;
        }
        templates.environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Ok(templates)
    }

    /// The engine looks names of filters up only when it comes to them: so it is made to, over a record
    /// without fields. Whatever else goes wrong then is the empty record's fault.
    fn rehearse(&self, name: &'static str) -> Result<(), Mistake> {
        match self.environment.get_template(name).and_then(|template| template.render(())) {
            Err(error) if is_unknown_name(&error) => Err(mistake(name, &error)),
            Err(_) | Ok(_) => Ok(()),
        }
    }

    /// Renders `system` or `prompt`.
    pub fn render(&self, name: &'static str, record: &Context) -> Result<String, RenderError> {
        let template = self.environment.get_template(name);
        let rendered = template.and_then(|template| template.render(record.0.clone()));
        rendered.map_err(|error| self.explain(name, &error, record))
    }

    /// The engine says the line of an undefined value and not its name: it is the field that this line
    /// reads and the record lacks. A loop's variable has no such name.
    fn explain(&self, name: &'static str, error: &Error, record: &Context) -> RenderError {
        let line = error.line().unwrap_or(1);
        if error.kind() == ErrorKind::UndefinedError {
            let template = self.environment.get_template(name).ok();
            let text =
                template.as_ref().and_then(|template| template.source().lines().nth(line - 1)).unwrap_or("");
            let fields =
                template.as_ref().map(|template| template.undeclared_variables(true)).unwrap_or_default();
            let missing =
                fields.into_iter().filter(|field| text.contains(field.as_str()) && lacks(&record.0, field));
            if let Some(field) = missing.min() {
                return RenderError::Missing { template: name, line, field };
            }
            let what = format!("something that is not there is read: {}", text.trim());
            return RenderError::Template { template: name, line, what };
        }
        RenderError::Template { template: name, line, what: words(error) }
    }
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| {
        let printed = if value.is_none() { &Value::UNDEFINED } else { value };
        minijinja::escape_formatter(out, state, printed)
    });
    environment.add_filter("truncate_chars", truncate_chars);
    Ok(environment)
}

/// `{{ text | truncate_chars(n) }}`: at most the first n characters, and a note where something was cut.
fn truncate_chars(state: &State<'_, '_>, value: &Value, limit: usize) -> Result<Value, Error> {
    if value.is_undefined() && state.undefined_behavior() == UndefinedBehavior::Strict {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(""));
    }
    let Some(text) = value.as_str() else {
        let detail = format!("truncate_chars cuts texts, and this is a {}", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    };
    // No text has more characters than bytes, and nearly all are short: these need no counting.
    let end = if text.len() <= limit { None } else { text.char_indices().nth(limit) };
    let Some((end, _)) = end else { return Ok(value.clone()) };
    let all = text.chars().count();
    Ok(Value::from(format!("{}… [cut: {all} characters, first {limit} shown]", &text[..end])))
}

fn is_unknown_name(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction)
}

fn lacks(record: &Value, field: &str) -> bool {
    let found = field.split('.').try_fold(record.clone(), |value, name| value.get_attr(name).ok());
    found.is_none_or(|value| value.is_undefined())
}

fn mistake(name: &'static str, error: &Error) -> Mistake {
    Mistake::of(name, format!("line {} of the template: {}", error.line().unwrap_or(1), words(error)))
}

fn words(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests;
