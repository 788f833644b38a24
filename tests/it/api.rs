//! The API from outside: a server beside the stages, the command line that speaks to it, tokens, retries.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Child;

use serde_json::Value;
use testkit::{Overnight, until};

/// A process that says where it is; killed when the test ends before it.
pub(crate) struct Up {
    process: Child,
    pub(crate) said: Value,
}

impl Up {
    pub(crate) fn of(overnight: &Overnight, command: &[&str]) -> Self {
        let mut process = overnight.spawn(&[command, &["--json"]].concat());
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_default();
        Self { process, said }
    }

    /// Asks it to stop; answers its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An installation whose processes take any port, and an API on it.
fn server() -> (Overnight, Up) {
    let here = ["HTTP_ADDR", "ADMIN_ADDR", "GATEWAY_ADDR"];
    let overnight = here.into_iter().fold(crate::overnight(), |all, name| all.with(name, "127.0.0.1:0"));
    let api = Up::of(&overnight, &["serve", "api"]);
    (overnight, api)
}

/// A machine somewhere else, with the server's address and a token.
fn elsewhere(api: &Up, token: &str) -> Overnight {
    let url = api.said["api"].as_str().unwrap();
    crate::overnight().with("OVERNIGHT_URL", url).with("OVERNIGHT_TOKEN", token)
}

#[test]
fn a_wish_from_elsewhere_is_carried_out_by_whoever_runs_the_stages() {
    let (overnight, api) = server();
    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    let token = overnight.run(&["token", "add", "ci", "--role", "operator"]).exits(0).stdout;
    let other = elsewhere(&api, token.trim());
    let tasks = overnight.database().texts("SELECT id FROM tasks ORDER BY id LIMIT 3").join(",");
    // The stages are not even up: the wish is taken.
    let submit = ["batch", "submit", "planner", "--task-ids", &tasks, "--json"];
    let job = other.run(&submit).exits(0).json()["job_id"].as_str().unwrap().to_owned();
    let _ = other.run(&["batch", "collect", &job, "--format", "jsonl"]).exits(8);
    let up = Up::of(&overnight, &["up"]);
    let waited = other.run(&["batch", "wait", &job[..13], "--json"]).exits(0).json();
    assert_eq!((&waited["outcome"], &waited["tasks"]["succeeded"]), (&"completed".into(), &3.into()));
    let lines = other.run(&["batch", "collect", &job, "--format", "jsonl"]).exits(0).stdout;
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().all(|line| line.contains("\"analysis\"") && !line.contains("\"summary\":{")));
    for command in [&["batch", "list"][..], &["batch", "status", &job], &["batch", "details", &job]] {
        assert!(other.run(command).exits(0).stdout.contains(&job), "{command:?}");
    }
    // It says no in the words of the server.
    let late = other.run(&["batch", "cancel", &job]).exits(1);
    assert!(late.stderr.contains("the job has ended"), "{}", late.stderr);
    let twice = other.run(&submit).exits(2);
    assert!(twice.stderr.contains("is completed, not pending"), "{}", twice.stderr);
    assert_eq!((up.stop(), api.stop()), (Some(0), Some(0)));
}

#[test]
fn files_and_schedules_from_elsewhere_are_the_servers() {
    let (overnight, api) = server();
    let other = elsewhere(&api, "");
    let files = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--json", "--files", &files];
    let weighed = other.run(&[&submit[..], &["--dry-run"]].concat()).exits(0).json();
    assert_eq!(weighed["records"], 36);
    let up = Up::of(&overnight, &["up"]);
    let job = other.run(&[&submit[..], &["--wait"]].concat()).exits(0).json();
    assert_eq!(job["tasks"]["succeeded"], 36);
    let again = other.run(&submit).exits(0).json();
    assert_eq!((&again["job_id"], &again["answered"][0]["count"]), (&Value::Null, &36.into()));
    // A file that can't be used is found here, and nothing is sent.
    std::fs::write(other.folder().join("bad.json"), "{}").unwrap();
    let bad = other.folder().join("bad.json").display().to_string();
    let refused = other.run(&["batch", "submit", "planner", "--files", &files, &bad]).exits(2);
    assert!(refused.stderr.contains("bad.json"), "{}", refused.stderr);
    let left_out = ["batch", "submit", "planner", "--skip-invalid", "--files", &files, &bad];
    let _ = other.run(&left_out).exits(6);
    let added = other.run(&["schedule", "add", "--repo", "harbor/api", "--max-tasks", "3"]).exits(0).stdout;
    assert!(added.starts_with("repo:harbor/api takes at most 3 tasks of harbor/api, next 20"), "{added}");
    let there =
        overnight.database().texts("SELECT repo || ' ' || priority FROM schedules WHERE repo IS NOT NULL");
    assert_eq!(there, ["harbor/api high"]);
    // What works on the database is not done here in silence.
    for command in [&["schedule", "list"][..], &["load", &files], &["events", "tail"]] {
        let refused = other.run(command).exits(2);
        assert!(refused.stderr.contains("with OVERNIGHT_URL unset"), "{command:?}: {}", refused.stderr);
    }
    assert!(!other.data_dir().exists());
    assert_eq!((up.stop(), api.stop()), (Some(0), Some(0)));
}

#[test]
fn a_wish_under_a_key_is_one_job_here_and_there() {
    let files = testkit::sample_issues();
    let submit = |key: &str| {
        let wish = ["batch", "submit", "product-labeling", "--again", "--wait", "--json", "--files", &files];
        [&wish[..], &["--idempotency-key", key]]
            .concat()
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let jobs = "SELECT count(*) FROM batch_jobs";
    let here = crate::overnight();
    let first = here.run(&submit("tuesday")).exits(0).json()["job_id"].clone();
    assert_eq!(here.run(&submit("tuesday")).exits(0).json()["job_id"], first);
    assert_eq!(here.database().number(jobs), 1, "--again asks anew, and not under the same key");
    let other = ["batch", "submit", "planner", "--files", &files, "--idempotency-key", "tuesday"];
    let refused = here.run(&other).exits(2);
    assert!(refused.stderr.contains("the key tuesday belongs to another wish"), "{}", refused.stderr);
    let _ = here.run(&submit("")).exits(2);

    let (server, api) = server();
    let up = Up::of(&server, &["up"]);
    let there = elsewhere(&api, "");
    let first = there.run(&submit("tuesday")).exits(0).json()["job_id"].clone();
    assert_eq!(there.run(&submit("tuesday")).exits(0).json()["job_id"], first);
    assert_eq!(server.database().number(jobs), 1);
    assert_eq!((up.stop(), api.stop()), (Some(0), Some(0)));
}

#[test]
fn results_and_ends_come_from_elsewhere_whatever_happens_to_the_server_meanwhile() {
    let (mut overnight, api) = server();
    let port = api.said["api"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let there = elsewhere(&api, "");
    let submit = ["batch", "submit", "planner", "--files", &testkit::sample_issues(), "--json"];
    let job = there.run(&submit).exits(0).json()["job_id"].as_str().unwrap().to_owned();
    // Nobody works yet, and the server is started anew while somebody waits.
    let wait = there.spawn(&["batch", "wait", &job]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(api.stop(), Some(0));
    std::thread::sleep(std::time::Duration::from_secs(2));
    overnight.set("HTTP_ADDR", &format!("127.0.0.1:{port}"));
    let api = Up::of(&overnight, &["serve", "api"]);
    let up = Up::of(&overnight, &["up"]);
    let waited = wait.wait_with_output().unwrap();
    let said = String::from_utf8(waited.stderr).unwrap();
    assert_eq!(waited.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("still waiting").count(), 1, "{said}");
    let table = ["batch", "collect", &job, "--format", "csv", "--out", "-"];
    assert_eq!(up.stop(), Some(0));
    let mut rows: Vec<_> = there.run(&table).exits(0).stdout.lines().map(str::to_owned).collect();
    let mut same: Vec<_> = overnight.run(&table).exits(0).stdout.lines().map(str::to_owned).collect();
    rows.sort();
    same.sort();
    assert_eq!((rows.len(), rows), (37, same));
    // It has ended: too late to be cancelled.
    let _ = there.run(&["batch", "cancel", &job]).exits(1);
    assert_eq!(api.stop(), Some(0));
}

#[test]
fn results_that_break_off_leave_no_file() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for socket in listener.incoming().take(2) {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nOvernight-Complete: true\r\nTransfer-Encoding: chunked\r\n\r\n";
            write!(socket, "{head}5\r\n{{}}\n{{}}\r\n9\r\n{{").unwrap();
        }
    });
    let there = crate::overnight().with("OVERNIGHT_URL", &url);
    for format in ["jsonl", "csv"] {
        let _ = there.run(&["batch", "collect", "0", "--format", format, "--out", "results"]).exits(69);
        assert_eq!(std::fs::read_dir(there.folder()).unwrap().count(), 0, "{format}");
    }
    server.join().unwrap();
}

#[test]
fn a_stranger_is_told_what_is_missing() {
    let (overnight, api) = server();
    // While there is no token, whoever is on this machine comes in.
    let url = api.said["api"].as_str().unwrap();
    let _ = crate::overnight().with("OVERNIGHT_URL", url).run(&["batch", "list"]).exits(0);
    let token = overnight.run(&["token", "add", "eyes", "--role", "viewer"]).exits(0).stdout;
    let refused = crate::overnight().with("OVERNIGHT_URL", url).run(&["batch", "list"]).exits(4);
    assert!(refused.stderr.contains("overnight token add"), "{}", refused.stderr);
    let eyes = elsewhere(&api, token.trim());
    let _ = eyes.run(&["batch", "list"]).exits(0);
    let refused = eyes.run(&["batch", "cancel", "0"]).exits(4);
    assert!(refused.stderr.contains("operator"), "{}", refused.stderr);
    // It is listed by name alone, and its name is taken.
    let listed = overnight.run(&["token", "list"]).exits(0).stdout;
    assert!(listed.contains("eyes") && !listed.contains(token.trim()), "{listed}");
    let _ = overnight.run(&["token", "add", "eyes", "--role", "admin"]).exits(1);
    let _ = overnight.run(&["token", "add", "other", "--role", "owner"]).exits(2);
    let _ = overnight.run(&["token", "add", "other", "--role", "viewer"]).exits(0);
    let _ = overnight.run(&["token", "revoke", "eyes"]).exits(0);
    let _ = eyes.run(&["batch", "list"]).exits(4);
    let _ = overnight.run(&["token", "revoke", "eyes"]).exits(1);
    assert_eq!(api.stop(), Some(0));
}

#[test]
fn nothing_is_served_to_the_network_without_a_token() {
    let overnight = crate::overnight().with("HTTP_ADDR", "0.0.0.0:0").with("ADMIN_ADDR", "127.0.0.1:0");
    let refused = overnight.run(&["serve", "api"]).exits(78);
    assert!(refused.stderr.contains("overnight token add"), "{}", refused.stderr);
}

#[test]
fn a_token_does_not_travel_in_the_clear() {
    let overnight =
        crate::overnight().with("OVERNIGHT_URL", "http://example.com").with("OVERNIGHT_TOKEN", "on_x");
    let refused = overnight.run(&["batch", "list"]).exits(78);
    assert!(refused.stderr.contains("https") && !refused.stderr.contains("on_x"), "{}", refused.stderr);
}

#[test]
fn what_failed_is_taken_up_again_as_a_job_of_its_own() {
    let mut overnight = crate::overnight().with("OVERNIGHT_SIM", "missing=0.3,seed=3");
    let files = testkit::write_records(overnight.folder(), 30, 100);
    let submit = ["batch", "submit", "product-labeling", "--wait", "--json", "--files", &files];
    let parent = overnight.run(&submit).exits(6).json()["job_id"].as_str().unwrap().to_owned();
    let missing = overnight.database().number("SELECT missing FROM batch_jobs");
    assert!(missing > 0);
    overnight.unset("OVERNIGHT_SIM");
    let _ = overnight.run(&["batch", "retry", &parent, "--class", "no-response"]).exits(2);
    let none = overnight.run(&["batch", "retry", &parent, "--class", "rate_limited"]).exits(2);
    assert!(none.stderr.contains("no task to take up again"), "{}", none.stderr);
    let weighed = overnight.run(&["batch", "retry", &parent, "--dry-run", "--json"]).exits(0).json();
    assert_eq!(weighed["records"], missing);
    // Under a key it is the same job again, also where that job's id begins like the one that was named.
    let keyed =
        ["batch", "retry", "0", "--class", "no_response", "--wait", "--json", "--idempotency-key", "k"];
    let child = overnight.run(&keyed).exits(0).json();
    assert_eq!(overnight.run(&keyed).exits(0).json()["job_id"], child["job_id"]);
    assert_eq!(
        (&child["parent_job_id"], &child["kind"]),
        (&parent.as_str().into(), &"reprocess_failed".into())
    );
    assert_eq!((&child["total"], &child["tasks"]["succeeded"]), (&missing.into(), &missing.into()));
    // Once more without it: all of it is answered.
    let retry = ["batch", "retry", &parent, "--class", "no_response", "--wait", "--json"];
    let again = overnight.run(&retry).exits(0).json();
    assert_eq!((&again["job_id"], &again["submitted"]), (&Value::Null, &0.into()));
    until("every record has its one answer", || {
        overnight.database().number("SELECT count(*) FROM answers WHERE result IS NOT NULL") == 30
    });
}

#[test]
fn what_failed_in_all_jobs_or_at_the_platform_is_taken_up_from_the_command_line() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "missing=0.3,seed=3");
    let files = testkit::write_records(overnight.folder(), 30, 100);
    let submit = ["batch", "submit", "product-labeling", "--wait", "--json", "--files", &files];
    let _ = overnight.run(&submit).exits(6);
    let missing = overnight.database().number("SELECT missing FROM batch_jobs");
    // One obvious way, and the other says how.
    let wrong = ["batch", "submit", "product-labeling", "--kind", "reprocess_failed", "--files", &files];
    let refused = overnight.run(&wrong).exits(2);
    assert!(refused.stderr.contains("overnight batch retry JOB"), "{}", refused.stderr);
    let _ = overnight.run(&["batch", "retry"]).exits(2);
    let weigh = |more: &[&str]| {
        let all = [&["batch", "retry", "--dry-run", "--json"], more].concat();
        overnight.run(&all).exits(0).json()["records"].as_i64().unwrap()
    };
    assert_eq!(weigh(&["--class", "no_response"]), missing);
    assert_eq!(weigh(&["--class", "no_response", "--processor", "product-labeling", "--limit", "1"]), 1);
    let _ = overnight.run(&["batch", "retry", "--older-than", "1h"]).exits(2);

    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    overnight.database().run("UPDATE tasks SET status = 'failed'");
    assert_eq!(weigh(&["--backlog", "--agent", "planner", "--repo", "harbor/api"]), 12);
    // One that can't be used is told, and fails no other.
    overnight.database().run("UPDATE tasks SET payload = '' WHERE id = (SELECT min(id) FROM tasks)");
    let ran = overnight.run(&["batch", "retry", "--backlog", "--agent", "planner", "--tonight"]).exits(6);
    assert!(ran.stderr.contains("left out: backlog task"), "{}", ran.stderr);
    assert_eq!(overnight.database().number("SELECT count(*) FROM tasks WHERE status = 'batched'"), 35);
    // A server is asked in the same words.
    let (server, api) = server();
    let _ = server.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    server.database().run("UPDATE tasks SET status = 'failed'");
    let other = elsewhere(&api, "");
    let _ = other.run(&["batch", "retry", "--backlog", "--agent", "planner", "--limit", "5"]).exits(0);
    assert_eq!(server.database().number("SELECT count(*) FROM tasks WHERE status = 'batched'"), 5);
}
