//! A named way to turn a record into a request and an answer into a result.
//!
//! A processor is a TOML file: a prompt template, a model, and mostly the JSON Schema of the answer. All of
//! it is checked when it is loaded, so that a mistake costs a second and not a night. Nothing here talks to
//! a provider, and nothing here knows a job.

mod answer;
mod builtin;
mod definition;
mod error;
mod processor;
mod request;
mod resolve;
mod schema;
mod strict;
mod template;
mod usage;

pub use answer::{Answer, AnswerError};
pub use builtin::{builtin, builtins};
pub use definition::{Agent, Definition, Endpoint};
pub use error::ProcessorError;
pub use processor::Processor;
pub use request::Request;
pub use resolve::{known, resolve};
pub use template::RenderError;
pub use usage::usage;
