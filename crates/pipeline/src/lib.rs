//! The stages of a night: plan, submit, poll, collect, settle, and the relay that sends their orders; and
//! the clock that begins one, `tick`; and the inbox, where commands from outside become jobs.
//!
//! Every stage has the form *load, act, decide, commit*. A stage knows no other stage: what comes next is
//! an order in the database. The machine that claims, runs and gives back (`worker`) knows no stage's
//! work, and the stages know no loop.
//!
//! # Layout

mod audit;
mod cloud_event;
mod collect;
mod command;
mod context;
mod engine;
mod failure;
mod gather;
mod inbox;
mod input_file;
mod night;
mod notify;
mod outcome;
mod outside;
mod plan;
mod poll;
mod preview;
mod probe;
mod reconcile;
mod relay;
mod resolve;
mod rest;
mod run;
mod seen;
mod select;
mod settle;
mod submit;
mod tick;
mod ticker;
mod uploads;
mod word;
mod worker;

pub use cloud_event::{cloud_event, source};
pub use collect::tidy_spool;
pub use context::{Context, PipelineConfig, Provider};
pub use engine::Engine;
pub use failure::Failure;
pub use inbox::read_inbox;
pub use night::Night;
pub use notify::EVENT_MEMORY;
pub use outside::ping;
pub use preview::{Preview, PreviewRow};
pub use probe::{
    FENCE, Finding, Holds, PROBE_BATCHES, PROBE_INPUT_TOKENS, PROBE_OUTPUT_TOKENS, ProbePlan, probe,
};
pub use resolve::resolve;
pub use run::Ran;
pub use tick::{RunNowError, ensure, run_now, schedules, tick, wind};
pub use ticker::{Said, TickerError, keep_time};
pub use word::release_disabled;
pub use worker::chain;
