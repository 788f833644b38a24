//! Batches whose results can't be had: they wait for a person, say why, and let themselves be given up.

/// Submits the sample issues, lets the provider forget them, and waits until they wait for a person.
pub(crate) fn forgotten() -> (testkit::Overnight, String) {
    let overnight =
        crate::overnight().with("BATCH_POLL_INTERVAL_MS", "1000").with("OVERNIGHT_SIM", "hold=true");
    let _ = overnight
        .run(&["batch", "submit", "product-labeling", "--files", &testkit::sample_issues()])
        .exits(0);
    std::fs::remove_dir_all(overnight.data_dir().join("gateway")).unwrap();
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let ran = overnight.run(&["batch", "wait", &job]).exits(1);
    assert!(ran.stderr.contains("waits for a person"), "{}", ran.stderr);
    (overnight, job)
}

#[test]
fn a_batch_that_the_provider_forgot_can_be_given_up() {
    let (mut overnight, job) = forgotten();
    let details = overnight.run(&["batch", "details", &job, "--json"]).exits(0).json();
    let batch = &details["batches"][0];
    assert_eq!(batch["state"], "parked");
    assert_eq!(batch["parked"]["reason"], "vanished");
    assert_eq!(batch["last_error"], "the provider doesn't know it any more");
    assert_eq!(batch["next"], serde_json::json!({ "what": "nothing, until a person decides", "at": null }));
    let decide = format!("overnight batch resolve {job} RESOLUTION --batch 1 --upload 1");
    assert_eq!(batch["decide"]["command"], decide);
    let _ = overnight.run(&["batch", "resolve", &job, "give-up"]).exits(0);
    let _ = overnight.run(&["batch", "wait", &job]).exits(5);
    let row = overnight.only_job();
    assert_eq!(row["tasks"]["missing"], 36, "{row}");
    assert_eq!(row["answers_of_unknown_cost"], 36, "whether they ran is unknown");
    // Its records are free again.
    overnight.unset("OVERNIGHT_SIM");
    let again = ["batch", "submit", "product-labeling", "--wait", "--files", &testkit::sample_issues()];
    let _ = overnight.run(&again).exits(0);
}

#[test]
fn a_cancel_ends_what_the_provider_forgot() {
    let (overnight, job) = forgotten();
    // It comes too late to cancel anything; what is known of the requests is that they are missing.
    let _ = overnight.run(&["batch", "cancel", &job]).exits(1);
    assert_eq!(overnight.only_job()["tasks"]["missing"], 36);
}
