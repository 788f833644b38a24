//! The audit, and what it guards: what the provider has and the database doesn't know is taken in before
//! anything is paid for.

use std::path::{Path, PathBuf};

use testkit::Overnight;

fn submit(overnight: &Overnight, more: &[&str]) -> testkit::Ran {
    let issues = testkit::sample_issues();
    let command = ["batch", "submit", "product-labeling", "--files", &issues];
    overnight.run(&[&command[..], more].concat())
}

/// The database with its log, as a backup takes it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["overnight.db", "overnight.db-wal"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// A job that a backup knows as planned, and that was run after the backup was taken.
fn ahead_of_its_backup() -> (Overnight, String, PathBuf) {
    let mut overnight = crate::overnight();
    overnight.set("OVERNIGHT_CRASH", "provider.upload.before:1");
    assert_eq!(submit(&overnight, &[]).code, None, "killed before the upload");
    overnight.unset("OVERNIGHT_CRASH");
    let backup = overnight.folder().join("backup");
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    copy(&overnight.data_dir(), &backup);
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    (overnight, job, backup)
}

#[test]
fn an_older_backup_pays_for_nothing_twice_and_starts_nothing_new() {
    let (overnight, job, backup) = ahead_of_its_backup();
    let _ = submit(&overnight, &["--again", "--wait"]).exits(0);
    copy(&backup, &overnight.data_dir());
    // The database knows the first job, and has never heard of the second one.
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 72);
    // Whatever is new waits until somebody has looked, and says why.
    let issues = testkit::sample_issues();
    let mut waiting = overnight.spawn(&[
        "batch",
        "submit",
        "product-labeling",
        "--again",
        "--model",
        "gpt-4o",
        "--files",
        &issues,
    ]);
    let told = "SELECT count(*) FROM batches WHERE last_error LIKE '%has never heard of it%'";
    testkit::until("the gate is closed", || overnight.database().number(told) > 0);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 72);
}

#[test]
fn a_tag_of_its_own_pays_for_nothing_twice() {
    let (overnight, job, backup) = ahead_of_its_backup();
    copy(&backup, &overnight.data_dir());
    let _ = overnight.run(&["instance", "rotate"]).exits(0);
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 36);
}

#[test]
fn a_switch_that_is_off_settles_what_became_of_a_create() {
    let mut overnight = crate::overnight().with("OVERNIGHT_SIM", "hold=true");
    overnight.set("OVERNIGHT_CRASH", "provider.create.after:1");
    assert_eq!(submit(&overnight, &[]).code, None, "killed before the reply was written down");
    overnight.unset("OVERNIGHT_CRASH");
    overnight.set("ENABLE_BATCH_API", "false");
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let _ = overnight.run(&["batch", "cancel", &job]).exits(0);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 0);
    assert_eq!(overnight.only_job()["last_error"], serde_json::Value::Null);
}
