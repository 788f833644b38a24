//! The tables `served_rows` and `served_runs`: which rows finished, and what was paid for. Both move in one
//! transaction with the counters of the batch and with the lengths of its result files.

use futures_util::FutureExt;
use sea_orm::Value;

use super::Store;
use super::sql::Sql;
use crate::error::GatewayError;

/// Rows per read while a batch is taken up again.
const PAGE: u32 = 5_000;
/// Rows per statement: far below what SQLite can bind.
const CHUNK: usize = 500;

/// What the database keeps of a row that finished.
#[derive(Debug)]
pub(crate) struct Finished {
    /// From 0, blank lines not counted.
    pub(crate) row: u32,
    pub(crate) custom_id: String,
    pub(crate) status_code: u16,
    /// Counted as completed, not as failed.
    pub(crate) completed: bool,
    /// Tokens in and out; none where nothing was run.
    pub(crate) paid: Option<(u64, u64)>,
}

/// Rows that become durable together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) batch_id: String,
    pub(crate) rows: Vec<Finished>,
    /// Length of the output file with the lines of these rows.
    pub(crate) output_bytes: u64,
    pub(crate) error_bytes: u64,
}

impl Store {
    /// One flag per row: whether it finished.
    pub(crate) async fn finished_rows(&self, batch_id: &str, total: u32) -> Result<Vec<bool>, GatewayError> {
        let mut finished = vec![false; usize::try_from(total).unwrap_or(usize::MAX)];
        let mut next = 0;
        loop {
            let select = "SELECT row_number FROM served_rows WHERE batch_id = ? AND row_number >= ? \
                ORDER BY row_number LIMIT ?";
            let query = Sql::new("finished rows", select).bind(batch_id).count(next).bind(PAGE);
            let rows = query.all(&self.connection).await?;
            for row in &rows {
                let number = row.count("row_number")?;
                if let Some(flag) = usize::try_from(number).ok().and_then(|at| finished.get_mut(at)) {
                    *flag = true;
                }
                next = number + 1;
            }
            if rows.is_empty() {
                return Ok(finished);
            }
        }
    }

    /// Records that rows finished. A row that is there already is an error, and nothing is recorded.
    pub(crate) async fn finish_rows(&self, group: Group, now: i64) -> Result<(), GatewayError> {
        self.transaction("finish rows", move |on| {
            async move {
                for chunk in group.rows.chunks(CHUNK) {
                    let insert = "INSERT INTO served_rows (batch_id, row_number, status_code) VALUES ";
                    let values = chunk.iter().map(|row| outcome(&group.batch_id, row));
                    Sql::new("finish rows", insert).rows(3, values).run(on).await?;
                    let runs: Vec<_> =
                        chunk.iter().filter_map(|row| run(&group.batch_id, row, now)).collect();
                    if !runs.is_empty() {
                        let insert = "INSERT INTO served_runs (batch_id, row_number, custom_id, status_code, \
                            input_tokens, output_tokens, ran_at) VALUES ";
                        Sql::new("finish rows", insert).rows(7, runs).run(on).await?;
                    }
                }
                count(&group).run(on).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }
}

fn outcome(batch_id: &str, row: &Finished) -> Vec<Value> {
    vec![batch_id.into(), row.row.into(), i64::from(row.status_code).into()]
}

fn run(batch_id: &str, row: &Finished, now: i64) -> Option<Vec<Value>> {
    let (input, output) = row.paid?;
    Some(vec![
        batch_id.into(),
        row.row.into(),
        row.custom_id.as_str().into(),
        i64::from(row.status_code).into(),
        i64::try_from(input).unwrap_or(i64::MAX).into(),
        i64::try_from(output).unwrap_or(i64::MAX).into(),
        now.into(),
    ])
}

fn count(group: &Group) -> Sql {
    let completed = group.rows.iter().filter(|row| row.completed).count();
    let paid = || group.rows.iter().filter_map(|row| row.paid);
    let update = "UPDATE served_batches SET completed = completed + ?, failed = failed + ?, \
        input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, \
        output_bytes = ?, error_bytes = ? WHERE id = ?";
    Sql::new("finish rows", update)
        .count(completed)
        .count(group.rows.len() - completed)
        .count(paid().map(|(input, _)| input).sum::<u64>())
        .count(paid().map(|(_, output)| output).sum::<u64>())
        .count(group.output_bytes)
        .count(group.error_bytes)
        .bind(group.batch_id.as_str())
}
