//! A provider that lies on demand: a stand-in for the Files and Batches API over real HTTP, for tests.
//!
//! It is honest until a [`Rule`] tells it otherwise. What it did, whatever it said, stands in its ledger, which is
//! on the disk before anybody can see the effect. It never calls a model, and nothing of it is in the product.

#![expect(clippy::expect_used, reason = "a stand-in whose disk or port fails has failed its test")]

mod answer;
mod handle;
mod http;
mod ledger;
mod line;
mod rule;
mod run;
mod serve;
mod world;

pub use handle::Liar;
pub use ledger::{Entry, Ledger, Shown};
pub use rule::{Act, End, Fate, Fence, LineFault, Op, Reply, Rule, Settings};
pub use serve::serve;
