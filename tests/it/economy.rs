//! What many open batches cost the provider: lists instead of single looks, and quiet where it is too busy.

use std::path::Path;
use std::time::Duration;

use liar::{Act, Entry, Fate, Liar, Op, Reply, Rule, Settings};
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

/// A provider that runs nothing yet, and a fleet with open batches at it, whose roles are one submitter.
fn with_open_batches(folder: &Path) -> (Liar, Settings, Fleet) {
    let liar = Liar::start(folder);
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
    (liar, held, fleet)
}

#[test]
fn what_is_open_is_looked_at_through_the_list_and_a_busy_provider_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (liar, held, mut fleet) = with_open_batches(folder.path());
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

/// All requests of a kind are refused for being too many, and told to come back after so many seconds.
fn too_often(op: Op, retry_after: u64) -> Rule {
    let (code, retry_after) = (Some("rate_limit_exceeded".to_owned()), Some(retry_after));
    Rule::of(op).times(0).act(Act::Never).reply(Reply::Error { status: 429, code, retry_after })
}

#[test]
fn all_pollers_rest_once_one_look_was_one_too_many_and_none_for_longer_than_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (liar, _, mut fleet) = with_open_batches(folder.path());
    // A list that can't be had: each is looked at by itself.
    liar.tell(Rule::of(Op::ListBatches).times(0).refused(404, "not_found"));
    liar.tell(too_often(Op::GetBatch, 5));
    fleet.start("poller-1", "poller");
    fleet.start("poller-2", "poller");
    let rests = "SELECT count(*) FROM leases WHERE name = 'rest/openai' AND until > clock_timestamp()";
    fleet.until(rests, 1, PATIENCE);
    testkit::until("the rest is over", || {
        let (looks, over) = (asked(&liar, Op::GetBatch), fleet.number(rests) == 0);
        // One message is in work, or two on a machine that parts a round; none of them asks twice.
        assert!(over || looks <= 2, "{looks} looks before the rest is over");
        over
    });
    liar.forget_rules();
    let before = looks(&fleet);
    testkit::until("each was looked at twice", || looks(&fleet) >= before + 2 * BATCHES);
    liar.tell(too_often(Op::ListBatches, 9_000_000_000_000));
    let an_hour = |column: &str| {
        format!(
            "{column} BETWEEN clock_timestamp() + interval '50 min' AND clock_timestamp() + interval '1 hour'"
        )
    };
    let due = format!("SELECT count(*) FROM orders WHERE lane = 'poll' AND {}", an_hour("due_at"));
    fleet.until(&due, BATCHES, PATIENCE);
    let rests = format!("SELECT count(*) FROM leases WHERE name = 'rest/openai' AND {}", an_hour("until"));
    assert_eq!(fleet.number(&rests), 1);
}
