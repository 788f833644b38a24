//! The rules of overnight, without I/O: what a job, a batch, an attempt and a task may become.
//!
//! Every stage of the pipeline has the form *load, act, decide, commit*; this crate is the third word.
//! A decision takes a state and a fact and answers the next state, the next order and the events, with
//! time and ids as arguments. Nothing here opens a socket, a file or a database.
//!
//! # Layout

mod batch;
mod class;
mod clock;
mod cost;
mod event;
mod id;
mod job;
mod order;
mod pack;
mod reconcile;
mod schedule;
mod task;
mod trace;
mod words;

pub use batch::{
    Absence, AttemptEffect, BadLine, Batch, BatchDecision, BatchState, CreateDoubt, CreateKey, End, Fact,
    Loss, Parked, Policy, Refusal, Remote, Resolution, Seen, SettleWindow, UnknownCreate, ValidationFailure,
    decide as decide_batch,
};
pub use class::{ErrorClass, Retry};
pub use clock::{Clock, Date, Time, from_unix};
pub use cost::{Money, Price, PriceEntry, PriceError, PriceFile, PriceTable, Tokens};
pub use event::{Event, EventType, Stream};
pub use id::{AttemptId, BatchId, CommandId, EventId, JobId, RunId, TaskId};
pub use job::{
    HoldReason, Job, JobDecision, JobFact, JobOutcome, JobPolicy, JobState, Kind, ShownState,
    decide as decide_job,
};
pub use order::{Claimed, Command, LONGEST_REST, Lane, NextOrder, failure_backoff, resend_after, rest_asked};
pub use pack::{Limits, PackError, Packer, Place};
pub use reconcile::{BatchTally, Discrepancy, TaskTally};
pub use schedule::{
    ClockChange, NewRun, NightError, Pause, Priority, Rule, RunState, Schedule, ScheduleDecision,
    ScheduleFact, ScheduleTerms, Slot, Ticking, Trigger, decide as decide_schedule,
};
pub use task::{AttemptEnd, AttemptState, TaskNext, TaskState, settle};
pub use trace::{NotATrace, Trace};
