//! Runs the relay and the workers of every lane, and stops them.

use domain::Lane;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{relay, worker};

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
    /// Starts the relay and the workers.
    #[must_use]
    pub fn start(context: &Context) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(relay::run(context.clone(), stop.clone()));
        for lane in Lane::ALL {
            for _ in 0..workers(lane) {
                tasks.spawn(worker::work(context.clone(), lane, stop.clone()));
            }
        }
        Self { tasks, stop }
    }

    /// Stops: no new order is taken, what is in hand is finished.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
