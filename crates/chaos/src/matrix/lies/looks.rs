//! Lies about open batches: their status, and how they end.

use liar::{End, Fate, LineFault, Op, Reply, Rule, Settings};

use super::Lie;

const LOOKS: &[&str] = &["provider.look", "store.poll"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn lies() -> Vec<Lie> {
    // What no list shows is looked at by itself.
    let unlisted = || Settings { lag_ms: 600_000, run_held: true, ..Settings::default() };
    let look = |name, times, reply| {
        let rule = Rule::of(Op::GetBatch).times(times).reply(reply);
        Lie::new(name, LOOKS).settings(unlisted()).rule(rule).once_all_are_out()
    };
    let fate = |name, fate| Lie::new(name, LOOKS).rule(Rule::of(Op::Create).fate(fate));
    let statuses = |all| Fate { statuses: words(all), ..Fate::default() };
    let fails =
        |code: &str, line| Fate { end: End::Fails { code: code.to_owned(), line }, ..Fate::default() };
    let server_error = Reply::Error { status: 500, code: None, retry_after: None };
    let gone = Reply::Error { status: 404, code: None, retry_after: None };
    vec![
        look("looks fail", 5, server_error),
        look("looks are cut", 5, Reply::CutJson(40)),
        look("looks are torn", 5, Reply::CutWire(40)),
        look("looks are garbage", 5, Reply::Garbage),
        look("looks are dropped", 5, Reply::Drop),
        look("a batch is unknown for two looks", 2, gone.clone()).expect(|expected| expected.failures = 2),
        // Its id was told, so that it exists: what has just been created may not be known everywhere.
        look("no batch is known for a while", 40, gone)
            .with("SUBMIT_SETTLE_MS", "60000")
            .expect(|expected| expected.failures = 4),
        fate("statuses go backwards", statuses(&["finalizing", "in_progress", "validating"])),
        fate("ends are told before there are files", statuses(&["completed", "completed", "expired"]))
            .expect(|expected| expected.failures = 3),
        fate("an expiry is told before it is so", statuses(&["expired", "expired", "cancelled"]))
            .expect(|expected| expected.failures = 3),
        fate("an end is told while the batch runs", statuses(&["completed", "in_progress", "in_progress"])),
        fate("statuses that nobody knows", statuses(&["resting", "COMPLETED?", ""])),
        fate("out of enqueued tokens", fails("token_limit_exceeded", None)).heals(),
        fate("the account is at its limit", fails("billing_hard_limit_reached", None)).heals(),
        fate("a line is malformed", fails("invalid_json_line", Some(1)))
            .expect(|expected| expected.may_fail = 1),
        fate("expires before anything ran", Fate { end: End::Expires(0), ..Fate::default() })
            .expect(|expected| expected.attempts = 2),
        fate("expires with a part done", Fate { end: End::Expires(1), ..Fate::default() })
            .with("BATCH_MAX_REQUESTS", "2")
            .expect(|expected| expected.attempts = 2),
        fate(
            "completed with nothing but an error file",
            Fate { lines: vec![(1, LineFault::Http(400))], ..Fate::default() },
        )
        .expect(|expected| expected.may_fail = 1),
        fate("an error file whose id is empty", Fate { empty_error_id: true, ..Fate::default() }),
    ]
}
