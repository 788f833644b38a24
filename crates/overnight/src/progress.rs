//! Watching a job: a bar on a terminal, a line per change elsewhere.

use std::time::Duration;

use chrono_tz::Tz;
use domain::{BatchTally, HoldReason, JobId, JobState, ShownState};
use indicatif::{ProgressBar, ProgressStyle};
use store::{JobRow, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::exit::Trouble;
use crate::output::{Output, when};

/// How often the database is asked.
const LOOK: Duration = Duration::from_millis(150);

/// How a watch ended.
pub(crate) enum Watched {
    /// What was waited for is there.
    Done,
    /// The time is up.
    TimedOut,
    /// The person wants their prompt back.
    Interrupted,
    /// What is left waits for a person.
    Parked,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The job has ended.
    Ended,
    /// The same; what waits for a person counts only once it has heard of the cancel, which ends some of it.
    Stopped,
    /// Every batch is at the provider, or the job waits for a time.
    Submitted,
}

/// A job as it stands.
pub(crate) struct Standing {
    pub(crate) row: JobRow,
    pub(crate) shown: ShownState,
    pub(crate) batches: BatchTally,
}

impl Standing {
    pub(crate) async fn of(store: &Store, job: JobId) -> Result<Self, Trouble> {
        let (row, shown, batches) = store.job_shown(job).await?;
        Ok(Self { row, shown, batches })
    }

    fn reached(&self, until: Until) -> bool {
        match until {
            Until::Ended | Until::Stopped => self.row.job.state.outcome().is_some(),
            Until::Submitted => match self.row.job.state {
                JobState::Ended(_) | JobState::Held(_) => true,
                JobState::Queued => false,
                JobState::Active | JobState::Cancelling => self.batches.unsent == 0,
            },
        }
    }

    /// Why the job waits, and until when, if it does.
    pub(crate) fn held(&self, zone: Tz) -> Option<String> {
        let ShownState::Held(reason) = self.shown else { return None };
        let why = match reason {
            HoldReason::Overnight => "for the night",
            HoldReason::BatchApiDisabled => "because ENABLE_BATCH_API is off",
        };
        let until = self.row.hold_until.map(|until| format!(", until {}", when(until, zone)));
        Some(format!("{why}{}", until.unwrap_or_default()))
    }

    /// Whether the job waits for a setting and not for a time.
    pub(crate) fn is_held_for_good(&self) -> bool {
        self.shown == ShownState::Held(HoldReason::BatchApiDisabled)
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let ended = &self.row.ended;
        let mut line = format!("{:<10} {}/{}", self.shown.as_str(), ended.ended(), self.row.job.total);
        let outcomes = [
            ("ok", ended.succeeded),
            ("failed", ended.failed),
            ("expired", ended.expired),
            ("cancelled", ended.cancelled),
            ("missing", ended.missing),
        ];
        for (name, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
            line.push_str(&format!("  {name} {count}"));
        }
        let batches = self.batches.total();
        if batches > 0 {
            line.push_str(&format!("  batches {}/{batches}", self.batches.ended));
        }
        line
    }
}

/// Watches a job until it is where it should be. The caller runs the stages, if they are to be run here.
pub(crate) async fn watch(
    store: &Store,
    job: JobId,
    until: Until,
    timeout: Option<Duration>,
    output: &Output,
) -> Result<Watched, Trouble> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    // One for the whole watch: a Ctrl-C that comes between two looks is not lost.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Trouble::other)?;
    let mut told = None;
    let mut view = View::new(output);
    loop {
        let standing = Standing::of(store, job).await?;
        view.show(&standing, store);
        if standing.row.last_error != told {
            told.clone_from(&standing.row.last_error);
            told.iter().for_each(|error| output.note(&format!("job {job}: {error}")));
        }
        if standing.reached(until) {
            view.close();
            return Ok(Watched::Done);
        }
        if standing.shown == ShownState::Parked && (until != Until::Stopped || all_heard(store, job).await?) {
            view.close();
            return Ok(Watched::Parked);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            view.close();
            return Ok(Watched::TimedOut);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = interrupt.recv() => {
                view.close();
                return Ok(Watched::Interrupted);
            }
        }
    }
}

/// Whether everything that a cancelled job has left knows of the cancel.
async fn all_heard(store: &Store, job: JobId) -> Result<bool, Trouble> {
    let batches = store.batches(job).await?;
    Ok(batches.iter().all(|row| row.batch.cancel || row.batch.state.is_end()))
}

enum View {
    Bar(Option<ProgressBar>),
    Lines { output: Output, last: String },
    None,
}

impl View {
    fn new(output: &Output) -> Self {
        if output.has_bar() {
            Self::Bar(None)
        } else if output.is_quiet() || output.is_json() {
            Self::None
        } else {
            Self::Lines { output: output.clone(), last: String::new() }
        }
    }

    fn show(&mut self, standing: &Standing, store: &Store) {
        match self {
            Self::None => {}
            Self::Bar(bar) => {
                let bar = bar.get_or_insert_with(|| new_bar(standing.row.job.total));
                // What the provider has answered counts before it is collected.
                bar.set_position(standing.row.ended.ended().max(standing.batches.answered));
                bar.set_message(standing.line());
            }
            Self::Lines { output, last } => {
                let line = standing.line();
                if line != *last {
                    let now = store.clock().now().format("%Y-%m-%dT%H:%M:%SZ");
                    output.note(&format!("{now} {line}"));
                    *last = line;
                }
            }
        }
    }

    fn close(&mut self) {
        if let Self::Bar(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // The template is ours; where it can't be read the default bar serves.
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("█▌ "));
    }
    bar
}
