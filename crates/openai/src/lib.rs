//! Client of OpenAI's Files and Batches API, for OpenAI and for servers that speak it. Usable alone.
//!
//! Reads, cancels and deletes are repeated where that is safe. The one request that costs money,
//! [`Client::create_batch`], is sent once at most, and its outcome is one of a closed list. Bodies stream
//! both ways; keys go into one header and nowhere else.

mod batches;
mod config;
mod create;
mod download;
mod error;
mod files;
mod key;
mod lines;
mod pulse;
mod transport;

pub use config::{Config, ConfigError, is_here};
pub use create::Create;
pub use download::Downloaded;
pub use error::{CallError, Class};
pub use files::Newest;
pub use key::{ApiKey, BadKey};
pub use lines::{Line, Lines};
pub use transport::{Client, Ping};

/// What a stream of an upload may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
