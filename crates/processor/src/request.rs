//! The body of a request, for either endpoint.
//!
//! The same record makes the same bytes, today and tomorrow: fields keep the order that is written here, and
//! nothing of the machine, the clock or chance goes in. That is what lets a batch be recognised by the hash
//! of its file.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Definition, Endpoint};

/// A request that is ready to become a line.
#[derive(Clone, Debug)]
pub struct Request {
    /// Compact JSON.
    pub body: String,
    /// The instructions, rendered.
    pub system: String,
    /// The question, rendered.
    pub prompt: String,
    /// Most tokens of the answer, reasoning included.
    pub max_output_tokens: u32,
    pub(crate) schema: Option<Arc<str>>,
}

impl Request {
    /// The texts that the provider counts as input tokens: instructions, question, schema.
    #[must_use]
    pub fn counted(&self) -> [&str; 3] {
        [&self.system, &self.prompt, self.schema.as_deref().unwrap_or_default()]
    }
}

/// What a body is made of.
pub struct Parts<'a> {
    /// The processor.
    pub definition: &'a Definition,
    /// The model, which a job may have chosen.
    pub model: &'a str,
    /// The instructions, rendered.
    pub system: &'a str,
    /// The question, rendered.
    pub prompt: &'a str,
    /// The schema of the answer.
    pub schema: Option<&'a Value>,
}

impl Parts<'_> {
    /// The body, compact. It goes through a `Value`, and not through types of our own, because a value is
    /// written by code that is optimised in development builds too: a batch is fifty thousand of these.
    pub fn body(&self) -> String {
        let mut body = match self.definition.endpoint {
            Endpoint::Chat => self.chat(),
            Endpoint::Responses => self.responses(),
        };
        if let Some(temperature) = self.definition.temperature {
            body["temperature"] = temperature.into();
        }
        if let Some(schema) = self.schema {
            self.ask_for(schema, &mut body);
        }
        body.to_string()
    }

    fn chat(&self) -> Value {
        let limit = self.definition.max_output_tokens;
        if self.system.is_empty() {
            return json!({ "model": self.model, "messages": [
                { "role": "user", "content": self.prompt },
            ], "max_completion_tokens": limit });
        }
        json!({ "model": self.model, "messages": [
            { "role": "system", "content": self.system },
            { "role": "user", "content": self.prompt },
        ], "max_completion_tokens": limit })
    }

    fn responses(&self) -> Value {
        let limit = self.definition.max_output_tokens;
        if self.system.is_empty() {
            return json!({ "model": self.model, "input": self.prompt, "max_output_tokens": limit });
        }
        json!({
            "model": self.model,
            "instructions": self.system,
            "input": self.prompt,
            "max_output_tokens": limit,
        })
    }

    /// Strict structured output; the two endpoints say it in different places. The schema is cloned into
    /// its place, since `json!` would serialise it afresh on every level.
    fn ask_for(&self, schema: &Value, body: &mut Value) {
        let name = &self.definition.name;
        match self.definition.endpoint {
            Endpoint::Chat => {
                let wanted =
                    json!({ "type": "json_schema", "json_schema": { "name": name, "strict": true } });
                body["response_format"] = wanted;
                body["response_format"]["json_schema"]["schema"] = schema.clone();
            }
            Endpoint::Responses => {
                body["text"] = json!({ "format": { "type": "json_schema", "name": name, "strict": true } });
                body["text"]["format"]["schema"] = schema.clone();
            }
        }
    }
}
