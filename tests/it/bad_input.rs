//! What bad input gets: the file named, what is wrong, what to do, the right exit code, and nothing stored.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::Overnight;

const GOOD: &str = r#"{"org":"acme","repo":"app","issue":{"number":7,"title":"Crash","body":"b"}}"#;

fn write(overnight: &Overnight, name: &str, text: &str) -> PathBuf {
    let folder = overnight.folder().join("in");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn glob(path: &Path) -> String {
    path.parent().unwrap().join("*.json").display().to_string()
}

/// Submits all files of the test's folder; demands exit 2, the words, and that nothing is stored.
#[track_caller]
fn refused(overnight: &Overnight, files: &str, words: &[&str]) {
    let ran = overnight.run(&["batch", "submit", "product-labeling", "--files", files]).exits(2);
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in: {}", ran.stderr);
    }
    assert_eq!(ran.stdout, "");
    if overnight.data_dir().join("overnight.db").exists() {
        let stored = "SELECT (SELECT count(*) FROM batch_jobs) + (SELECT count(*) FROM records) + (SELECT count(*) FROM record_bodies)";
        assert_eq!(overnight.database().number(stored), 0);
    }
}

#[test]
fn a_glob_that_matches_nothing() {
    let overnight = crate::overnight();
    refused(&overnight, "nowhere/*.json", &["no file matches `nowhere/*.json`", "looked in", "fix"]);
    assert!(!overnight.data_dir().exists(), "a typing error makes no data folder");
}

#[test]
fn a_file_that_is_not_json_names_file_and_line() {
    let overnight = crate::overnight();
    write(&overnight, "a.json", GOOD);
    let bad = write(&overnight, "b.json", "{\n \"org\": \"acme\",\n oops }");
    refused(&overnight, &glob(&bad), &["b.json, line 3", "not JSON", "--skip-invalid"]);
}

#[test]
fn an_issue_without_a_title() {
    let overnight = crate::overnight();
    let bad = write(&overnight, "a.json", r#"{"org":"acme","repo":"app","issue":{"number":7,"body":"b"}}"#);
    refused(&overnight, &glob(&bad), &["a.json", "/issue/title"]);
}

#[test]
fn two_records_with_one_custom_id_name_both_files() {
    let overnight = crate::overnight();
    write(&overnight, "a.json", GOOD);
    let bad = write(&overnight, "b.json", GOOD);
    refused(&overnight, &glob(&bad), &["a.json", "b.json", "acme_app_issue_7"]);
}

#[test]
fn a_record_larger_than_a_batch() {
    let overnight = crate::overnight().with("BATCH_MAX_FILE_BYTES", "3000");
    let bad = write(&overnight, "a.json", &GOOD.replace("\"b\"", &format!("\"{}\"", "x".repeat(5_000))));
    refused(&overnight, &glob(&bad), &["a.json", "a batch may hold 3000", "BATCH_MAX_FILE_BYTES"]);
}

#[test]
fn skip_invalid_goes_on_with_the_good_ones_and_exits_with_6() {
    let overnight = crate::overnight();
    write(&overnight, "a.json", GOOD);
    let bad = write(&overnight, "b.json", "nonsense");
    let submit = ["batch", "submit", "product-labeling", "--wait", "--skip-invalid", "--files", &glob(&bad)];
    let ran = overnight.run(&submit).exits(6);
    assert!(ran.stderr.contains("left out: ") && ran.stderr.contains("b.json"), "{}", ran.stderr);
    assert_eq!(overnight.only_job()["tasks"]["succeeded"], 1);
    // A dry run ends as the command would, and programs find what was left out in the document.
    for more in [&["--dry-run"][..], &[], &["--again"]] {
        let told = [&submit[..], &["--json"], more].concat();
        let told: Vec<_> = told.into_iter().filter(|word| *word != "--wait" || more.is_empty()).collect();
        let ran = overnight.run(&told).exits(6);
        let place = ran.json()["invalid"][0]["place"].as_str().unwrap().to_owned();
        assert!(place.ends_with("b.json"), "{more:?}: {}", ran.stdout);
        assert_eq!(ran.stderr, "", "{more:?}");
    }
    let waited = overnight.run(&[&submit[..], &["--json", "--again"]].concat()).exits(6);
    assert_eq!(waited.json()["invalid"].as_array().unwrap().len(), 1, "{}", waited.stdout);
}

#[test]
fn an_unknown_job_names_the_nearest() {
    let overnight = crate::overnight();
    let none = overnight.run(&["batch", "status", "0199"]).exits(1);
    assert!(none.stderr.contains("no job 0199"), "{}", none.stderr);
    let good = write(&overnight, "a.json", GOOD);
    let _ =
        overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &glob(&good)]).exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let unknown = overnight.run(&["batch", "status", "ffff"]).exits(1);
    assert!(unknown.stderr.contains(&job), "{}", unknown.stderr);
}

#[test]
fn an_unknown_processor_lists_those_there_are() {
    let overnight = crate::overnight();
    let good = write(&overnight, "a.json", GOOD);
    let ran = overnight.run(&["batch", "submit", "product-labelling", "--files", &glob(&good)]).exits(2);
    assert!(ran.stderr.contains("product-labeling") && ran.stderr.contains("reviewer"), "{}", ran.stderr);
}

#[test]
fn a_second_process_on_the_folder_is_told_who_has_it() {
    let overnight = crate::overnight().with("GATEWAY_ADDR", "127.0.0.1:0");
    let good = write(&overnight, "a.json", GOOD);
    let held = ["batch", "submit", "product-labeling", "--tonight", "--files", &glob(&good)];
    let _ = overnight.run(&held).exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let mut up = overnight.spawn(&["up"]);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(up.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    let submit = overnight.run(&["batch", "submit", "product-labeling", "--files", &glob(&good)]).exits(78);
    assert!(submit.stderr.contains(&format!("process {} (overnight up)", up.id())), "{}", submit.stderr);
    // A wish about a job that is there is written beside it, and carried out by it.
    let cancel = overnight.run(&["batch", "cancel", &job[..13]]).exits(0);
    assert!(cancel.stdout.contains("is cancelled"), "{}", cancel.stdout);
    // Looking is free.
    let _ = overnight.run(&["batch", "list"]).exits(0);
    up.kill().unwrap();
    up.wait().unwrap();
}

/// Whoever owns a file is at work on it, also where another folder names it.
#[test]
fn a_second_folder_on_one_database_is_told_who_has_it() {
    let ours = crate::overnight().with("GATEWAY_ADDR", "127.0.0.1:0");
    let url = format!("sqlite://{}", ours.folder().join("shared.db").display());
    let ours = ours.with("DATABASE_URL", &url);
    let other = crate::overnight().with("GATEWAY_ADDR", "127.0.0.1:0").with("DATABASE_URL", &url);
    let mut up = ours.spawn(&["up"]);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(up.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    let good = write(&other, "a.json", GOOD);
    for command in [&["batch", "submit", "product-labeling", "--files", &glob(&good)][..], &["up"]] {
        let refused = other.run(command).exits(78);
        let who = format!("process {} (overnight up) is using the database", up.id());
        assert!(refused.stderr.contains(&who), "{command:?}: {}", refused.stderr);
    }
    let _ = other.run(&["batch", "list"]).exits(0);
    up.kill().unwrap();
    up.wait().unwrap();
}

#[test]
fn no_key_names_the_setting() {
    let overnight =
        crate::overnight().with("BATCH_POLL_INTERVAL_MS", "1000").with("OVERNIGHT_PROVIDER", "openai");
    let good = write(&overnight, "a.json", GOOD);
    let submit = ["batch", "submit", "product-labeling", "--files", &glob(&good)];
    let missed = |command: &[&str]| {
        let ran = overnight.run(command).exits(78);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("the provider openai needs OPENAI_API_KEY"), "{command:?}: {said}");
    };
    for command in [&["config", "check"][..], &["up"], &submit] {
        missed(command);
    }
    assert!(!overnight.data_dir().exists(), "a command that does nothing leaves nothing");
    missed(&["doctor"]);
    assert_eq!(overnight.database().number("SELECT count(*) FROM batch_jobs"), 0);
    // What sends nothing needs none.
    let _ = overnight.run(&[&submit[..], &["--dry-run"]].concat()).exits(0);
    let _ = overnight.run(&["batch", "list"]).exits(0);
}

#[test]
fn a_database_of_another_kind_is_refused_and_its_password_is_not_shown() {
    let overnight = crate::overnight().with("DATABASE_URL", "mysql://me:secret@db/x");
    let ran = overnight.run(&["batch", "list"]).exits(78);
    assert!(ran.stderr.contains("DATABASE_URL") && ran.stderr.contains("\"mysql\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("sqlite:") && !ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn an_unreachable_provider_is_named_and_the_key_is_not() {
    let overnight = crate::overnight()
        .with("OVERNIGHT_PROVIDER", "openai")
        .with("BATCH_POLL_INTERVAL_MS", "1000")
        .with("OPENAI_API_KEY", "sk-very-secret")
        .with("OPENAI_BASE_URL", "http://127.0.0.1:9/v1");
    let ran = overnight.run(&["doctor", "-v", "-v"]).exits(69);
    assert!(ran.stdout.contains("http://127.0.0.1:9"), "{}", ran.stdout);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("secret"));
    let shown = overnight.run(&["config", "show", "--origin"]).exits(0);
    assert!(!shown.stdout.contains("secret"));
    let good = write(&overnight, "a.json", GOOD);
    let submit = overnight.run(&["batch", "submit", "product-labeling", "--files", &glob(&good)]).exits(69);
    assert!(submit.stderr.contains("OPENAI_BASE_URL"), "{}", submit.stderr);
    assert_eq!(overnight.database().number("SELECT count(*) FROM batch_jobs"), 0);
}

#[test]
fn a_job_is_not_run_by_another_provider_than_its_own() {
    let overnight = crate::overnight().with("BATCH_POLL_INTERVAL_MS", "1000");
    let good = write(&overnight, "a.json", GOOD);
    let _ = overnight
        .run(&["batch", "submit", "product-labeling", "--tonight", "--files", &glob(&good)])
        .exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let overnight = overnight.with("OVERNIGHT_PROVIDER", "openai").with("OPENAI_API_KEY", "sk-x");
    let ran = overnight.run(&["batch", "wait", &job]).exits(78);
    assert!(ran.stderr.contains("is run by sim") && ran.stderr.contains("--provider sim"), "{}", ran.stderr);
}

#[test]
fn a_key_does_not_travel_in_the_clear() {
    let overnight = crate::overnight()
        .with("OVERNIGHT_PROVIDER", "openai")
        .with("BATCH_POLL_INTERVAL_MS", "1000")
        .with("OPENAI_API_KEY", "sk-very-secret")
        .with("OPENAI_BASE_URL", "http://192.0.2.1/v1");
    let ran = overnight.run(&["doctor"]).exits(78);
    assert!(
        format!("{}{}", ran.stdout, ran.stderr).contains("refusing to send the API key"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_folder_that_cannot_be_written() {
    let overnight = crate::overnight();
    let file = write(&overnight, "a.json", GOOD);
    let ran = overnight.run(&["migrate", "--data-dir", &file.display().to_string()]).exits(78);
    assert!(
        ran.stderr.contains("can't make the data folder") && ran.stderr.contains("--data-dir"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_newer_schema_is_refused() {
    let overnight = crate::overnight();
    let _ = overnight.run(&["migrate"]).exits(0);
    overnight.database().run("UPDATE _sqlx_migrations SET version = 99");
    let ran = overnight.run(&["batch", "list"]).exits(78);
    assert!(ran.stderr.contains("schema version 99"), "{}", ran.stderr);
}

#[test]
fn impossible_settings_are_refused_together() {
    let overnight = crate::overnight()
        .with("BATCH_MAX_REQUESTS", "60000")
        .with("BATCH_OVERNIGHT_HOUR", "24")
        .with("LOG_FORMAT", "xml");
    let ran = overnight.run(&["config", "check", "--json"]).exits(78);
    let errors = ran.json()["errors"].as_array().unwrap().len();
    assert_eq!(errors, 3, "{}", ran.stdout);
    let open = crate::overnight().with("GATEWAY_ADDR", "0.0.0.0:8083").run(&["config", "check"]).exits(78);
    assert!(open.stdout.contains("GATEWAY_API_KEY"), "{}", open.stdout);
}

#[test]
fn a_backlog_task_is_worked_on_by_its_own_agent() {
    let overnight = crate::overnight();
    let good = write(&overnight, "a.json", GOOD);
    let _ = overnight.run(&["load", &glob(&good), "--backlog", "coder"]).exits(0);
    let submit = ["batch", "submit", "product-labeling", "--task-ids", "coder-acme_app_issue_7"];
    for command in [&submit[..], &[&submit[..], &["--dry-run"]].concat()] {
        let ran = overnight.run(command).exits(2);
        let what = "backlog task coder-acme_app_issue_7 is for coder, and not for product-labeling";
        assert!(ran.stderr.contains(what) && ran.stderr.contains("submit it to coder"), "{}", ran.stderr);
    }
    assert_eq!(overnight.database().texts("SELECT status FROM tasks"), ["pending"]);
}

#[test]
fn an_agent_without_a_processor_is_a_warning() {
    let overnight = crate::overnight();
    let good = write(&overnight, "a.json", GOOD);
    let ran = overnight.run(&["load", &glob(&good), "--backlog", "planer"]).exits(0);
    let what = "warning: no processor is called planer";
    assert!(ran.stderr.contains(what) && ran.stderr.contains("nearest name is planner"), "{}", ran.stderr);
    let ran = overnight.run(&["load", &glob(&good), "--backlog", "planner", "--json"]).exits(0);
    assert_eq!((ran.json()["warning"].clone(), ran.stderr.as_str()), (serde_json::Value::Null, ""));
}

#[test]
fn a_backlog_task_that_is_not_pending() {
    let overnight = crate::overnight();
    let good = write(&overnight, "a.json", GOOD);
    let _ = overnight.run(&["load", &glob(&good), "--backlog", "planner"]).exits(0);
    let submit = ["batch", "submit", "planner", "--wait", "--task-ids", "planner-acme_app_issue_7"];
    let _ = overnight.run(&submit).exits(0);
    let again = overnight.run(&submit).exits(2);
    assert!(again.stderr.contains("is completed, not pending"), "{}", again.stderr);
    let unknown = overnight.run(&["batch", "submit", "planner", "--task-ids", "nobody"]).exits(2);
    assert!(unknown.stderr.contains("no backlog task nobody"), "{}", unknown.stderr);
}
