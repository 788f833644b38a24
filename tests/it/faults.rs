//! A provider that errs: every task ends in one outcome, and the sums agree.

use liar::{End, Fate, Liar, LineFault, Op, Rule, Settings};
use testkit::Database;

/// 5 % of rows refused, 1 % of lines missing, 1 % torn, one batch expired half-way.
const FAULTS: &str = "rate_limited=0.03,server_error=0.02,missing=0.01,broken_json=0.01,expire_after_rows=0.5,expire_batches=1,seed=3";

#[test]
fn every_task_ends_in_one_outcome() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", FAULTS).with("BATCH_MAX_REQUESTS", "150");
    let files = testkit::write_records(overnight.folder(), 600, 400);
    let ran = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &files]).exits(6);
    assert!(ran.stdout.contains("completed_with_errors"), "{}", ran.stdout);

    let database = overnight.database();
    let outcomes = "SELECT succeeded + failed + expired + cancelled + missing FROM batch_jobs";
    assert_eq!(database.number(outcomes), 600);
    for state in ["succeeded", "failed", "missing"] {
        let counted =
            database.number(&format!("SELECT count(*) FROM batch_job_tasks WHERE status = '{state}'"));
        assert!(counted > 0, "none {state}");
        assert_eq!(counted, database.number(&format!("SELECT {state} FROM batch_jobs")), "{state}");
    }
    // Refused and expired lines went out again, and no task more often than allowed.
    assert!(database.number("SELECT count(*) FROM attempts WHERE state = 'expired'") >= 75);
    assert!(database.number("SELECT max(attempts) FROM batch_job_tasks") > 1);
    assert!(database.number("SELECT max(attempts) FROM batch_job_tasks") <= 3);
    // What may have been billed did not go out again: nobody said so.
    let paid = "SELECT count(*) FROM attempts a JOIN attempts b ON b.task_id = a.task_id AND b.number > a.number \
        WHERE a.error_class IN ('no_response', 'transient_parse')";
    assert_eq!(database.number(paid), 0);
    // The sums of cost agree: job and attempts, and the tokens with the provider's ledger.
    assert_eq!(
        database.number("SELECT sum(cost) FROM attempts"),
        database.number("SELECT cost FROM batch_jobs")
    );
    let tokens = "SELECT sum(input_tokens) FROM attempts WHERE state = 'succeeded'";
    let answered =
        overnight.ledger().number("SELECT sum(input_tokens) FROM served_runs WHERE status_code = 200");
    let unseen = "SELECT count(*) FROM attempts WHERE error_class IN ('no_response', 'transient_parse')";
    assert!(database.number(tokens) <= answered);
    assert_eq!(database.number(unseen), database.number("SELECT unpriced FROM batch_jobs"));
    // The provider ran no request twice that it had billed.
    let ledger = overnight.ledger();
    let runs = ledger.number("SELECT count(*) FROM served_runs WHERE status_code = 200");
    assert_eq!(
        runs,
        ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs WHERE status_code = 200")
    );
}

/// Runs ten records against a provider with one fault on every row; answers the one class and outcome.
fn all_rows(fault: &str, code: i32) -> (String, String) {
    let overnight =
        crate::overnight().with("OVERNIGHT_SIM", &format!("{fault}=1")).with("BATCH_TASK_MAX_ATTEMPTS", "2");
    let files = testkit::write_records(overnight.folder(), 10, 100);
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &files]).exits(code);
    let one = |column: &str| {
        let found = overnight
            .database()
            .texts(&format!("SELECT DISTINCT coalesce({column}, '-') FROM batch_job_tasks"));
        assert_eq!(found.len(), 1, "{column}: {found:?}");
        found[0].clone()
    };
    (one("status"), one("error_class"))
}

#[test]
fn what_failed_is_submitted_again_as_its_hint_says() {
    let mut overnight = crate::overnight().with("OVERNIGHT_SIM", "schema_break=1");
    let files = testkit::write_records(overnight.folder(), 3, 100);
    let submit = ["batch", "submit", "product-labeling", "--wait", "--json", "--files", &files];
    let _ = overnight.run(&submit).exits(5);
    let hint = overnight.only_job()["errors"][0]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("batch submit take the same files again"), "{hint}");
    overnight.unset("OVERNIGHT_SIM");
    let again = overnight.run(&submit).exits(0);
    assert_eq!(again.json()["tasks"]["succeeded"], 3);
}

#[test]
fn each_fault_has_its_class() {
    let cases = [
        ("rate_limited", 5, "failed", "rate_limited"),
        ("server_error", 5, "failed", "server_error"),
        ("missing", 5, "missing", "no_response"),
        ("broken_json", 5, "failed", "transient_parse"),
        ("status_zero", 5, "failed", "no_response"),
        ("schema_break", 5, "failed", "output_invalid"),
        ("duplicate", 0, "succeeded", "-"),
    ];
    for (fault, code, outcome, class) in cases {
        assert_eq!(all_rows(fault, code), (outcome.to_owned(), class.to_owned()), "{fault}");
    }
}

/// PostgreSQL keeps no U+0000. A write that it refuses looks like an outage, and would be tried for ever.
#[test]
fn words_that_no_database_keeps_hold_nothing_up() {
    let (server, folder) = (testkit::postgres_blocking(), tempfile::tempdir().unwrap());
    let liar = Liar::start(folder.path());
    let fate = Fate { lines: vec![(1, LineFault::Nul)], ..Fate::default() };
    liar.set(&Settings { fate, ..Settings::default() });
    let overnight = crate::against(&liar.base_url()).with("DATABASE_URL", server.url());
    let files = testkit::write_records(overnight.folder(), 3, 100);
    let submit = ["batch", "submit", "product-labeling", "--again", "--files", &files];
    let job = |code: i32| {
        let submitted = overnight.run(&[&submit[..], &["--json"]].concat()).exits(0).json();
        let job = submitted["job_id"].as_str().unwrap().to_owned();
        let _ = overnight.run(&["batch", "wait", &job, "--timeout", "30s"]).exits(code);
        overnight.run(&["batch", "details", &job, "--json"]).exits(0).json()["tasks"].clone()
    };
    let database = Database::at(server.url());
    let said =
        || database.texts("SELECT DISTINCT error_message FROM batch_job_tasks WHERE status = 'failed'");
    let tasks = job(6);
    assert_eq!((&tasks["succeeded"], &tasks["failed"]), (&2.into(), &1.into()));
    assert_eq!(said(), ["refused\u{fffd}on demand"]);
    // A create is refused in such words, and so is a file, by one of its lines; the others go out again, and the first meets the fault.
    liar.tell(Rule::of(Op::Create).refused(400, "no\0good"));
    assert_eq!(job(5)["failed"], 3);
    let end = End::Fails { code: "odd\0line".to_owned(), line: Some(1) };
    liar.tell(Rule::of(Op::Create).fate(Fate { end, ..Fate::default() }));
    assert_eq!(job(6)["failed"], 2);
    for words in ["no\u{fffd}good", "odd\u{fffd}line"] {
        assert!(said().iter().any(|said| said.contains(words)), "{:?}", said());
    }
}
