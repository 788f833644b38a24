//! Runs the relay and the workers of a process's lanes, and stops them.

use domain::Lane;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{audit, notify, relay, worker};

/// Workers of a lane in one process. Collecting and submitting move large files; planning works on one
/// connection's writes anyway.
const fn workers(lane: Lane) -> usize {
    match lane {
        Lane::Plan | Lane::Settle => 1,
        Lane::Submit | Lane::Collect => 2,
        Lane::Poll => 4,
    }
}

/// The running stages.
pub struct Engine {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Engine {
    /// Starts the relay, which serves all lanes, and the workers of `lanes`; with the lane that creates batches, the audit.
    #[must_use]
    pub fn start(context: &Context, lanes: &[Lane]) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), context.stop.clone());
        tasks.spawn(relay::run(context.clone(), stop.clone()));
        if let Some(events) = context.queue.events() {
            tasks.spawn(notify::run(context.clone(), events, stop.clone()));
        }
        if lanes.contains(&Lane::Submit) {
            tasks.spawn(audit::run(context.clone(), stop.clone()));
        }
        for &lane in lanes {
            for _ in 0..workers(lane) {
                tasks.spawn(worker::work(context.clone(), lane, stop.clone()));
            }
        }
        Self { tasks, stop }
    }

    /// Waits until a part ends by itself, and answers why. None should: it panicked, and its process looks well and works
    /// no more. What it had in hand is in the database, for a process that starts anew.
    pub async fn ended(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => "it returned".to_owned(),
        }
    }

    /// Stops: no new order is taken, what is in hand is finished.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
