//! The gateway's promises, over HTTP.
#![expect(clippy::disallowed_methods, reason = "the test is the client")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, its helpers too")]

mod cancel;
mod create;
mod expiry;
mod faults;
mod files;
mod flow;
mod harness;
mod lists;
mod resume;
mod validation;
