//! What a client is told at its start.

use std::time::Duration;

use url::{Host, Url};

use crate::key::ApiKey;

/// What a client is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Such as `https://api.openai.com/v1`.
    pub base_url: Url,
    /// Sent as a bearer token.
    pub api_key: Option<ApiKey>,
    /// Sent as `OpenAI-Organization`.
    pub organization: Option<String>,
    /// Sent as `OpenAI-Project`.
    pub project: Option<String>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest small call.
    pub request_timeout: Duration,
    /// Longest pause between two chunks of a stream, and between the last one of an upload and its answer.
    pub idle_timeout: Duration,
    /// How often a call that may be repeated is repeated.
    pub retries: u32,
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address that no request can be made to.
    #[error("{0} is not an http or https address")]
    Address(String),
    /// A key would travel in the clear.
    #[error("refusing to send the API key to {0} without encryption; use https, or a server on this machine")]
    Plaintext(String),
    /// An organisation or project that can't stand in a header.
    #[error("{0} has characters that can't stand in a header")]
    Header(&'static str),
    /// The HTTP library can't start.
    #[error("can't start the HTTP client")]
    Http(#[source] reqwest::Error),
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let address = || self.base_url.origin().ascii_serialization();
        if self.base_url.host().is_none() {
            return Err(ConfigError::Address(self.base_url.to_string()));
        }
        match self.base_url.scheme() {
            "https" => Ok(()),
            "http" if is_here(&self.base_url) || self.api_key.is_none() => Ok(()),
            "http" => Err(ConfigError::Plaintext(address())),
            _ => Err(ConfigError::Address(address())),
        }
    }
}

/// Whether an address is this machine's own, where nobody else hears what is sent in the clear. Of names only `localhost` is: those
/// below it may be told by a name server, which may be wrong.
#[must_use]
pub fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
