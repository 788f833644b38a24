//! The queue from outside, on a real broker: `promises` on one that runs already, `outages` on brokers of
//! their own that are killed, wiped and starved.
#![expect(clippy::disallowed_methods, reason = "the bare queue is what is tested")]
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]

mod outages;
mod promises;
mod rig;
