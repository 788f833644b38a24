//! The audit, and what it guards: what the provider has and the database doesn't know is taken in before
//! anything is paid for.

use std::path::{Path, PathBuf};

use liar::{Act, End, Entry, Fate, Liar, Op, Reply, Rule, Settings};
use testkit::{Fleet, Overnight};

/// A stand-in in whose hands batches stay as they are.
fn holding(folder: &Path) -> Liar {
    let liar = Liar::start(folder);
    liar.set(&Settings { fate: Fate { held: true, ..Fate::default() }, ..Settings::default() });
    liar
}

/// The batches that anybody asked to be cancelled, and how often the list of batches was asked for.
fn cancels_and_lists(liar: &Liar) -> (usize, usize) {
    let ledger = liar.ledger();
    let asked = |wanted: Op| {
        ledger.iter().filter(|entry| matches!(entry, Entry::Request { op, .. } if *op == wanted)).count()
    };
    (asked(Op::Cancel), asked(Op::ListBatches))
}

fn against(liar: &Liar) -> Overnight {
    crate::against(&liar.base_url())
        .with("SUBMIT_SETTLE_MS", "1000")
        .with("AUDIT_INTERVAL_MS", "1000")
        .with("SUBMIT_TIMEOUT_MS", "120000")
}

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

/// A job that is planned, and of which nothing is at the provider.
fn plan(overnight: &mut Overnight) -> String {
    overnight.set("OVERNIGHT_CRASH", "provider.upload.before:1");
    assert_eq!(submit(overnight, &[]).code, None, "killed before the upload");
    overnight.unset("OVERNIGHT_CRASH");
    overnight.only_job()["job_id"].as_str().unwrap().to_owned()
}

/// A job that a backup knows as planned, and that was run after the backup was taken.
fn ahead_of_its_backup() -> (Overnight, String, PathBuf) {
    let mut overnight = crate::overnight();
    let job = plan(&mut overnight);
    let backup = overnight.folder().join("backup");
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

/// A job of 250 requests that was run after a backup was taken, and restored from it: it knows the batch as being filled.
fn restored_in_part() -> (Overnight, String) {
    let mut overnight = crate::overnight();
    let records = testkit::write_records(overnight.folder(), 250, 100);
    let submit = ["batch", "submit", "product-labeling", "--files", &records];
    overnight.set("OVERNIGHT_CRASH", "store.plan.after:1");
    assert_eq!(overnight.run(&submit).code, None, "killed when a part was planned");
    overnight.unset("OVERNIGHT_CRASH");
    assert_eq!(overnight.database().texts("SELECT state FROM batches"), ["filling"]);
    let backup = overnight.folder().join("backup");
    copy(&overnight.data_dir(), &backup);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    assert_eq!(paid(&overnight), 250);
    copy(&backup, &overnight.data_dir());
    (overnight, job)
}

/// The requests that the provider has run.
fn paid(overnight: &Overnight) -> i64 {
    overnight.ledger().number("SELECT count(*) FROM served_runs")
}

/// Works on a job until the audit has closed the gate, since the provider has requests that the database hasn't.
fn wait_until_shut(overnight: &Overnight, job: &str) {
    let mut waiting = overnight.spawn(&["batch", "wait", job]);
    let told = "SELECT count(*) FROM batches WHERE last_error LIKE '%or of all its requests%'";
    testkit::until("the gate is closed", || overnight.database().number(told) > 0);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

/// The audit comes before the rest is planned again.
#[test]
fn a_batch_that_a_backup_knows_in_part_is_adopted_once_it_is_whole() {
    let (mut overnight, job) = restored_in_part();
    overnight.set("OVERNIGHT_CRASH", "store.claim.before:1:sleep:20000");
    wait_until_shut(&overnight, &job);
    assert_eq!(paid(&overnight), 250);
    overnight.unset("OVERNIGHT_CRASH");
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    assert_eq!((paid(&overnight), overnight.only_job()["tasks"]["succeeded"].as_i64()), (250, Some(250)));
}

/// The rest is planned otherwise than before.
#[test]
fn a_batch_that_is_planned_otherwise_than_it_was_submitted_is_not_adopted() {
    let (mut overnight, job) = restored_in_part();
    overnight.set("BATCH_MAX_REQUESTS", "150");
    wait_until_shut(&overnight, &job);
    assert_eq!(paid(&overnight), 250);
    let adopted = "SELECT count(*) FROM batches WHERE state NOT IN ('planned', 'filling')";
    assert_eq!(overnight.database().number(adopted), 0);
}

/// A backup of a time before the first upload's batch had failed: the second upload's runs.
#[test]
fn the_batch_of_a_later_upload_than_a_backup_knows_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let liar = holding(folder.path());
    let end = End::Fails { code: "token_limit_exceeded".to_owned(), line: None };
    liar.tell(Rule::of(Op::Create).fate(Fate { end, ..Fate::default() }));
    let mut overnight = against(&liar);
    let states = |overnight: &Overnight| overnight.database().texts("SELECT state FROM batches");
    overnight.set("OVERNIGHT_CRASH", "provider.look.before:1");
    assert_eq!(submit(&overnight, &["--wait"]).code, None, "killed before the first look");
    overnight.unset("OVERNIGHT_CRASH");
    let backup = overnight.folder().join("backup");
    copy(&overnight.data_dir(), &backup);
    let on = |overnight: &Overnight, what: &str, is_so: &dyn Fn() -> bool| {
        let mut process = overnight.spawn(&["up"]);
        testkit::until(what, is_so);
        process.kill().unwrap();
        process.wait().unwrap();
    };
    on(&overnight, "the first one is known to have failed", &|| states(&overnight) == ["planned"]);
    // A start says that the account is mended.
    on(&overnight, "the second one runs", &|| liar.batches() == 2 && states(&overnight) == ["open"]);

    copy(&backup, &overnight.data_dir());
    assert_eq!(states(&overnight), ["open"]);
    overnight.set("OVERNIGHT_CRASH", "provider.look.before:1:sleep:15000");
    on(&overnight, "the first one has failed here, too", &|| states(&overnight) == ["planned"]);
    overnight.unset("OVERNIGHT_CRASH");
    let second = "SELECT count(*) FROM batches WHERE upload = 2 AND state = 'open'";
    on(&overnight, "the second one is adopted", &|| overnight.database().number(second) == 1);
    assert_eq!((liar.batches(), cancels_and_lists(&liar).0), (2, 0));
}

/// A server that fails over may have lost its last commits, and the process that lives on knows nothing of it.
#[test]
fn a_database_that_comes_back_is_audited_again() {
    let folder = tempfile::tempdir().unwrap();
    let liar = holding(folder.path());
    let mut fleet = Fleet::new(crate::against(&liar.base_url()));
    fleet.start("submitter", "submitter");
    let lists = || cancels_and_lists(&liar).1;
    testkit::until("the first audit", || lists() > 0);
    let before = lists();
    // As a backup brings it back. The next audit would be due tomorrow.
    fleet.change(
        "BEGIN; ALTER TABLE instance RENAME TO instance_of_before; \
         CREATE TABLE instance (LIKE instance_of_before INCLUDING ALL); \
         INSERT INTO instance SELECT * FROM instance_of_before; COMMIT",
    );
    testkit::until("another audit", || lists() > before);
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

#[test]
fn a_create_that_lands_when_a_person_has_it_is_found_by_a_process_that_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let liar = holding(folder.path());
    let overnight = against(&liar);
    liar.tell(Rule::of(Op::Create).act(Act::OnRelease).reply(Reply::Drop));
    let _ = submit(&overnight, &[]).exits(0);
    let states = || overnight.database().texts("SELECT state FROM batches");
    assert_eq!(states(), ["parked"]);
    let mut lives = overnight.spawn(&["up"]);
    let lists = || cancels_and_lists(&liar).1;
    let before = lists();
    // It has looked, and found nothing; nothing else is there to be done.
    testkit::until("the first audit", || lists() > before);
    assert_eq!(states(), ["parked"]);
    liar.release();
    testkit::until("what has landed is adopted", || states() == ["open"]);
    lives.kill().unwrap();
    lives.wait().unwrap();
    assert_eq!((liar.batches(), cancels_and_lists(&liar).0), (1, 0));
}

#[test]
fn a_copy_with_a_tag_of_its_own_and_its_original_leave_each_others_batches_alone() {
    let folder = tempfile::tempdir().unwrap();
    let liar = holding(folder.path());
    let (mut original, copied) = (against(&liar), against(&liar));
    let job = plan(&mut original);
    copy(&original.data_dir(), &copied.data_dir());
    // The original has audited and is about to create when the copy submits the same batch; and it won't be told that
    // its own was made.
    original.set("OVERNIGHT_CRASH", "provider.create.before:1:stop");
    liar.tell(Rule::of(Op::Create).from(2).reply(Reply::Drop));
    let mut first = original.spawn(&["batch", "wait", &job]);
    testkit::until("the original's intent is on record", || {
        original.database().texts("SELECT state FROM batches") == ["creating"]
    });
    let _ = copied.run(&["instance", "rotate"]).exits(0);
    let mut second = copied.spawn(&["batch", "wait", &job]);
    testkit::until("the copy has submitted", || liar.batches() == 1);
    let resumed = std::process::Command::new("kill").args(["-CONT", &first.id().to_string()]).status();
    assert!(resumed.unwrap().success());
    let theirs =
        |home: &Overnight| home.database().texts("SELECT provider_id FROM batches WHERE state = 'open'");
    testkit::until("the original has found its own", || theirs(&original).len() == 1);
    // The copy looks, and so does the original.
    let lists = || cancels_and_lists(&liar).1;
    let before = lists();
    testkit::until("both have audited", || lists() >= before + 4);
    for process in [&mut first, &mut second] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(
        (liar.batches(), cancels_and_lists(&liar).0),
        (2, 0),
        "nobody stops what another one has submitted"
    );
    assert_ne!(theirs(&original), theirs(&copied));
    for home in [&original, &copied] {
        let told = "SELECT count(*) FROM events WHERE type = 'batch.spare_found.v1'";
        assert_eq!(home.database().number(told), 0);
    }
}

#[test]
fn a_copy_that_has_called_off_its_work_stops_nothing_of_its_original() {
    let folder = tempfile::tempdir().unwrap();
    let liar = holding(folder.path());
    let (mut original, mut copied) = (against(&liar), against(&liar));
    let job = plan(&mut original);
    copy(&original.data_dir(), &copied.data_dir());
    let _ = copied.run(&["instance", "rotate"]).exits(0);
    // While it may create nothing, or the cancel would race with its own create.
    copied.set("ENABLE_BATCH_API", "false");
    let _ = copied.run(&["batch", "cancel", &job]).exits(0);
    copied.unset("ENABLE_BATCH_API");
    let mut first = original.spawn(&["batch", "wait", &job]);
    testkit::until("the original has submitted", || liar.batches() == 1);
    let mut second = copied.spawn(&["up"]);
    let lists = || cancels_and_lists(&liar).1;
    let before = lists();
    testkit::until("both have audited", || lists() >= before + 4);
    for process in [&mut first, &mut second] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(cancels_and_lists(&liar).0, 0);
    assert_eq!(copied.database().texts("SELECT state FROM batches"), ["cancelled"]);
}
