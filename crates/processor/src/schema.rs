//! The JSON Schema of an answer: checked when it is loaded, compiled once, asked of the provider as written.

use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use crate::strict;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    /// In the author's order.
    value: Value,
    /// The same, compact.
    text: Arc<str>,
    validator: Validator,
}

/// Where a value breaks its schema, and how.
pub struct Violation {
    /// JSON Pointer into the value; empty is the whole.
    pub pointer: String,
    /// What is wrong, without quoting the value.
    pub message: String,
}

impl Schema {
    /// Compiles a schema. References to other documents are refused: nothing is fetched.
    ///
    /// # Errors
    /// Text that isn't JSON, isn't a schema, or doesn't fit strict mode; with the pointer.
    pub fn compile(text: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        jsonschema::meta::validate(&schema).map_err(|error| {
            format!("not a JSON Schema at {}: {error}", place(error.instance_path().as_str()))
        })?;
        strict::check(&schema).map_err(|(pointer, what)| format!("at {}: {what}", place(&pointer)))?;
        let validator = jsonschema::options().offline().build(&schema).map_err(|error| {
            format!("not a usable JSON Schema at {}: {error}", place(error.schema_path().as_str()))
        })?;
        Ok(Self { text: schema.to_string().into(), value: schema, validator })
    }

    /// The schema for a request body.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The schema's text, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether the value is what the schema says; else the first thing that isn't.
    pub fn check(&self, value: &Value) -> Result<(), Violation> {
        self.validator.validate(value).map_err(|error| Violation {
            pointer: error.instance_path().as_str().to_owned(),
            message: error.masked().to_string(),
        })
    }
}

/// A pointer for people.
pub fn place(pointer: &str) -> String {
    if pointer.is_empty() { "the top".to_owned() } else { pointer.to_owned() }
}

#[cfg(test)]
mod tests;
