//! Crash points: places where a test can kill the process, to prove that nothing depends on what comes after.
//!
//! In release builds a point is nothing at all. In others, [`arm`] names one, and the process aborts when
//! it is passed for the n-th time: no destructor runs and nothing is flushed, as under `kill -9`.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A place between two steps that a crash may separate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $name,)* }

        impl Point {
            /// All of them, in the order of a night.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name to arm it by.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

points! {
    /// The night is on record, no task of it is taken.
    RunAfterNight = "run.after_night",
    /// A job of the run is accepted, the run is not finished.
    RunAfterJob = "run.after_job",
    /// Lines are rendered, nothing is stored.
    PlanBeforeCommit = "plan.before_commit",
    /// A part of the job is planned, its next order is on record.
    PlanAfterCommit = "plan.after_commit",
    /// The batch is claimed, nothing is sent.
    UploadBefore = "upload.before",
    /// The file is at the provider, nobody has written down its id.
    UploadAfter = "upload.after",
    /// The intent is on record, the create is not sent.
    CreateAfterIntent = "create.after_intent",
    /// The provider has answered, nobody has written down the batch's id.
    CreateAfterReply = "create.after_reply",
    /// The batch is open on record.
    CreateAfterCommit = "create.after_commit",
    /// A look's answer is here, nothing is stored.
    PollAfterLook = "poll.after_look",
    /// The result files are here, no line is stored.
    CollectAfterDownload = "collect.after_download",
    /// Some lines are stored, others are not.
    CollectAfterChunk = "collect.after_chunk",
    /// All lines are stored, the batch is still collecting.
    CollectBeforeCommit = "collect.before_commit",
    /// The batch is collected, its job has not looked.
    CollectAfterCommit = "collect.after_commit",
    /// The job's outcome is known, it is not stored.
    SettleBeforeCommit = "settle.before_commit",
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Armed {
    point: Point,
    left: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// A wish that can't be armed.
#[derive(Debug, PartialEq, Eq)]
pub struct BadWish(String);

impl fmt::Display for BadWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Point::ALL.iter().map(|point| point.as_str()).collect();
        write!(f, "{:?} is not a crash point; take NAME or NAME:N with one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for BadWish {}

/// Whether this build has crash points.
#[must_use]
pub const fn compiled_in() -> bool {
    cfg!(debug_assertions)
}

/// Arms `NAME` or `NAME:N`: the process aborts when it passes that point for the N-th time (from 1).
///
/// # Errors
/// A name or a number that isn't one.
pub fn arm(wish: &str) -> Result<(), BadWish> {
    let (point, nth) = parse(wish)?;
    // A second wish in one process would be a mistake of the test; the first one holds.
    let _ = ARMED.set(Armed { point, left: AtomicU32::new(nth) });
    Ok(())
}

fn parse(wish: &str) -> Result<(Point, u32), BadWish> {
    let bad = || BadWish(wish.to_owned());
    let (name, nth) = wish.split_once(':').unwrap_or((wish, "1"));
    let point = Point::ALL.iter().copied().find(|point| point.as_str() == name).ok_or_else(bad)?;
    let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(bad)?;
    Ok((point, nth))
}

/// Passes a point: aborts here if it is armed and its number has come.
#[inline]
pub fn pass(point: Point) {
    if !compiled_in() {
        return;
    }
    if let Some(armed) = ARMED.get().filter(|armed| armed.point == point)
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_a_point_and_a_number() {
        assert_eq!(parse("create.after_reply:2"), Ok((Point::CreateAfterReply, 2)));
        assert_eq!(parse("create.after_reply"), Ok((Point::CreateAfterReply, 1)));
        for wish in ["create", "create.after_reply:0", "create.after_reply:x", ""] {
            assert!(parse(wish).is_err(), "{wish}");
        }
    }
}
