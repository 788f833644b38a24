//! A database comes back older than what the provider has, or is copied and works twice.

use testkit::Database;

use super::passes::Night;
use crate::ground::{Ground, Pair, held};
use crate::scenario::{Outcome, Scenario};
use crate::site::Site;

/// All of them, on a pair of backends.
#[must_use]
pub fn on(pair: Pair) -> Vec<Scenario> {
    vec![
        Scenario::new(pair, "outage", "an older backup is restored while batches are out", move |site| {
            older_backup(pair.evening(site))
        }),
        Scenario::new(
            pair,
            "outage",
            "a copy with a tag of its own works beside the original",
            move |site| copied(site, pair.evening(site)),
        ),
    ]
}

/// A copy of the database from before the uploads takes the place of the one that has submitted: the audit finds what is
/// out, and adopts it.
fn older_backup(mut ground: Ground) -> Outcome {
    ground.expected().spare_looks += 4;
    let mut ground = restored(ground);
    ground.go_on(None);
    ground.let_run();
    ground.finish()
}

/// A night that is at the provider, and then its database as it was when all was planned and nothing had gone up.
pub(super) fn restored(mut ground: Ground) -> Ground {
    ground.liar().set(&held());
    // Two batches are submitted at a time.
    let slow = "provider.upload.before:1:sleep:30000,provider.upload.before:2:sleep:30000";
    ground.begin(Night::ByHand, Some(slow));
    ground.until("all is planned", "SELECT 6 - count(*) FROM batches WHERE state = 'planned'");
    ground.kill();
    ground.back_up();
    ground.go_on(None);
    ground.until_all_are_out();
    ground.kill();
    ground.restore();
    ground
}

/// A copy of the database, whose batches are out, is given a tag of its own, and both collect them at the same time.
fn copied(site: &Site, mut ground: Ground) -> Outcome {
    // Both look at the same batches.
    ground.expected().spare_looks = 60;
    ground.liar().set(&held());
    ground.begin(Night::ByHand, None);
    ground.until_all_are_out();
    ground.kill();
    let mut copied = site.overnight(&ground.liar().base_url());
    let copy = ground.copy_to(&mut copied);
    let _ = copied.run(&["instance", "rotate"]).exits(0);
    ground.go_on(None);
    let mut beside = copied.spawn(&["up"]);
    ground.let_run();
    let _ = ground.wait();
    let answered = "SELECT count(*) FROM batch_job_tasks WHERE status = 'succeeded'";
    let (copy, answers) = (Database::at(&copy), ground.number(answered));
    testkit::until("the copy has every answer", || copy.number(answered) == answers);
    crate::laptop::send(beside.id(), "TERM");
    let ended = beside.wait().expect("a child of ours");
    assert_eq!(ended.code(), Some(0), "the copy ends when it is asked to");
    ground.finish()
}
