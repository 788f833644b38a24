//! Running batches: each unfinished one has a task here that brings it to its end.
//!
//! The row in the database says what a batch is waiting for; the bell only makes somebody look. A task that
//! fails is logged and started anew, and goes on behind the last row that became durable.

mod check;
mod drive;
mod execute;
mod finish;
mod journal;
mod row;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock;
use crate::error::GatewayError;

/// Batches at work at once; each holds three open files.
const MAX_BATCHES: usize = 64;
/// How often it looks without being rung for; also the pause before a failed batch is tried again.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two looks for files whose time is up.
const TICKS_PER_SWEEP: u32 = 60;

/// Starts a task for every unfinished batch until it is told to stop, then waits for rows in hand.
pub(crate) async fn supervise(app: Arc<App>, stop: CancellationToken) {
    let (mut created, mut cancelled) = (app.created.subscribe(), app.cancelled.subscribe());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut crew = Crew { app, stop: stop.clone(), tasks: JoinSet::new(), at_work: HashMap::new() };
    let mut ticks = 0;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = crew.tasks.join_next_with_id() => crew.ended(ended),
            _ = tick.tick() => {
                if ticks % TICKS_PER_SWEEP == 0 {
                    crew.sweep().await;
                }
                ticks += 1;
                // For a batch at work whose ring was lost with the client that cancelled it.
                crew.app.ring_cancelled();
                crew.start().await;
            }
            _ = created.changed() => crew.start().await,
            _ = cancelled.changed() => crew.start().await,
        }
    }
    while let Some(ended) = crew.tasks.join_next_with_id().await {
        crew.ended(ended);
    }
}

struct Crew {
    app: Arc<App>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), GatewayError>>,
    /// The batch of each task.
    at_work: HashMap<Id, String>,
}

impl Crew {
    /// Starts what isn't at work yet, oldest first: so whatever is at work is among the oldest.
    async fn start(&mut self) {
        let open = match self.app.store.open_batches(MAX_BATCHES).await {
            Ok(open) => open,
            Err(error) => return tracing::error!(error = chain(&error), "can't look for batches"),
        };
        for id in open {
            if self.at_work.len() >= MAX_BATCHES {
                return;
            }
            if !self.at_work.values().any(|busy| *busy == id) {
                let work = drive::drive(Arc::clone(&self.app), id.clone(), self.stop.clone());
                self.at_work.insert(self.tasks.spawn(work).id(), id);
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), GatewayError>), tokio::task::JoinError>) {
        let (task, error) = match ended {
            Ok((task, Ok(()))) => (task, None),
            Ok((task, Err(error))) => (task, Some(chain(&error))),
            Err(error) => (error.id(), Some(error.to_string())),
        };
        let id = self.at_work.remove(&task).unwrap_or_default();
        if let Some(error) = error {
            tracing::error!(batch.id = id, error, "batch stopped, trying again");
        }
    }

    async fn sweep(&self) {
        let now = clock::now();
        let swept = async {
            for id in self.app.store.expired_files(now).await? {
                self.app.delete_file(&id, now).await?;
            }
            Ok::<_, GatewayError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(error = chain(&error), "can't remove expired files");
        }
    }
}

/// An error with all that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
