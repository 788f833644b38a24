//! The command line as a contract: one document on standard output, and settings that the docs name.

use serde_json::Value;

#[test]
fn every_command_answers_with_one_document() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let _ = overnight.run(&["load", &issues, "--json"]).exits(0).json();
    let submitted = overnight
        .run(&["batch", "submit", "product-labeling", "--wait", "--json", "--files", &issues])
        .exits(0);
    let job = submitted.json()["job_id"].as_str().unwrap().to_owned();
    let commands: &[&[&str]] = &[
        &["migrate"],
        &["batch", "list"],
        &["batch", "list", "--open", "--since", "7d"],
        &["batch", "status", &job, "--exit-status"],
        &["batch", "wait", &job],
        &["batch", "details", &job],
        &["batch", "collect", &job],
        &["schedule", "run"],
        &["schedule", "add", "--repo", "acme/app", "--max-tasks", "50", "--priority", "high"],
        &["schedule", "list"],
        &["schedule", "show"],
        &["schedule", "next", "-n", "3", "--from", "2027-03-27"],
        &["schedule", "preview"],
        &["schedule", "history"],
        &["schedule", "pause", "--reason", "a fair"],
        &["schedule", "resume"],
        &["processor", "list"],
        &["processor", "show", "planner"],
        &["processor", "test", "planner"],
        &["config", "check"],
        &["config", "show"],
        &["instance", "show"],
        &["doctor"],
    ];
    for command in commands {
        let ran = overnight.run(&[command, &["-o", "json"][..]].concat()).exits(0);
        assert!(ran.json().is_object(), "{command:?}: {}", ran.stdout);
        let text = overnight.run(command).exits(0);
        assert!(!text.stdout.is_empty(), "{command:?}");
    }
    let events = overnight.run(&["events", "tail", "--json", "--job", &job]).exits(0);
    for line in events.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["specversion"], "1.0");
    }
    assert!(events.stdout.lines().count() >= 36);
}

#[test]
fn trouble_is_one_problem_document_on_standard_error() {
    let ran = crate::overnight().run(&["batch", "status", "0199", "--json"]).exits(1);
    assert_eq!(ran.stdout, "");
    let problem: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(problem["exit_code"], 1);
    assert!(problem["title"].as_str().unwrap().contains("no job 0199"));
}

#[test]
fn results_come_as_lines_and_as_a_table() {
    let overnight = crate::overnight();
    let issues = testkit::sample_issues();
    let ran = overnight
        .run(&["batch", "submit", "product-labeling", "--wait", "--json", "--files", &issues])
        .exits(0);
    let job = ran.json()["job_id"].as_str().unwrap().to_owned();
    let lines = overnight.run(&["batch", "collect", &job, "--format", "jsonl", "--join-input"]).exits(0);
    assert_eq!(lines.stdout.lines().count(), 36);
    for line in lines.stdout.lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        assert_eq!(result["input"]["issue"]["number"], result["issue_reference"]["number"]);
    }
    let table = overnight.run(&["batch", "collect", &job, "--format", "csv", "--out", "out.csv"]).exits(0);
    assert!(table.stdout.contains("36 results written to out.csv"), "{}", table.stdout);
    let csv = std::fs::read_to_string(overnight.folder().join("out.csv")).unwrap();
    assert!(csv.starts_with("custom_id,record,org,repo,number,outcome,"), "{csv}");
    let none = overnight.run(&["batch", "collect", &job, "--format", "jsonl", "--state", "failed"]).exits(0);
    assert_eq!(none.stdout, "");
    let _ = overnight.run(&["batch", "collect", &job, "--state", "done"]).exits(2);
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = crate::overnight().run(&["completions", shell]).exits(0);
        assert!(ran.stdout.contains("overnight"), "{shell}");
    }
}

#[test]
fn the_documentation_names_every_setting() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let shown = crate::overnight().run(&["config", "show", "--json"]).exits(0).json();
    for (name, setting) in shown.as_object().unwrap() {
        let key = setting["key"].as_str().unwrap();
        assert!(docs.contains(&format!("`{name}`")), "{name} is not documented");
        assert!(docs.contains(&format!("`{key}`")), "{key} is not documented");
    }
}

#[test]
fn the_example_configuration_is_sound() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config.example.toml");
    let _ = crate::overnight().run(&["--config", example, "config", "check"]).exits(0);
}
