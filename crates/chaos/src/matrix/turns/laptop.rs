//! What comes back older: the folder of a laptop is a copy from before its batches went out.

use crash::Step;
use liar::Settings;

use super::super::outages::{held, restored};
use super::super::passes::{comes_by, write_down};
use super::{ALL_OUT, Turn};
use crate::laptop::{Laptop, SOON, Waited};
use crate::scenario::Outcome;

pub(super) const TURNS: &[Turn<Laptop>] = &[
    Turn { name: "an older backup is audited", steps: &[Step::Audit], run: audited },
    Turn { name: "a batch of an older backup is found late", steps: &[Step::Adopt], run: adopted },
];

fn audited(laptop: Laptop, wish: &str) -> Outcome {
    let mut laptop = restored(laptop, &held());
    laptop.go_on(Some(wish));
    take_in(laptop)
}

/// The list is behind: the audit finds nothing, and the look for the file's batch does.
fn adopted(laptop: Laptop, wish: &str) -> Outcome {
    let mut laptop = restored(laptop, &held());
    laptop.liar.set(&Settings { lag_ms: 600_000, ..held() });
    // Between the audit and the look for files there is time for the list to come up to date.
    let wish =
        format!("provider.list_files.before:1:sleep:3000,provider.list_files.before:2:sleep:3000,{wish}");
    let log = write_down(&mut laptop.home, "audit");
    laptop.go_on(Some(&wish));
    assert!(comes_by(&log, "provider.list_batches.after:1", SOON), "the list is audited");
    laptop.liar.set(&held());
    take_in(laptop)
}

/// All that is out is ours again, and ends.
fn take_in(mut laptop: Laptop) -> Outcome {
    if laptop.wait_until(SOON, ALL_OUT) == Waited::Gone {
        laptop.go_on(None);
        laptop.until("all batches are out", ALL_OUT);
    }
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    laptop.finish()
}
