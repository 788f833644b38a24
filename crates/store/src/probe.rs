//! What probes of the provider have found.

use crash::Step;
use domain::Time;
use uuid::Uuid;

use crate::{Store, StoreError};

/// A probe that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRow {
    /// `sim` or `openai`.
    pub provider: String,
    /// Where the provider was.
    pub address: String,
    /// The model that was used.
    pub model: String,
    /// What was found, JSON.
    pub findings: String,
    /// When it ended.
    pub ended_at: Time,
}

impl Store {
    /// Keeps what a probe has found.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn add_probe(&self, id: Uuid, probe: &ProbeRow) -> Result<(), StoreError> {
        let text = "INSERT INTO probes (id, provider, address, model, findings, ended_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        let sql = self.write(Step::AddProbe, text).id(id).text(&probe.provider).text(&probe.address);
        let sql = sql.text(&probe.model).text(&probe.findings).time(probe.ended_at);
        sql.run(&self.connection).await?;
        Ok(())
    }

    /// The latest probe of a provider at an address.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn latest_probe(&self, provider: &str, address: &str) -> Result<Option<ProbeRow>, StoreError> {
        let text = "SELECT * FROM probes \
            WHERE provider = $1 AND address = $2 ORDER BY ended_at DESC, id DESC LIMIT 1";
        let row = self.sql("latest_probe", text).text(provider).text(address).one(&self.connection).await?;
        row.map(|row| {
            Ok(ProbeRow {
                provider: row.text("provider")?,
                address: row.text("address")?,
                model: row.text("model")?,
                findings: row.text("findings")?,
                ended_at: row.get("ended_at")?,
            })
        })
        .transpose()
    }
}
