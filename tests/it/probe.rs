//! The probe: what it finds of a provider that keeps to the assumptions, and of one that doesn't; nothing before a
//! person has agreed, and nothing left behind.

use liar::{End, Entry, Fate, Fence, Liar, Op, Rule, Settings};
use serde_json::Value;
use testkit::Overnight;

fn client(liar: &Liar) -> Overnight {
    crate::against(&liar.base_url()).with("SUBMIT_SETTLE_MS", "1000")
}

/// A stand-in whose batches run until they are cancelled.
fn liar(folder: &tempfile::TempDir, settings: Settings) -> Liar {
    let liar = Liar::start(folder.path());
    liar.set(&Settings { fate: Fate { held: true, ..Fate::default() }, ..settings });
    // It takes any endpoint; the first create names one that the real one refuses.
    liar.tell(Rule::of(Op::Create).refused(400, "invalid_request"));
    liar
}

fn holds<'a>(document: &'a Value, check: &str) -> &'a str {
    let all = document["findings"].as_array().unwrap();
    let found = all.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} is not in {document}"))["holds"].as_str().unwrap()
}

const PROBE: [&str; 5] = ["probe", "--yes", "--timeout", "2s", "--json"];

#[test]
fn nothing_is_sent_before_a_person_has_agreed() {
    let folder = tempfile::tempdir().unwrap();
    let liar = liar(&folder, Settings::default());
    let overnight = client(&liar);
    let ran = overnight.run(&["probe"]).exits(2);
    assert!(ran.stderr.contains("Highest price: <$0.0001") && ran.stderr.contains("--yes"), "{}", ran.stderr);
    let asked = liar.ledger().iter().filter(|entry| matches!(entry, Entry::Request { .. })).count();
    assert_eq!(asked, 0, "nothing was asked");
    let _ = overnight.run(&["probe", "show"]).exits(1);
}

#[test]
fn a_provider_that_keeps_to_the_assumptions_is_found_to() {
    for fence in [Fence::BatchFails, Fence::CreateFails] {
        let folder = tempfile::tempdir().unwrap();
        let liar = liar(&folder, Settings { fence, ..Settings::default() });
        let overnight = client(&liar);
        let found = overnight.run(&PROBE).exits(0).json();
        for check in [
            "file_listed",
            "refusal",
            "create",
            "metadata",
            "batch_listed",
            "file_in_use",
            "cancel",
            "fence",
            "cleanup",
        ] {
            assert_eq!(holds(&found, check), "yes", "{check} with {fence:?} in {found}");
        }
        assert_eq!(overnight.run(&["probe", "show", "--json"]).exits(0).json(), found, "it is kept");
        assert!(overnight.run(&["doctor"]).exits(0).stdout.contains("probed"));
        let billed =
            liar.ledger().iter().filter(|entry| matches!(entry, Entry::Line { billed: true, .. })).count();
        assert_eq!(billed, 0, "its batches were cancelled");
        // Whoever relies on the fence is not warned any more; the audit doesn't take the probe's batches for a job's.
        let submit = ["batch", "submit", "product-labeling", "--files", &testkit::sample_issues()];
        let ran = overnight.with("SUBMIT_UNKNOWN", "fence").run(&submit).exits(0);
        assert!(!ran.stderr.contains("no probe has shown"), "{}", ran.stderr);
    }
}

#[test]
fn a_deletion_that_fences_nothing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let liar = liar(&folder, Settings { fence: Fence::Nothing, ..Settings::default() });
    let overnight = client(&liar);
    let found = overnight.run(&PROBE).exits(1).json();
    assert_eq!((holds(&found, "fence"), holds(&found, "refusal")), ("no", "yes"), "{found}");
    let doctor = overnight.run(&["doctor"]).exits(1).stdout;
    assert!(doctor.contains("an assumption does not hold: fence"), "{doctor}");
    let submit = ["batch", "submit", "product-labeling", "--files", &testkit::sample_issues()];
    let ran = overnight.with("SUBMIT_UNKNOWN", "fence").run(&submit).exits(0);
    assert!(ran.stderr.contains("no probe has shown"), "{}", ran.stderr);
}

#[test]
fn where_no_create_succeeds_a_refusal_says_nothing_of_the_fence() {
    let folder = tempfile::tempdir().unwrap();
    let liar = Liar::start(folder.path());
    liar.tell(Rule::of(Op::Create).times(0).refused(400, "invalid_request"));
    let found = client(&liar).run(&PROBE).json();
    assert_eq!((holds(&found, "create"), holds(&found, "fence")), ("unknown", "unknown"), "{found}");
}

#[test]
fn a_batch_that_fails_for_another_reason_than_its_file_says_nothing_of_the_fence() {
    let fails =
        |code: &str| Fate { end: End::Fails { code: code.to_owned(), line: None }, ..Fate::default() };
    // Both fail alike; and the first one passes, but the second one finds no room.
    for (first, second) in [("invalid_model", "invalid_model"), ("", "token_limit_exceeded")] {
        let folder = tempfile::tempdir().unwrap();
        let liar = liar(&folder, Settings { fence: Fence::Nothing, ..Settings::default() });
        if !first.is_empty() {
            liar.tell(Rule::of(Op::Create).from(2).fate(fails(first)));
        }
        liar.tell(Rule::of(Op::Create).from(3).fate(fails(second)));
        let found = client(&liar).run(&PROBE).json();
        assert_eq!((holds(&found, "create"), holds(&found, "fence")), ("yes", "unknown"), "{found}");
        assert!(found.to_string().contains(second), "the reason is told: {found}");
    }
}

#[test]
fn a_list_that_lags_and_a_refusal_that_creates_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let liar = liar(&folder, Settings { lag_ms: 60_000, ..Settings::default() });
    let found = client(&liar).run(&PROBE).exits(1).json();
    assert_eq!(holds(&found, "batch_listed"), "no", "{found}");
    liar.set(&Settings { fate: Fate { held: true, ..Fate::default() }, ..Settings::default() });
    liar.forget_rules();
    // Refused in words, and carried out.
    let error =
        liar::Reply::Error { status: 400, code: Some("invalid_request".to_owned()), retry_after: None };
    liar.tell(Rule::of(Op::Create).reply(error));
    let found = client(&liar).run(&PROBE).json();
    assert_eq!(holds(&found, "refusal"), "no", "{found}");
}
