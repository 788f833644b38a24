//! Where wishes arrive, whoever brings them: records checked, weighed and accepted as a job, and what a
//! person says about a job or a schedule that is there.
//!
//! It writes to the store and to nothing else: it knows no queue and no provider, so that the API can use
//! it, and a wish is taken while both are away.
//!
//! # Layout

mod asked;
mod estimate;
mod failed;
mod house;
mod inline;
mod intake;
mod line;
mod named;
mod receive;
mod refusal;
mod schedule;
mod trace;
mod wish;
mod word;

pub use estimate::Estimate;
pub use failed::Failed;
pub use house::House;
pub use inline::InlineRecord;
pub use intake::{Intake, IntakeError, Outcome, Request, Skipped, Source, record_row};
pub use line::{LineError, line};
pub use named::{MOST_NAME, find_job, older_than, plain, priority, word};
pub use receive::{Received, brought_before, receive, weigh};
pub use refusal::Refusal;
pub use schedule::{
    ScheduleError, change_schedule, known_schedule, night_on_record, set_repo, tell_schedule,
};
pub use wish::{FILTER_DEFAULT, MOST_NAMED, Prepared, Wish, Work};
pub use word::{WordError, cancel_job, tell_job};
