//! Which layer wins, and what a typing error gets.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser as _;

fn global(arguments: &[&str]) -> Global {
    let all = ["overnight"].iter().chain(arguments).chain(&["migrate"]);
    let cli = Cli::parse_from(all);
    assert!(matches!(cli.command, Command::Migrate));
    cli.global
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test makes its files")]
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let (_folder, path) = file("[batch]\nmax_requests = 3\novernight_hour = 4\npoll_interval_ms = 5000\n");
    let environment = environment(&[("BATCH_MAX_REQUESTS", "2"), ("BATCH_OVERNIGHT_HOUR", "5")]);
    let global = global(&["--config", &path, "--set", "BATCH_MAX_REQUESTS=1"]);
    let (values, troubles) = read(&global, &environment);
    assert!(troubles.is_empty(), "{troubles:?}");
    let shown = |name: &str| (values[name].text.as_str(), values[name].origin.to_string());
    assert_eq!(shown("BATCH_MAX_REQUESTS"), ("1", "flag".to_owned()));
    assert_eq!(shown("BATCH_OVERNIGHT_HOUR"), ("5", "environment".to_owned()));
    assert_eq!(shown("BATCH_POLL_INTERVAL_MS"), ("5000", path));
    assert_eq!(shown("BATCH_TASK_MAX_ATTEMPTS"), ("3", "default".to_owned()));
}

#[test]
fn a_misspelt_name_is_an_error_with_a_suggestion() {
    let (_, troubles) = read(&global(&[]), &environment(&[("BATCH_MAX_REQUEST", "2")]));
    assert_eq!(troubles[0].what, "unknown environment variable BATCH_MAX_REQUEST");
    assert_eq!(troubles[0].fix.as_deref(), Some("did you mean BATCH_MAX_REQUESTS?"));

    let (_folder, path) = file("[batch]\nmax_request = 3\n");
    let (_, troubles) = read(&global(&["--config", &path]), &environment(&[]));
    assert_eq!(troubles[0].fix.as_deref(), Some("did you mean batch.max_requests?"));

    let (_, troubles) = read(&global(&["--set", "BATCH_MX_REQUESTS=1"]), &environment(&[]));
    assert_eq!(troubles[0].fix.as_deref(), Some("did you mean BATCH_MAX_REQUESTS?"));
}

#[test]
fn a_secret_comes_from_a_file_and_from_one_place_only() {
    let (_folder, path) = file("sk-secret\n");
    let (values, troubles) = read(&global(&[]), &environment(&[("OPENAI_API_KEY_FILE", &path)]));
    assert!(troubles.is_empty());
    assert_eq!(values["OPENAI_API_KEY"].text, "sk-secret");

    let both = environment(&[("OPENAI_API_KEY_FILE", &path), ("OPENAI_API_KEY", "sk-other")]);
    let (_, troubles) = read(&global(&[]), &both);
    assert_eq!(troubles[0].what, "OPENAI_API_KEY is set both directly and through OPENAI_API_KEY_FILE");

    // A setting that is no secret has no file.
    let (_, troubles) = read(&global(&[]), &environment(&[("BATCH_RETRY_FILE", &path)]));
    assert_eq!(troubles.len(), 1);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let (_, troubles) = read(&global(&["--config", "/nowhere/x.toml"]), &environment(&[]));
    assert_eq!(troubles[0].what, "can't read the configuration file /nowhere/x.toml");
    assert_eq!(troubles[0].exit, Exit::Config);
}
