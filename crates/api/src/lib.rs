//! The REST API of the product: jobs wished for, watched, read and cancelled over HTTP.
//!
//! It reads and writes rows and nothing else: it knows no queue and no provider, so it answers while both
//! are away, and whoever runs the stages carries out what it has written. A handler states a wish through
//! `reception`, or shows what `store` has.
//!
//! # Layout

mod batch;
mod cancel;
mod create;
mod find;
mod form;
mod gate;
mod hook;
mod job;
mod list;
mod probe;
mod refusal;
mod result;
mod results;
mod schedule;
mod server;
mod status;

pub use batch::job_with_batches;
pub use hook::{HookSecret, NoHookSecret};
pub use job::{job, shown as job_shown};
pub use result::{cells, columns, document};
pub use server::{Api, Check, router};
