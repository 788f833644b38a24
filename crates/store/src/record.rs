//! Records: what a source yielded, by its stable key; its text by content.

use crash::Step;
use futures_util::FutureExt as _;
use sea_orm::DatabaseTransaction;

use crate::dialect::Dialect;
use crate::sql::Sql;
use crate::{BODIES, CHUNK, Store, StoreError};

/// A record to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Stable key.
    pub key: String,
    /// Names its request lines.
    pub custom_id: String,
    /// Organisation.
    pub org: String,
    /// Repository.
    pub repo: String,
    /// Number of the issue.
    pub number: i64,
    /// Title.
    pub title: String,
    /// Such as `open`.
    pub state: Option<String>,
    /// Where it was read.
    pub path: String,
    /// Its text, JSON.
    pub payload: String,
    /// Hash of its text.
    pub sha256: String,
}

impl Store {
    /// Keeps records; a key that is there already gets the newer text. All or none.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn load_records(&self, records: Vec<RecordRow>) -> Result<(), StoreError> {
        let (dialect, now) = (self.dialect, self.clock.now());
        self.transaction(Step::LoadRecords, move |on| {
            async move { insert_records(dialect, on, &records, now).await }.boxed()
        })
        .await
    }

    /// The text of a record, by its hash.
    ///
    /// # Errors
    /// A database that fails, or a hash that isn't there.
    pub async fn record_payload(&self, sha256: &str) -> Result<String, StoreError> {
        let select = "SELECT payload FROM record_bodies WHERE sha256 = $1";
        let row = self.sql("record_bodies", select).text(sha256).one(&self.connection).await?;
        row.ok_or_else(|| StoreError::Missing { table: "record_bodies", id: sha256.to_owned() })?
            .text("payload")
    }
}

pub(crate) async fn insert_records(
    dialect: Dialect,
    on: &DatabaseTransaction,
    records: &[RecordRow],
    now: domain::Time,
) -> Result<(), StoreError> {
    for chunk in records.chunks(CHUNK) {
        let texts: Vec<(&str, &str)> =
            chunk.iter().map(|record| (&*record.sha256, &*record.payload)).collect();
        insert_texts(dialect, on, &texts).await?;
        let insert = "INSERT INTO records \
            (key, custom_id, org, repo, number, title, state, path, sha256, loaded_at) VALUES ";
        Sql::new(dialect, "records", insert)
            .rows(chunk, |values, record| {
                values.text(&record.key).text(&record.custom_id).text(&record.org).text(&record.repo);
                values.int(record.number).text(&record.title).text_or_null(record.state.as_deref());
                values.text(&record.path).text(&record.sha256).bind(now);
            })
            .then(
                " ON CONFLICT (key) DO UPDATE SET custom_id = excluded.custom_id, title = excluded.title, \
                 state = excluded.state, path = excluded.path, sha256 = excluded.sha256, \
                 loaded_at = excluded.loaded_at",
            )
            .run(on)
            .await?;
    }
    Ok(())
}

/// Keeps texts by their hash.
pub(crate) async fn insert_texts<T: AsRef<str>>(
    dialect: Dialect,
    on: &DatabaseTransaction,
    texts: &[(T, T)],
) -> Result<(), StoreError> {
    for chunk in texts.chunks(BODIES) {
        Sql::new(dialect, "record_bodies", "INSERT INTO record_bodies (sha256, payload) VALUES ")
            .rows(chunk, |values, (sha256, payload)| {
                values.text(sha256.as_ref()).text(payload.as_ref());
            })
            .then(" ON CONFLICT (sha256) DO NOTHING")
            .run(on)
            .await?;
    }
    Ok(())
}
