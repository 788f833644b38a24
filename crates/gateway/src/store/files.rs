//! The table `served_files`. A deleted file keeps its row, out of sight.

use std::collections::HashSet;

use sea_orm::ConnectionTrait;
use wire::File;

use super::Store;
use super::sql::{Row, Sql};
use crate::error::GatewayError;

const VISIBLE: &str = "deleted_at IS NULL AND (expires_at IS NULL OR expires_at > ?)";

/// Which files, in which order.
#[derive(Debug)]
pub(crate) struct FilePage {
    pub(crate) purpose: Option<String>,
    pub(crate) ascending: bool,
    /// The id of the last one seen.
    pub(crate) after: Option<String>,
    pub(crate) limit: u64,
}

impl Store {
    pub(crate) async fn add_file(&self, file: &File) -> Result<(), GatewayError> {
        insert(&self.connection, file).await
    }

    /// A file that is neither deleted nor expired.
    pub(crate) async fn file(&self, id: &str, now: i64) -> Result<Option<File>, GatewayError> {
        let select = format!("SELECT * FROM served_files WHERE id = ? AND {VISIBLE}");
        let row = Sql::new("read file", select).bind(id).bind(now).one(&self.connection).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Up to `limit` files and whether more follow; none where `after` was never a file.
    pub(crate) async fn files(
        &self,
        page: &FilePage,
        now: i64,
    ) -> Result<Option<(Vec<File>, bool)>, GatewayError> {
        let (order, beyond, mut after) =
            if page.ascending { ("ASC", ">", 0) } else { ("DESC", "<", i64::MAX) };
        if let Some(id) = &page.after {
            let select = "SELECT seq FROM served_files WHERE id = ?";
            let row = Sql::new("list files", select).bind(id).one(&self.connection).await?;
            let Some(row) = row else { return Ok(None) };
            after = row.get("seq")?;
        }
        // A bare comparison, so that a page begins where the last one ended and not at the list's end.
        let select = format!(
            "SELECT * FROM served_files WHERE {VISIBLE} AND purpose = coalesce(?, purpose) \
            AND seq {beyond} ? ORDER BY seq {order} LIMIT ?"
        );
        let query = Sql::new("list files", select).bind(now).bind(page.purpose.clone());
        let query = query.bind(after).count(page.limit.saturating_add(1));
        let mut files: Vec<File> =
            query.all(&self.connection).await?.iter().map(read).collect::<Result<_, _>>()?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = files.len() > limit;
        files.truncate(limit);
        Ok(Some((files, more)))
    }

    /// Takes a file out of sight; answers whether it was there.
    pub(crate) async fn delete_file(&self, id: &str, now: i64) -> Result<bool, GatewayError> {
        let update = "UPDATE served_files SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL";
        Ok(Sql::new("delete file", update).bind(now).bind(id).run(&self.connection).await? == 1)
    }

    /// Files whose time is up.
    pub(crate) async fn expired_files(&self, now: i64) -> Result<Vec<String>, GatewayError> {
        let select = "SELECT id FROM served_files WHERE deleted_at IS NULL AND expires_at <= ? LIMIT 1000";
        let rows = Sql::new("expire files", select).bind(now).all(&self.connection).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// Whether a file is deleted and no unfinished batch reads it.
    pub(crate) async fn is_file_unused(&self, id: &str) -> Result<bool, GatewayError> {
        let select = "SELECT 1 AS unused FROM served_files WHERE id = ? AND deleted_at IS NOT NULL AND NOT EXISTS \
            (SELECT 1 FROM served_batches WHERE input_file_id = served_files.id \
            AND status IN ('validating', 'in_progress', 'finalizing', 'cancelling'))";
        Ok(Sql::new("free file", select).bind(id).one(&self.connection).await?.is_some())
    }

    /// Every id whose bytes somebody may still want: all others are the leavings of a crash.
    pub(crate) async fn wanted_files(&self) -> Result<HashSet<String>, GatewayError> {
        const OPEN: &str = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')";
        let select = format!(
            "SELECT id FROM served_files WHERE deleted_at IS NULL \
            UNION SELECT input_file_id FROM served_batches WHERE {OPEN} \
            UNION SELECT output_file_id FROM served_batches WHERE {OPEN} \
            UNION SELECT error_file_id FROM served_batches WHERE {OPEN}"
        );
        let rows = Sql::new("sweep files", select).all(&self.connection).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}

pub(super) async fn insert(on: &impl ConnectionTrait, file: &File) -> Result<(), GatewayError> {
    let insert = "INSERT INTO served_files (id, bytes, created_at, expires_at, filename, purpose) \
        VALUES (?, ?, ?, ?, ?, ?)";
    let insert = Sql::new("add file", insert).bind(&file.id).count(file.bytes).bind(file.created_at);
    insert.bind(file.expires_at).bind(&file.filename).bind(&file.purpose).run(on).await?;
    Ok(())
}

fn read(row: &Row) -> Result<File, GatewayError> {
    Ok(File {
        id: row.get("id")?,
        object: "file".to_owned(),
        bytes: row.count("bytes")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        filename: row.get("filename")?,
        purpose: row.get("purpose")?,
        status: wire::FileStatus::Processed,
        status_details: None,
    })
}
