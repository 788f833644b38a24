//! The key: a secret that can't be printed.

use std::fmt;

/// An API key. Printing it prints `…`.
#[derive(Clone)]
pub struct ApiKey(String);

/// A text that can't be a key.
#[derive(Debug, thiserror::Error)]
#[error("an API key is one word of visible ASCII characters; this one is empty or has others")]
pub struct BadKey;

impl ApiKey {
    /// A key of a text.
    ///
    /// # Errors
    /// A text that is empty or can't stand in a header.
    pub fn new(text: String) -> Result<Self, BadKey> {
        let visible = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        if visible { Ok(Self(text)) } else { Err(BadKey) }
    }

    /// The key itself, for the one header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
