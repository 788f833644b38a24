//! Crash points: every side effect is a [`Step`], and has a point before and a point behind it at which a test
//! can end, stop, delay or fail the process, to prove that nothing depends on what comes after.
//!
//! In release builds a step is what it does, and nothing more. In others, [`arm`] names a point: an abort runs
//! no destructor and flushes nothing, as under `kill -9`.

mod step;
mod wish;

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use step::{Point, Side, Step};
pub use wish::BadWish;
use wish::{Mode, Wish};

/// Passes of a point that are written down.
const WRITTEN: u32 = 3;

/// By when all threads of a process that stops itself stand still.
const STANDS_STILL: Duration = Duration::from_millis(100);

static ARMED: OnceLock<Vec<Wish>> = OnceLock::new();
static LOG: OnceLock<File> = OnceLock::new();
static PASSES: [AtomicU32; Point::ALL.len()] = [const { AtomicU32::new(0) }; Point::ALL.len()];

/// Whether this build has crash points.
#[must_use]
pub const fn compiled_in() -> bool {
    cfg!(debug_assertions)
}

/// Arms `NAME`, `NAME:N` or `NAME:N:MODE`: what happens when the process passes that point for the N-th
/// time (from 1). MODE is `abort`, `panic`, `stop` (as by SIGSTOP), `sleep:MS` or, for steps that can say so, `error`.
/// Several wishes stand behind each other, with commas.
///
/// # Errors
/// A wish that isn't one.
pub fn arm(wish: &str) -> Result<(), BadWish> {
    // A second wish in one process would be a mistake of the test; the first one holds.
    let _ = ARMED.set(wish.split(',').map(wish::parse).collect::<Result<_, _>>()?);
    Ok(())
}

/// Appends `NAME:N` to a file for each point's first three passes, the wishes that this process could be
/// given.
///
/// # Errors
/// A file that can't be opened.
#[expect(clippy::disallowed_methods, reason = "what writes down the points has none")]
pub fn write_passes(path: &Path) -> std::io::Result<()> {
    let file = File::options().create(true).append(true).open(path)?;
    let _ = LOG.set(file);
    Ok(())
}

/// A failure that a test asked for.
#[derive(Clone, Copy, Debug)]
pub struct Injected(Point);

impl std::fmt::Display for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a failure that a test asked for at {}", self.0)
    }
}

impl std::error::Error for Injected {}

/// Takes a step that can't be failed here: passes its two points.
pub async fn around<T>(step: Step, work: impl Future<Output = T>) -> T {
    if !compiled_in() {
        return work.await;
    }
    let _ = pass(step, Side::Before).await;
    let done = work.await;
    let _ = pass(step, Side::After).await;
    done
}

/// Takes a step that may fail: passes its two points. `fail` puts a failure that a test asked for in its words;
/// where it is asked for behind the step, the step has happened all the same.
///
/// # Errors
/// What the work says, or what a test asked for.
pub async fn attempt<T, E>(
    step: Step,
    work: impl Future<Output = Result<T, E>>,
    fail: impl Fn(Injected) -> E,
) -> Result<T, E> {
    if !compiled_in() {
        return work.await;
    }
    pass(step, Side::Before).await.map_err(&fail)?;
    let done = work.await?;
    pass(step, Side::After).await.map_err(&fail)?;
    Ok(done)
}

async fn pass(step: Step, side: Side) -> Result<(), Injected> {
    let point = Point { step, side };
    let nth = PASSES[point.index()].fetch_add(1, Ordering::SeqCst) + 1;
    if nth <= WRITTEN
        && let Some(mut log) = LOG.get()
        && let Err(error) = log.write_all(format!("{point}:{nth}\n").as_bytes())
    {
        // A test that counts on this file must not go on without it.
        eprintln!("{point} can't be written down: {error}");
        std::process::abort();
    }
    let mut armed = ARMED.get().into_iter().flatten();
    let Some(wish) = armed.find(|wish| wish.point == point && wish.nth == nth) else { return Ok(()) };
    match wish.mode {
        Mode::Abort => std::process::abort(),
        Mode::Panic => panic!("a panic that a test asked for at {point}"),
        Mode::Stop => stop(),
        Mode::Sleep(pause) => tokio::time::sleep(pause).await,
        Mode::Fail => return Err(Injected(point)),
    }
    Ok(())
}

/// Stops the whole process where it stands, as somebody's SIGSTOP would.
fn stop() {
    use rustix::process::{Signal, getpid, kill_process};
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        eprintln!("this process can't stop itself: {error}");
        std::process::abort();
    }
    // The signal may meet another thread first: this one goes no further until all stand still.
    std::thread::sleep(STANDS_STILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_point_is_passed_in_debug_builds_and_in_no_others() {
        assert_eq!(arm("queue.send.before:1:panic,store.plan.before:1:error"), Ok(()));
        let told = tokio::spawn(around(Step::QueueSend, async {})).await;
        let failed = attempt(Step::Plan, async { Ok(()) }, |injected| injected).await;
        assert_eq!((told.is_err(), failed.is_err()), (cfg!(debug_assertions), cfg!(debug_assertions)));
    }
}
