//! OpenAI-compatible server of files and batches that runs the batches itself.
//!
//! [`start`] binds, takes up what an earlier process left unfinished, and serves until [`Running::shutdown`].
//! Rows that finished are durable and are never run again. It never calls a paid model: the upstream is
//! [`sim`], and everything that it answers says so.

mod app;
mod blob;
mod clock;
mod config;
mod error;
mod http;
mod id;
mod lines;
mod run;
mod server;
/// The simulated upstream.
pub mod sim;
mod store;
mod validate;

pub use config::Config;
pub use error::GatewayError;
pub use server::{Health, Running, start};
pub use sim::{SimConfig, SimConfigError};
