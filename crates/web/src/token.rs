//! Tokens: 256 bits of chance, shown once, kept as a hash. A plain SHA-256 is enough, since nobody guesses
//! 256 bits: slow hashes are for words that people think up.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// How a token begins, so that people and scanners know one when they see it.
const PREFIX: &str = "on_";

/// The machine has no chance to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoChance(getrandom::Error);

/// A token, to be shown once.
pub struct Token(String);

impl Token {
    /// A fresh one.
    ///
    /// # Errors
    /// A system without a source of random numbers.
    pub fn generate() -> Result<Self, NoChance> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(NoChance)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is kept of a token: SHA-256, lower-case hexadecimal.
#[must_use]
pub fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_bits_and_does_not_print_itself() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        let bytes = URL_SAFE_NO_PAD.decode(one.reveal().strip_prefix("on_").unwrap()).unwrap();
        assert_eq!(bytes.len(), 32);
        assert_eq!(format!("{one:?}"), "Token(…)");
        assert_eq!(hash(one.reveal()).len(), 64);
    }
}
