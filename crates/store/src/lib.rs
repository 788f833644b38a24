//! All SQL of overnight, and the one door through which a state changes: [`Store::commit_batch`] and
//! [`Store::commit_job`].
//!
//! A write states what it believed (`WHERE id AND version`), and "someone was faster" is an ordinary
//! outcome. Nothing here talks to the provider or to a queue, and no transaction is open across a call
//! that leaves the database. What the two databases do differently stands in `dialect.rs`.
//!
//! # Layout

mod accept;
mod backlog;
mod batch;
mod collect;
mod commit;
mod dialect;
mod ending;
mod error;
mod event;
mod gauge;
mod instance;
mod job;
mod job_list;
mod late;
mod lease;
mod left_out;
mod open;
mod order;
mod origin;
mod plan;
mod probe;
mod record;
mod result;
mod retry;
mod run;
mod schedule;
mod silence;
mod sql;
mod task;
mod token;

pub use accept::{Accept, Accepted, NewJob, NewTask, Taken};
pub use backlog::{Backlog, BacklogTask, Claim, Place, Was};
pub use batch::{BatchRow, RequestRow};
pub use collect::{ChunkTally, SettleRules, SettledLine, Usage};
pub use commit::Commit;
pub use error::StoreError;
pub use event::{EventPlace, EventRow};
pub use gauge::{Gauges, ScheduleGauge};
pub use job::{Find, JobRow};
pub use job_list::JobFilter;
pub use left_out::LeftOut;
pub use open::{Store, StoreOptions, sqlite_file, without_password};
pub use order::{DueOrder, Release};
pub use origin::{CommandRef, Idempotency, Origin};
pub use plan::{PlanChunk, PlannedBatch, PlannedLine, Unplanned};
pub use probe::ProbeRow;
pub use record::RecordRow;
pub use result::ResultRow;
pub use retry::{KeptTask, RetryFilter, RetryGroup, RetryScope};
pub use run::{RunClaim, RunEnd, RunPart, RunRow};
pub use task::{ErrorGroup, Known, TaskRow};
pub use token::TokenRow;

/// Rows per statement: the optimum on both databases, and far below what either can bind.
pub const CHUNK: usize = 500;

/// The same for rows that carry a body. A statement that is kept prepared keeps the last bodies that went
/// through it, too.
pub(crate) const BODIES: usize = 50;
