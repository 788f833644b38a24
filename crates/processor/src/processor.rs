//! A definition, compiled: templates and schema are parsed once, then used for fifty thousand records.

use crate::answer::{self, Answer, AnswerError};
use crate::definition::Mistake;
use crate::request::{Parts, Request};
use crate::schema::Schema;
use crate::template::{Context, RenderError, Templates};
use crate::{Definition, Endpoint, ProcessorError};

/// A processor that can be used, from any number of threads.
#[derive(Debug)]
pub struct Processor {
    definition: Definition,
    model: String,
    compiled: Compiled,
}

/// What is parsed once.
#[derive(Debug)]
pub struct Compiled {
    templates: Templates,
    schema: Option<Schema>,
}

impl Processor {
    /// Compiles a definition; `model` takes the place of its own.
    ///
    /// # Errors
    /// A definition that didn't come from `Definition::from_toml` and wouldn't pass there, or an empty
    /// model.
    pub fn new(definition: Definition, model: Option<&str>) -> Result<Self, ProcessorError> {
        let compiled = compile(&definition, &definition.name)?;
        let model = model.unwrap_or(&definition.model).trim().to_owned();
        if model.is_empty() {
            return Err(Mistake::of("model", "empty; name the model").at(&definition.name));
        }
        Ok(Self { definition, model, compiled })
    }

    /// The definition, with its own model.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The model that requests name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where requests go, such as `/v1/responses`.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        self.definition.endpoint.as_str()
    }

    /// The request for one record, given as its JSON text. The same record makes the same bytes.
    ///
    /// # Errors
    /// A record that isn't a JSON object, or that the templates can't be rendered over.
    pub fn request(&self, record: &str) -> Result<Request, RenderError> {
        let context = Context::new(record)?;
        let system = self.compiled.templates.render("system", &context)?;
        let prompt = self.compiled.templates.render("prompt", &context)?;
        let schema = self.compiled.schema.as_ref();
        let body = Parts {
            definition: &self.definition,
            model: &self.model,
            system: &system,
            prompt: &prompt,
            schema: schema.map(Schema::value),
        }
        .body();
        let max_output_tokens = self.definition.max_output_tokens;
        Ok(Request { body, system, prompt, max_output_tokens, schema: schema.map(Schema::text) })
    }

    /// The result in the body of a successful HTTP answer.
    ///
    /// # Errors
    /// A body that can't be read, an answer that was cut or refused, one that breaks the schema.
    pub fn answer(&self, response_body: &str) -> Result<Answer, AnswerError> {
        let text = match self.definition.endpoint {
            Endpoint::Chat => answer::chat(response_body),
            Endpoint::Responses => answer::responses(response_body),
        };
        answer::check(text?, self.compiled.schema.as_ref())
    }
}

/// Checks and parses everything in a definition; `origin` names it in messages.
pub fn compile(definition: &Definition, origin: &str) -> Result<Compiled, ProcessorError> {
    let compile = || {
        definition.check()?;
        let templates = Templates::compile(&definition.system, &definition.prompt)?;
        let schema = definition.schema.as_deref().map(Schema::compile).transpose();
        Ok(Compiled { templates, schema: schema.map_err(|what| Mistake::of("schema", what))? })
    };
    compile().map_err(|mistake: Mistake| mistake.at(origin))
}

#[cfg(test)]
mod tests;
