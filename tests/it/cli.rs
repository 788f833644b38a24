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
fn the_example_configurations_are_sound() {
    for example in ["config.example.toml", "fleet.example.toml"] {
        let example = format!("{}/../../deploy/{example}", env!("CARGO_MANIFEST_DIR"));
        let _ = crate::overnight().run(&["--config", &example, "config", "check"]).exits(0);
    }
}

#[test]
fn set_counts_on_both_sides_of_the_command() {
    let both =
        ["--set", "BATCH_MAX_REQUESTS=5", "config", "show", "--set", "BATCH_TASK_MAX_ATTEMPTS=1", "--json"];
    let shown = crate::overnight().run(&both).exits(0).json();
    assert_eq!(
        (&shown["BATCH_MAX_REQUESTS"]["value"], &shown["BATCH_MAX_REQUESTS"]["origin"]),
        (&"5".into(), &"flag".into())
    );
    assert_eq!(shown["BATCH_TASK_MAX_ATTEMPTS"]["value"], "1");
    let misspelt = ["--set", "BATCH_MAX_REQUEST=5", "config", "check", "--set", "BATCH_TASK_MAX_ATTEMPTS=1"];
    let ran = crate::overnight().run(&misspelt).exits(78);
    assert!(ran.stdout.contains("did you mean BATCH_MAX_REQUESTS?"), "{}", ran.stdout);
}

#[test]
fn what_is_in_force_is_shown_and_what_is_wrong_is_said() {
    let mut overnight = crate::overnight();
    for name in ["BATCH_POLL_INTERVAL_MS", "SUBMIT_SETTLE_MS", "SUBMIT_TIMEOUT_MS", "BATCH_TIMEZONE"] {
        overnight.unset(name);
    }
    overnight.set("TZ", "Europe/Lisbon");
    let value = |provider: &str, name: &str| {
        let shown = overnight.run(&["config", "show", "--json", "--provider", provider]).exits(0).json();
        shown[name]["value"].as_str().unwrap().to_owned()
    };
    for (name, simulated, real) in [
        ("BATCH_POLL_INTERVAL_MS", "1000", "60000"),
        ("SUBMIT_SETTLE_MS", "1000", "900000"),
        ("SUBMIT_TIMEOUT_MS", "5000", "90000"),
        ("SUBMIT_UNKNOWN", "fence", "park"),
        ("BATCH_TIMEZONE", "Europe/Lisbon", "Europe/Lisbon"),
    ] {
        assert_eq!(
            (value("sim", name).as_str(), value("openai", name).as_str()),
            (simulated, real),
            "{name}"
        );
    }
    overnight.set("BATCH_MAX_REQUEST", "5");
    let shown = overnight.run(&["config", "show"]).exits(78);
    assert!(shown.stdout.contains("BATCH_MAX_REQUESTS"), "{}", shown.stdout);
    assert!(shown.stderr.contains("unknown environment variable BATCH_MAX_REQUEST"), "{}", shown.stderr);
}

#[test]
fn a_value_of_the_wrong_kind_is_told_what_to_be() {
    for (pair, way_out) in [
        ("BATCH_OVERNIGHT_HOUR=true", "take a whole number from 0 to 23"),
        ("BATCH_TIMEZONE=Mars/X", "take an IANA name, such as Europe/Berlin"),
    ] {
        let ran = crate::overnight().run(&["config", "check", "--set", pair]).exits(78);
        assert!(ran.stdout.contains(way_out), "{}", ran.stdout);
    }
}

#[test]
fn the_documentation_names_every_command() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let help = crate::overnight().run(&["--help"]).exits(0).stdout;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    for name in names.map(|name| format!("| `{name}")) {
        assert!(docs.contains(&name), "{name} is not documented");
    }
}
