//! A database that nobody has migrated: every command that works on it says so in the same words, and what to do.

use std::collections::BTreeSet;

use testkit::{Overnight, postgres_blocking};

/// Commands that work on the database, with what they need to come that far.
const COMMANDS: &[&str] = &[
    "serve scheduler",
    "serve submitter",
    "serve poller",
    "serve api",
    "load ISSUES",
    "batch submit planner --files ISSUES",
    "batch status 0199",
    "batch wait 0199",
    "batch collect 0199",
    "batch list",
    "batch details 0199",
    "batch cancel 0199",
    "batch resolve 0199 try-again",
    "batch retry 0199",
    "schedule list",
    "schedule show",
    "schedule next",
    "schedule preview",
    "schedule run",
    "schedule pause --reason feast",
    "schedule resume",
    "schedule history",
    "schedule add --repo acme/app",
    "schedule remove acme/app",
    "events tail",
    "token add ann --role viewer",
    "token list",
    "token revoke ann",
    "instance show",
    "instance rotate",
    "probe --yes",
    "probe show",
];
/// Those that make it, look without it, or have nothing to do with it. The doctor says the same in a table of its own.
const OTHERS: &[&str] = &[
    "up",
    "migrate",
    "topology apply",
    "topology check",
    "topology delete",
    "processor list",
    "processor show",
    "processor test",
    "config check",
    "config show",
    "doctor",
    "completions",
];
const WORDS: &str = "the database has schema version 0, this build needs 1; run overnight migrate";

/// The commands that `--help` lists below `path`.
fn listed(overnight: &Overnight, path: &[String]) -> BTreeSet<String> {
    let help = overnight.run(&[path, &["--help".to_owned()]].concat()).exits(0).stdout;
    let Some((_, rest)) = help.split_once("Commands:\n") else { return [path.join(" ")].into() };
    let names = rest.lines().take_while(|line| !line.is_empty());
    // What stands further right is the rest of a long line.
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| listed(overnight, &[path, &[name.to_owned()]].concat())).collect()
}

#[test]
fn every_command_says_that_the_database_was_never_migrated() {
    let database = postgres_blocking();
    let overnight = crate::overnight()
        .with("DATABASE_URL", database.url())
        .with("QUEUE_URL", "amqp://guest:guest@127.0.0.1:9")
        .with("HTTP_ADDR", "127.0.0.1:0")
        .with("ADMIN_ADDR", "127.0.0.1:0");
    for command in COMMANDS {
        let issues = testkit::sample_issues();
        let words: Vec<&str> =
            command.split(' ').map(|word| if word == "ISSUES" { &issues } else { word }).collect();
        let ran = overnight.run(&words);
        assert_eq!(ran.code, Some(78), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains(WORDS), "{command}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{command}");
    }
    let doctor = overnight.run(&["doctor"]).exits(78);
    assert!(doctor.stdout.contains(WORDS), "{}", doctor.stdout);
}

#[test]
fn the_list_of_commands_is_whole() {
    let overnight = crate::overnight();
    for name in listed(&overnight, &[]) {
        let begins = |command: &&&str| **command == name || command.starts_with(&format!("{name} "));
        let count = [COMMANDS, OTHERS].map(|list| usize::from(list.iter().any(|command| begins(&command))));
        assert_eq!(count.iter().sum::<usize>(), 1, "{name} stands in one of the lists");
    }
}
