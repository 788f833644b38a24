//! What is left after a scenario, and what the scenario may expect. Plain data: the oracle asks nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liar::Entry;

use crate::books::Books;

/// What is left after a scenario.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What the provider did.
    pub ledger: Vec<Entry>,
    /// What the database says at the end.
    pub books: Books,
    /// What it said in between, oldest first.
    pub earlier: Vec<Books>,
    /// What a consumer of events got, in its order; none where there is no broker.
    pub heard: Option<Vec<Heard>>,
    /// What lies in the dead letters, with its reason; none where there is no broker.
    pub dead: Option<Vec<Dead>>,
    /// Processes that were asked to stop.
    pub drains: Vec<Drain>,
    /// What the scenario expects.
    pub expected: Expected,
}

/// An event that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The event's id.
    pub id: String,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Its body.
    pub body: Vec<u8>,
    /// Why it lies there; empty: nobody said.
    pub reason: String,
}

/// A process that was asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When, in milliseconds since 1970.
    pub asked_at: i64,
    /// How long it took.
    pub took: Duration,
    /// Its exit code; none: it was killed after all.
    pub code: Option<i32>,
    /// The codes of an end in order.
    pub in_order: &'static [i32],
    /// Whether what was uploaded and created meanwhile came from it alone.
    pub alone: bool,
}

/// What a scenario expects.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Tasks that there must be.
    pub tasks: usize,
    /// Whether batches may wait for a person at the end, and why: words of `batches.parked`.
    pub parked: BTreeSet<&'static str>,
    /// Tasks that may have ended otherwise than answered.
    pub may_fail: usize,
    /// Whether answers that may have been billed are asked for again.
    pub retry_paid: bool,
    /// Whether the provider's files were taken away before they could be read.
    pub files_gone: bool,
    /// Time between two looks at a batch.
    pub poll_interval: Duration,
    /// Looks at a batch beyond one each interval: kills, cancels, several processes.
    pub spare_looks: usize,
    /// Nights that must have run once each: the schedule and its date.
    pub nights: Vec<(String, String)>,
    /// Poison that was sent, which must lie in the dead letters.
    pub poison: Vec<Vec<u8>>,
    /// Longest a process may take to stop.
    pub grace: Duration,
    /// Attempts that a task may have had.
    pub attempts: usize,
    /// Failures that an order may have counted: of the work itself, which are neither kills nor outages.
    pub failures: u32,
    /// Creates that a proxy may have sent twice.
    pub doubled: usize,
    /// Whether every reply to a create has reached a process that lived to write it down, so that none may be in doubt.
    pub certain: bool,
    /// Input files that may have been uploaded once more under their name: replies lost, lists that lag, zombies.
    pub spare_files: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            tasks: 0,
            parked: BTreeSet::new(),
            may_fail: 0,
            retry_paid: false,
            files_gone: false,
            poll_interval: Duration::from_secs(1),
            spare_looks: 0,
            nights: Vec::new(),
            poison: Vec::new(),
            grace: Duration::from_secs(26),
            attempts: 1,
            failures: 0,
            doubled: 0,
            certain: false,
            spare_files: 0,
        }
    }
}

/// What broke, by the invariant's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `I1` to `I13`; `I0`: the scenario has shown nothing.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

impl Finding {
    pub(crate) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// A batch in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted<'a> {
    pub(crate) id: &'a str,
    /// Our id of it, as its metadata says.
    pub(crate) ours: &'a str,
    /// Where in the ledger it was accepted.
    pub(crate) from: usize,
    /// Where it ended, and how.
    pub(crate) end: Option<(usize, &'a str)>,
    /// Whether it has an output file.
    pub(crate) has_output: bool,
}

impl Evidence {
    /// The provider's batches, by the provider's id.
    pub(crate) fn accepted(&self) -> BTreeMap<&str, Accepted<'_>> {
        let mut all = BTreeMap::new();
        for (at, entry) in self.ledger.iter().enumerate() {
            match entry {
                Entry::Batch { id, metadata, .. } => {
                    let ours = metadata.get("overnight_batch").map_or("", String::as_str);
                    all.insert(id.as_str(), Accepted { id, ours, from: at, end: None, has_output: false });
                }
                Entry::Ended { batch, status, output, .. } => {
                    if let Some(accepted) = all.get_mut(batch.as_str()) {
                        accepted.end = Some((at, status));
                        accepted.has_output = output.is_some();
                    }
                }
                _ => {}
            }
        }
        all
    }
}
