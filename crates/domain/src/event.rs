//! What outsiders hear: the events that a decision causes.
//!
//! The envelope (CloudEvents) is put on when an event is read; what is stored is what happened.

use serde_json::Value;

use crate::words::words;
use crate::{CommandId, EventId, JobId, Trace};

words! {
    /// What happened; the word is the CloudEvents type behind `dev.overnight.`.
    EventType {
        /// A job was accepted.
        JobAccepted = "job.accepted.v1",
        /// A job reached its one end, whichever.
        JobCompleted = "job.completed.v1",
        /// A task reached its one outcome.
        TaskCompleted = "task.completed.v1",
        /// An attempt that had ended without an answer was answered after all; the task keeps its outcome.
        TaskAnsweredLate = "task.answered_late.v1",
        /// A provider batch exists.
        BatchCreated = "batch.created.v1",
        /// Nobody knows whether a create has made a batch.
        BatchUnknown = "batch.unknown.v1",
        /// A batch waits for a person.
        BatchParked = "batch.parked.v1",
        /// A person decided about a batch that waited for one.
        BatchResolved = "batch.resolved.v1",
        /// The provider had a second batch of the same requests.
        BatchSpareFound = "batch.spare_found.v1",
        /// The provider reports another status.
        BatchStatusChanged = "batch.status_changed.v1",
        /// A run of a schedule began.
        ScheduleRunStarted = "schedule.run.started.v1",
        /// A run has collected what it found.
        ScheduleRunFinished = "schedule.run.finished.v1",
        /// A night passed without a run: the schedule was paused, or nobody was up.
        ScheduleRunSkipped = "schedule.run.skipped.v1",
        /// A person paused a schedule.
        SchedulePaused = "schedule.paused.v1",
        /// A person let a schedule go on.
        ScheduleResumed = "schedule.resumed.v1",
        /// A command from outside can't be carried out.
        CommandRefused = "command.refused.v1",
        /// All that a command from outside names is answered or on its way.
        CommandFoundNothing = "command.found_nothing.v1",
    }
}

/// What an event belongs to: sequence numbers order the events of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// A job.
    Job(JobId),
    /// A schedule, by its name.
    Schedule(String),
    /// A command from outside of which no job came.
    Command(CommandId),
}

impl Stream {
    /// The job, if it is one.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        if let Self::Job(id) = self { Some(*id) } else { None }
    }
}

impl std::fmt::Display for Stream {
    /// The partition key that outsiders see.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(id) => id.fmt(f),
            Self::Schedule(name) => write!(f, "schedule/{name}"),
            Self::Command(id) => write!(f, "command/{id}"),
        }
    }
}

/// An event, before it has a sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The same for the same occurrence.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// What it is about, such as `job/…` or `job/…/task/…`.
    pub subject: String,
    /// What it belongs to.
    pub stream: Stream,
    /// The facts.
    pub data: Value,
    /// Its place in a trace; none: the job's.
    pub trace: Option<Trace>,
}

impl Event {
    /// An event whose id follows from its type, its subject and `occurrence` (what tells two of the same
    /// type about the same subject apart; empty where there can be only one).
    #[must_use]
    pub fn new(event_type: EventType, job: JobId, subject: String, occurrence: &str, data: Value) -> Self {
        let id = EventId::of(event_type.as_str(), &subject, occurrence);
        Self { id, event_type, subject, stream: Stream::Job(job), data, trace: None }
    }

    /// The same of a schedule; `schedule/NAME` is its subject.
    #[must_use]
    pub fn of_schedule(event_type: EventType, name: &str, occurrence: &str, data: Value) -> Self {
        let stream = Stream::Schedule(name.to_owned());
        let subject = stream.to_string();
        let id = EventId::of(event_type.as_str(), &subject, occurrence);
        Self { id, event_type, subject, stream, data, trace: None }
    }

    /// The same of a command from outside; it is said once of each.
    #[must_use]
    pub fn of_command(event_type: EventType, command: CommandId, data: Value) -> Self {
        let stream = Stream::Command(command);
        let subject = stream.to_string();
        let id = EventId::of(event_type.as_str(), &subject, "");
        Self { id, event_type, subject, stream, data, trace: None }
    }

    /// The same, at a place in a trace.
    #[must_use]
    pub fn at(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saying_it_twice_gives_the_same_id() {
        let job = JobId(uuid::Uuid::from_u128(1));
        let say = |occurrence| {
            Event::new(EventType::BatchStatusChanged, job, "batch/b".into(), occurrence, Value::Null).id
        };
        assert_eq!(say("completed"), say("completed"));
        assert_ne!(say("completed"), say("expired"));
    }
}
