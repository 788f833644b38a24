//! The API's promises, over a real socket, on both databases.
#![expect(clippy::disallowed_methods, reason = "the test is the client")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod cancel;
mod create;
mod form;
mod harness;
mod idempotency;
mod list;
mod probes;
mod refusals;
mod results;
mod retry;
mod schedule;
mod status;
mod tokens;
