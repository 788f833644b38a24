//! What many open batches cost the provider: lists instead of single looks, and quiet where it is too busy.

use std::time::Duration;

use liar::{Entry, Fate, Liar, Op, Rule, Settings};
use testkit::Fleet;

const PATIENCE: Duration = Duration::from_secs(60);
const BATCHES: i64 = 7;

/// Requests of a kind so far.
fn asked(liar: &Liar, wanted: Op) -> usize {
    let ledger = liar.ledger();
    ledger.iter().filter(|entry| matches!(entry, Entry::Request { op, .. } if *op == wanted)).count()
}

/// Rounds of looks so far: every answered look raises an order's number.
fn looks(fleet: &Fleet) -> i64 {
    fleet.number("SELECT coalesce(sum(seq % 1000000), 0)::bigint FROM orders WHERE lane = 'poll'")
}

#[test]
fn what_is_open_is_looked_at_through_the_list_and_a_busy_provider_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let liar = Liar::start(folder.path());
    let held = Settings { fate: Fate { held: true, ..Fate::default() }, ..Settings::default() };
    liar.set(&held);
    let home = crate::overnight()
        .with("OVERNIGHT_PROVIDER", "openai")
        .with("OPENAI_API_KEY", "sk-test")
        .with("OPENAI_BASE_URL", &liar.base_url())
        .with("BATCH_MAX_REQUESTS", "1")
        .with("BATCH_POLL_INTERVAL_MS", "2000");
    let mut fleet = Fleet::new(home);
    fleet.start("submitter", "submitter");
    let files = testkit::write_records(fleet.home.folder(), 7, 100);
    let _ = fleet.home.run(&["batch", "submit", "product-labeling", "--files", &files]).exits(0);
    fleet.until("SELECT count(*) FROM batches WHERE state = 'open'", BATCHES, PATIENCE);
    let (listed, before) = (asked(&liar, Op::ListBatches), looks(&fleet));
    fleet.start("poller", "poller");
    testkit::until("each was looked at five times", || looks(&fleet) >= before + 5 * BATCHES);
    let (lists, singly) = (asked(&liar, Op::ListBatches) - listed, asked(&liar, Op::GetBatch));
    // A slow machine may part a round in two, and leave one batch alone.
    assert!(lists <= 15 && singly <= 5, "{lists} lists and {singly} single looks for five rounds");
    liar.tell(Rule::of(Op::ListBatches).times(0).refused(429, "rate_limit_exceeded"));
    let resting = "SELECT count(*) FROM orders WHERE lane = 'poll' AND outages > 0";
    fleet.until(resting, BATCHES, PATIENCE);
    let instead = asked(&liar, Op::GetBatch) - singly;
    assert!(instead <= 2, "{instead} single looks in the list's stead");
    liar.forget_rules();
    liar.set(&Settings { run_held: true, ..held });
    fleet.until("SELECT count(*) FROM batches WHERE state = 'collected'", BATCHES, PATIENCE);
}
