//! The platform's backlog: what its tasks' answers are called, and which table is taken for one.

use std::fs;

use serde_json::Value;
use testkit::Overnight;

const ISSUE: &str = r#"{"org":"acme","repo":"app","issue":{"number":7,"title":"Crash","body":"b"}}"#;

/// Puts a task into the table, as a platform does.
fn task(overnight: &Overnight, id: &str, payload: &str) {
    overnight.database().run(&format!(
        "INSERT INTO tasks (id, agent_type, payload, created_at, updated_at) VALUES \
         ('{id}', 'planner', '{payload}', '2026-11-23T13:07:00+00:00', '2026-11-23T13:07:00+00:00')"
    ));
}

#[test]
fn an_answer_to_a_backlog_task_is_named_after_its_issue() {
    let overnight = crate::overnight();
    let _ = overnight.run(&["migrate"]).exits(0);
    task(&overnight, "t1", ISSUE);
    task(&overnight, "t2", &ISSUE.replace('7', "8"));
    // Two tasks about one issue: neither overwrites the other, and both say which they are.
    task(&overnight, "a/b", &ISSUE.replace("\"number\":7", "\"number\":9"));
    // Nor does one whose name differs only in what no file may be called.
    task(&overnight, "a_b", &ISSUE.replace("\"number\":7", "\"number\":9").replace("\"b\"", "\"third\""));
    task(&overnight, "t4", &ISSUE.replace("\"number\":7", "\"number\":9").replace("\"b\"", "\"other\""));
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let collected = overnight.run(&["batch", "collect", &job]).exits(0);
    assert!(collected.stdout.starts_with("5 results written to"), "{}", collected.stdout);
    let results = overnight.data_dir().join("results");
    let mut names: Vec<_> = fs::read_dir(&results)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let expected = [
        "acme_app_issue_7_planner.json",
        "acme_app_issue_8_planner.json",
        "acme_app_issue_9_task-a_b_HASH_planner.json",
        "acme_app_issue_9_task-a_b_planner.json",
        "acme_app_issue_9_task-t4_planner.json",
    ];
    let hashed = names[2].strip_prefix("acme_app_issue_9_task-a_b_").unwrap().strip_suffix("_planner.json");
    let hash = hashed.filter(|hash| hash.len() == 12).unwrap().to_owned();
    assert_eq!(names, expected.map(|name| name.replace("HASH", &hash)));
    let answer: Value =
        serde_json::from_slice(&fs::read(results.join("acme_app_issue_7_planner.json")).unwrap()).unwrap();
    let issue = &answer["issue_reference"];
    assert_eq!((&issue["org"], &issue["repo"], &issue["number"]), (&"acme".into(), &"app".into(), &7.into()));
    assert_eq!((&issue["record"], &issue["path"]), (&"task:t1".into(), &Value::Null));
    // People who query find the issue, too.
    let database = overnight.database();
    let found = "SELECT org || '/' || repo || '#' || number FROM results WHERE task_id = 't1' AND number = 7";
    assert_eq!(database.texts(found), ["acme/app#7"]);
    let found = "SELECT issue_id || ' ' || record_key FROM batch_items WHERE task_id = 't1'";
    assert_eq!(database.texts(found), ["acme/app#7 task:t1"]);
}

#[test]
fn a_task_whose_age_can_t_be_read_stops_no_night() {
    let overnight = crate::overnight();
    let _ = overnight.run(&["migrate"]).exits(0);
    for (number, created) in (1..).zip(["2026-11-23 13:07:00", "yesterday", "", "1763903220"]) {
        task(&overnight, &format!("t{number}"), &ISSUE.replace('7', &number.to_string()));
        let sql = format!("UPDATE tasks SET created_at = '{created}' WHERE id = 't{number}'");
        overnight.database().run(&sql);
    }
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    assert_eq!(overnight.database().number("SELECT count(*) FROM tasks WHERE status = 'completed'"), 4);
}

#[test]
fn names_that_are_too_long_are_cut_and_stay_apart() {
    let overnight = crate::overnight();
    let _ = overnight.run(&["migrate"]).exits(0);
    let long = "x".repeat(300);
    for (id, number) in [("one", 7), ("two", 7), ("ä", 8)] {
        let issue = ISSUE.replace(":7", &format!(":{number}")).replace("\"b\"", &format!("\"{id}\""));
        let issue = issue.replace("acme", &"o".repeat(99)).replace("app", &"r".repeat(200));
        task(&overnight, &format!("{}{id}", long.replace('x', if id == "ä" { "ä" } else { "x" })), &issue);
    }
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let database = overnight.database();
    assert_eq!(
        database.number("SELECT count(*) FROM batch_job_tasks WHERE length(CAST(custom_id AS BLOB)) <= 64"),
        3
    );
    let _ = overnight.run(&["batch", "collect", &job]).exits(0);
    let results = fs::read_dir(overnight.data_dir().join("results")).unwrap();
    assert_eq!(results.map(|entry| entry.unwrap().file_name()).filter(|name| name.len() <= 255).count(), 3);
}

#[test]
fn a_table_of_tasks_that_lacks_columns_is_refused_by_their_names() {
    let overnight = crate::overnight();
    fs::create_dir_all(overnight.data_dir()).unwrap();
    fs::write(overnight.data_dir().join("overnight.db"), "").unwrap();
    let database = overnight.database();
    database.run(
        "CREATE TABLE tasks (id TEXT PRIMARY KEY, repo TEXT, agent_type TEXT, status TEXT, priority BIGINT, \
         created_at TEXT, updated_at TEXT, owner TEXT)",
    );
    for command in [&["migrate"][..], &["doctor"], &["up"]] {
        let ran = overnight.run(command).exits(78);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let what = "the table tasks lacks payload, batch_job_id, result, error";
        assert!(said.contains(what) && said.contains("docs/integration.md"), "{command:?}: {said}");
    }
    // With them, and one of the platform's own, it is the backlog.
    for column in ["payload", "batch_job_id", "result", "error"] {
        database.run(&format!("ALTER TABLE tasks ADD COLUMN {column} TEXT"));
    }
    let _ = overnight.run(&["migrate"]).exits(0);
    let loaded = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner", "--json"]);
    assert_eq!(loaded.exits(0).json()["backlog_added"], 36);
}
