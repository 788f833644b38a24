//! The ticker: wakes the tick every few seconds until it is told to stop.
//!
//! tokio-cron-scheduler is asked for nothing but to wake us, in UTC: it freezes a zone's offset when a job is
//! built, forgets what it missed, and starts a job again while it still runs. When a night is, what was
//! missed and who does it is on record, and `tick` may be called at any time.

use std::sync::Arc;

use reception::ScheduleError;
use store::Store;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::night::Night;
use crate::run::Ran;
use crate::tick::{tick, wind};
use crate::worker::chain;

/// How often; the parser wants the field of seconds.
const EVERY_FIVE_SECONDS: &str = "*/5 * * * * *";

/// What the ticker says while it runs.
#[derive(Clone, Debug)]
pub enum Said {
    /// A run has ended.
    Ran(Box<Ran>),
    /// A tick failed; the next one tries again.
    Trouble(String),
}

/// Why there is no ticker.
#[derive(Debug, thiserror::Error)]
pub enum TickerError {
    /// The schedules can't be put on record.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The ticker can't be started.
    #[error("the ticker doesn't start")]
    Start(#[from] JobSchedulerError),
}

/// Keeps the time until `stop`: puts the schedules on record, does at once what is due, and then every few
/// seconds. What is in hand at the end is finished. It needs a runtime of several threads.
///
/// # Errors
/// A database that fails at the start, or a ticker that doesn't start.
pub async fn keep_time(
    store: Store,
    night: Night,
    stop: CancellationToken,
    said: impl Fn(Said) + Send + Sync + 'static,
) -> Result<(), TickerError> {
    wind(&store, &night).await?;
    let clockwork = Arc::new(Clockwork { store, night, said: Box::new(said), at_work: Mutex::new(()) });
    clockwork.tick().await;
    let mut ticker = JobScheduler::new().await?;
    let hand = clockwork.clone();
    let job = Job::new_async(EVERY_FIVE_SECONDS, move |_, _| {
        let hand = hand.clone();
        Box::pin(async move { hand.tick().await })
    })?;
    ticker.add(job).await?;
    ticker.start().await?;
    stop.cancelled().await;
    ticker.shutdown().await?;
    // The ticker doesn't wait for a tick that is under way.
    drop(clockwork.at_work.lock().await);
    Ok(())
}

struct Clockwork {
    store: Store,
    night: Night,
    said: Box<dyn Fn(Said) + Send + Sync>,
    /// Held by the tick that is under way: the ticker would start another beside it.
    at_work: Mutex<()>,
}

impl Clockwork {
    async fn tick(&self) {
        let Ok(_at_work) = self.at_work.try_lock() else { return };
        match tick(&self.store, &self.night).await {
            Ok(ran) => ran.into_iter().for_each(|ran| (self.said)(Said::Ran(Box::new(ran)))),
            Err(failure) => {
                tracing::warn!(error = %chain(&failure), "tick failed; the next one tries again");
                (self.said)(Said::Trouble(chain(&failure)));
            }
        }
    }
}
