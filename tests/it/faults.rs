//! A provider that errs: every task ends in one outcome, and the sums agree.

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
