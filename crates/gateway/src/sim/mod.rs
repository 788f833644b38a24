//! The simulated upstream: answers that follow from the seed and the request alone, that satisfy the JSON
//! schema which the request asks for, with honest token counts and with faults on demand.
//!
//! Everything that it says is marked as simulated. It does no I/O and reads no clock.

mod answer;
mod chat;
mod config;
mod embeddings;
mod fault;
mod number;
mod pattern;
mod prompt;
mod random;
mod responses;
mod schema;
mod words;

pub use config::{SimConfig, SimConfigError};

pub(crate) use answer::{Answer, answer};
pub(crate) use fault::Fault;
