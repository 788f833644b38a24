//! Making finished rows durable, many at a time: first their lines are flushed to the result files, then the
//! database learns of the rows and of the new lengths in one transaction. Bytes behind the recorded length
//! never happened, so that a row is there with its line or not at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::row::Outcome;
use crate::app::App;
use crate::clock;
use crate::error::GatewayError;
use crate::store::{Group, Served};

/// How long the first row of a group waits for company. With the flush, far below the promised 100 ms.
const GATHER: Duration = Duration::from_millis(20);
/// Rows of a group.
const GROUP_ROWS: usize = 500;
/// Bytes of a group.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Writes what finished, until nobody sends any more.
pub(super) struct Journal {
    app: Arc<App>,
    batch_id: String,
    output: Written,
    error: Written,
}

struct Written {
    file: File,
    id: String,
    bytes: u64,
}

impl Journal {
    /// Opens the result files behind what is recorded.
    pub(super) async fn open(app: &Arc<App>, served: &Served) -> Result<Self, GatewayError> {
        let (output, error) = (&served.output, &served.error);
        Ok(Self {
            app: Arc::clone(app),
            batch_id: served.batch.id.clone(),
            output: Written::open(app, output).await?,
            error: Written::open(app, error).await?,
        })
    }

    pub(super) async fn run(mut self, mut arriving: mpsc::Receiver<Outcome>) -> Result<(), GatewayError> {
        while let Some(first) = arriving.recv().await {
            let group = gather(first, &mut arriving).await;
            self.write(group).await?;
        }
        Ok(())
    }

    async fn write(&mut self, outcomes: Vec<Outcome>) -> Result<(), GatewayError> {
        let lines: Vec<&[u8]> = outcomes.iter().map(|outcome| outcome.output.as_slice()).collect();
        self.output.write(lines.concat()).await?;
        let lines: Vec<&[u8]> = outcomes.iter().map(|outcome| outcome.error.as_slice()).collect();
        self.error.write(lines.concat()).await?;
        let (rows, in_flight): (Vec<_>, Vec<_>) =
            outcomes.into_iter().map(|outcome| (outcome.finished, outcome.flight)).unzip();
        let group = Group {
            batch_id: self.batch_id.clone(),
            rows,
            output_bytes: self.output.bytes,
            error_bytes: self.error.bytes,
        };
        self.app.store.finish_rows(group, clock::now()).await?;
        drop(in_flight);
        Ok(())
    }
}

async fn gather(first: Outcome, arriving: &mut mpsc::Receiver<Outcome>) -> Vec<Outcome> {
    let until = Instant::now() + GATHER;
    let mut bytes = first.output.len() + first.error.len();
    let mut group = vec![first];
    while group.len() < GROUP_ROWS && bytes < GROUP_BYTES {
        let Ok(Some(next)) = timeout_at(until, arriving.recv()).await else { break };
        bytes += next.output.len() + next.error.len();
        group.push(next);
    }
    group
}

impl Written {
    async fn open(app: &App, (id, bytes): &(String, u64)) -> Result<Self, GatewayError> {
        Ok(Self { file: app.blobs.append(id, *bytes).await?, id: id.clone(), bytes: *bytes })
    }

    async fn write(&mut self, lines: Vec<u8>) -> Result<(), GatewayError> {
        if lines.is_empty() {
            return Ok(());
        }
        let failed = |source| GatewayError::File { what: "write", path: (&self.id).into(), source };
        self.file.write_all(&lines).await.map_err(failed)?;
        self.file.flush().await.map_err(failed)?;
        self.file.sync_data().await.map_err(failed)?;
        self.bytes += u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }
}
