//! What comes back older: the database is a copy from before its batches went out.

use crash::Step;
use liar::Settings;

use super::super::passes::{comes_by, write_down};
use super::super::restores::restored;
use super::Turn;
use crate::ground::{Ground, held};
use crate::laptop::SOON;
use crate::scenario::Outcome;

pub(super) const TURNS: &[Turn<Ground>] = &[
    Turn { name: "an older backup is audited", steps: &[Step::Audit], run: audited },
    Turn { name: "a batch of an older backup is found late", steps: &[Step::Adopt], run: adopted },
];

fn audited(ground: Ground, wish: &str) -> Outcome {
    let mut ground = restored(ground);
    ground.go_on(Some(wish));
    take_in(ground)
}

/// The list is behind: the audit finds nothing, and the look for the file's batch does.
fn adopted(ground: Ground, wish: &str) -> Outcome {
    let mut ground = restored(ground);
    ground.liar().set(&Settings { lag_ms: 600_000, ..held() });
    // Between the audit and the look for files there is time for the list to come up to date.
    let wish =
        format!("provider.list_files.before:1:sleep:3000,provider.list_files.before:2:sleep:3000,{wish}");
    let log = write_down(ground.home(), "audit");
    ground.go_on(Some(&wish));
    assert!(comes_by(&log, "provider.list_batches.after:1", SOON), "the list is audited");
    ground.liar().set(&held());
    take_in(ground)
}

/// All that is out is ours again, and ends.
fn take_in(mut ground: Ground) -> Outcome {
    ground.until_all_are_out();
    ground.let_run();
    ground.finish()
}
