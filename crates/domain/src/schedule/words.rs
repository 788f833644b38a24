//! The words of schedules and their runs.

use crate::words::words;

words! {
    /// Where a run stands.
    RunState {
        /// It collects; whoever holds its lease goes on with it.
        Started = "started",
        /// It has collected what it found, which may be nothing.
        Finished = "finished",
        /// The schedule was paused.
        Skipped = "skipped",
        /// Nobody was up, until it was too late or a newer night had come.
        Missed = "missed",
    }
}

words! {
    /// What made a run.
    Trigger {
        /// The hour: at most one run for each local date.
        Scheduled = "scheduled",
        /// A person: as many as they like, and none takes the place of the night's.
        Manual = "manual",
    }
}

words! {
    /// How urgent the jobs of a schedule are where a lane is tight.
    Priority {
        /// Before the others.
        High = "high",
        /// As evaluations and embeddings.
        Medium = "medium",
        /// After the others.
        Low = "low",
    }
}

impl Priority {
    /// Its place among jobs; higher goes first. The steps are those of [`Kind::priority`](crate::Kind::priority).
    #[must_use]
    pub fn rank(self) -> i32 {
        match self {
            Self::High => 30,
            Self::Medium => 20,
            Self::Low => 10,
        }
    }
}
