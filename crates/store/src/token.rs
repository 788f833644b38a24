//! Tokens of the API: a name, a role and a hash. The token itself is shown once and never kept.

use crash::Step;
use domain::Time;

use crate::sql::Row;
use crate::{Store, StoreError};

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub hash: String,
    /// What it may do.
    pub role: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Time>,
}

impl Store {
    /// Keeps a token; false where another one has the name.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn add_token(&self, name: &str, hash: &str, role: &str) -> Result<bool, StoreError> {
        let text = "INSERT INTO api_tokens (name, hash, role, created_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (name) DO NOTHING";
        let sql = self.write(Step::AddToken, text).text(name).text(hash).text(role).time(self.clock.now());
        Ok(sql.run(&self.connection).await? == 1)
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = self.sql("tokens", "SELECT * FROM api_tokens ORDER BY name").all(&self.connection).await?;
        rows.iter().map(read).collect()
    }

    /// Forgets a token: who has it is a stranger from now on. False where there is none of the name.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let sql = self.write(Step::RevokeToken, "DELETE FROM api_tokens WHERE name = $1").text(name);
        Ok(sql.run(&self.connection).await? == 1)
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn touch_token(&self, name: &str) -> Result<(), StoreError> {
        let text = "UPDATE api_tokens SET last_used_at = $2 WHERE name = $1";
        self.write(Step::TouchToken, text).text(name).time(self.clock.now()).run(&self.connection).await?;
        Ok(())
    }
}

fn read(row: &Row) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        name: row.text("name")?,
        hash: row.text("hash")?,
        role: row.text("role")?,
        created_at: row.get("created_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}
