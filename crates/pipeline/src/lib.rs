//! The stages of a night: plan, submit, poll, collect, settle, and the relay that sends their orders.
//!
//! Every stage has the form *load, act, decide, commit*. A stage knows no other stage: what comes next is
//! an order in the database. The machine that claims, runs and gives back (`worker`) knows no stage's
//! work, and the stages know no loop.
//!
//! # Layout

mod audit;
mod collect;
mod context;
mod engine;
mod estimate;
mod failure;
mod input_file;
mod intake;
mod line;
mod outcome;
mod plan;
mod poll;
mod reconcile;
mod relay;
mod resolve;
mod seen;
mod settle;
mod submit;
mod word;
mod worker;

pub use collect::tidy_spool;
pub use context::{Context, PipelineConfig, Provider};
pub use engine::Engine;
pub use estimate::Estimate;
pub use failure::Failure;
pub use intake::{Intake, IntakeError, Outcome, Request, Skipped, Source, record_row};
pub use resolve::resolve;
pub use word::{cancel_job, release_disabled};
