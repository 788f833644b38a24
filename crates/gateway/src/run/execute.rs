//! The rows of a batch that haven't run yet, many at once, until all are done, time is up or somebody asks
//! for a pause. What is in hand then is always finished and flushed.

use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::BatchStatus;

use super::journal::Journal;
use super::row::{Outcome, Work};
use crate::app::{App, FLIGHT_KIB};
use crate::clock;
use crate::error::GatewayError;
use crate::lines::Lines;
use crate::store::Served;

/// Rows that wait to be written.
const QUEUE: usize = 512;

/// Why no more rows are started. Those that were are finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paused {
    /// There is none left.
    AllDone,
    /// The window closed.
    Expired,
    /// Cancelled, or told to stop: look at the batch again.
    Interrupted,
}

/// Runs what hasn't run yet.
pub(super) async fn execute(
    app: &Arc<App>,
    served: &Served,
    bell: &mut watch::Receiver<u64>,
    stop: &CancellationToken,
) -> Result<Paused, GatewayError> {
    let finished = app.store.finished_rows(&served.batch.id, served.total()).await?;
    let journal = Journal::open(app, served).await?;
    let (outcomes, arriving) = mpsc::channel(QUEUE);
    let journal = AbortOnDropHandle::new(tokio::spawn(journal.run(arriving)));
    let mut rows = Rows {
        input: Lines::new(app.blobs.read(&served.batch.input_file_id).await?),
        gate: Gate::new(app, served, bell, stop),
        work: Arc::new(Work::new(served, &app.sim)),
        running: JoinSet::new(),
        outcomes,
    };
    let paused = rows.start_all(&finished, app.sim.rows_before_expiry(served.ordinal, served.total())).await;
    let drained = rows.drain().await;
    // What the journal says comes first: where it fails, rows only fail to reach it.
    journal.await.map_err(|_| GatewayError::Interrupted { what: "journal" })??;
    drained?;
    paused
}

struct Rows<'a> {
    input: Lines<File>,
    gate: Gate<'a>,
    work: Arc<Work>,
    running: JoinSet<Result<(), GatewayError>>,
    outcomes: mpsc::Sender<Outcome>,
}

impl Rows<'_> {
    async fn start_all(&mut self, finished: &[bool], quota: u32) -> Result<Paused, GatewayError> {
        let mut line = Vec::new();
        let mut started = finished.iter().filter(|finished| **finished).count();
        let quota = usize::try_from(quota).unwrap_or(usize::MAX);
        for (row, finished) in (0..).zip(finished) {
            if self.next(&mut line).await?.is_none() {
                break;
            }
            if *finished {
                continue;
            }
            if started >= quota {
                return Ok(Paused::Expired);
            }
            let pass = match self.gate.pass(line.len()).await? {
                Ok(pass) => pass,
                Err(paused) => return Ok(paused),
            };
            self.start(row, std::mem::take(&mut line), pass);
            started += 1;
            while let Some(ended) = self.running.try_join_next() {
                ended.map_err(|_| GatewayError::Interrupted { what: "row" })??;
            }
        }
        Ok(Paused::AllDone)
    }

    async fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, GatewayError> {
        self.input.next(line).await.map_err(GatewayError::file("read", "input file"))
    }

    fn start(&mut self, row: u32, line: Vec<u8>, pass: Pass) {
        let (work, outcomes) = (Arc::clone(&self.work), self.outcomes.clone());
        self.running.spawn(async move {
            let mut outcome = work.run(row, line).await?;
            drop(pass.slot);
            outcome.flight = Some(pass.flight);
            let lost = |_| GatewayError::Interrupted { what: "journal" };
            outcomes.send(outcome).await.map_err(lost)
        });
    }

    /// Waits for the rows in hand, and lets the journal end behind the last of them.
    async fn drain(mut self) -> Result<(), GatewayError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let ended = ended.map_err(|_| GatewayError::Interrupted { what: "row" }).flatten();
            result = result.and(ended);
        }
        result
    }
}

/// A row's right to run: one of the batch's slots, and room for its bytes.
struct Pass {
    slot: OwnedSemaphorePermit,
    flight: OwnedSemaphorePermit,
}

/// Lets rows through until something happens.
struct Gate<'a> {
    app: &'a App,
    batch_id: &'a str,
    slots: Arc<Semaphore>,
    expires: Instant,
    bell: &'a mut watch::Receiver<u64>,
    stop: &'a CancellationToken,
}

impl<'a> Gate<'a> {
    fn new(
        app: &'a App,
        served: &'a Served,
        bell: &'a mut watch::Receiver<u64>,
        stop: &'a CancellationToken,
    ) -> Self {
        let left = served.batch.expires_at.unwrap_or_default().saturating_sub(clock::now());
        let slots = if app.sim.hold { 0 } else { app.concurrency };
        Self {
            app,
            batch_id: &served.batch.id,
            slots: Arc::new(Semaphore::new(slots)),
            expires: Instant::now() + Duration::from_secs(u64::try_from(left).unwrap_or_default()),
            bell,
            stop,
        }
    }

    /// Waits for a pass of a line of `bytes`, or for a reason to pause.
    async fn pass(&mut self, bytes: usize) -> Result<Result<Pass, Paused>, GatewayError> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(FLIGHT_KIB).min(FLIGHT_KIB);
        loop {
            // A timer rings up to a millisecond late, which is long enough to run a row.
            if Instant::now() >= self.expires {
                return Ok(Err(Paused::Expired));
            }
            let pass = async {
                let slot = Arc::clone(&self.slots).acquire_owned().await?;
                let flight = Arc::clone(&self.app.flight).acquire_many_owned(kib).await?;
                Ok::<_, tokio::sync::AcquireError>(Pass { slot, flight })
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Err(Paused::Interrupted)),
                () = tokio::time::sleep_until(self.expires) => return Ok(Err(Paused::Expired)),
                _ = self.bell.changed() => if !self.is_in_progress().await? {
                    return Ok(Err(Paused::Interrupted));
                },
                pass = pass => {
                    return pass.map(Ok).map_err(|_| GatewayError::Interrupted { what: "batch" });
                }
            }
        }
    }

    async fn is_in_progress(&self) -> Result<bool, GatewayError> {
        let served = self.app.store.batch(self.batch_id).await?;
        Ok(served.is_some_and(|served| served.batch.status == BatchStatus::InProgress))
    }
}
