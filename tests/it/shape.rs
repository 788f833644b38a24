//! The pyramid: arrows between crates point down, and only along this list.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which room may know which, floor by floor. An arrow that isn't here fails the build; so does one
/// that is here and isn't drawn any more.
const ARROWS: &[(&str, &[&str])] = &[
    // floor 1
    ("api-types", &[]),
    ("crash", &[]),
    ("domain", &[]),
    ("migrations", &[]),
    ("telemetry", &[]),
    ("tokens", &[]),
    ("wire", &[]),
    // floor 2
    ("openai", &["crash", "wire"]),
    ("processor", &["wire"]),
    ("queue", &["crash", "domain"]),
    ("source", &[]),
    ("store", &["crash", "domain", "migrations"]),
    ("web", &[]),
    // between them: wishes are taken without a queue and without a provider
    (
        "reception",
        &["api-types", "crash", "domain", "processor", "source", "store", "telemetry", "tokens", "wire"],
    ),
    // floor 3
    ("api", &["api-types", "domain", "reception", "store", "web"]),
    ("gateway", &["tokens", "wire"]),
    (
        "pipeline",
        &[
            "api-types",
            "crash",
            "domain",
            "openai",
            "processor",
            "queue",
            "reception",
            "source",
            "store",
            "telemetry",
            "wire",
        ],
    ),
    // floor 4
    (
        "overnight",
        &[
            "api",
            "api-types",
            "crash",
            "domain",
            "gateway",
            "migrations",
            "openai",
            "pipeline",
            "processor",
            "queue",
            "reception",
            "source",
            "store",
            "telemetry",
            "tokens",
            "web",
            "wire",
        ],
    ),
    // for tests
    ("chaos", &["crash", "liar", "testkit"]),
    ("fuzz", &[]),
    ("liar", &["wire"]),
    ("testkit", &[]),
];

#[test]
fn arrows_point_down() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let rooms: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();

    let drawn: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .map(|package| {
            let below = package["dependencies"].as_array().expect("dependencies").iter();
            let below = below.filter(|dependency| dependency["kind"].is_null());
            let below = below.filter_map(|dependency| dependency["name"].as_str());
            (package["name"].as_str().expect("name"), below.filter(|name| rooms.contains(name)).collect())
        })
        .collect();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(room, below)| (*room, below.iter().copied().collect())).collect();
    assert_eq!(drawn, allowed, "left: as cargo sees it; right: the list above");
}

/// Crash points are where debug assertions are (`crash::compiled_in`). What a build without them does with a step is
/// tested by `.ci/run`.
#[test]
fn a_release_build_has_no_crash_points() {
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    let release = manifest["profile"]["release"].to_string();
    assert!(!release.contains("debug-assertions"), "{release}");
}

/// A call that the lint doesn't name could be made without a crash point.
#[test]
fn every_call_of_the_provider_is_named_by_the_lint() {
    let lint = include_str!("../../clippy.toml");
    let client = concat!(
        include_str!("../../crates/openai/src/batches.rs"),
        include_str!("../../crates/openai/src/create.rs"),
        include_str!("../../crates/openai/src/download.rs"),
        include_str!("../../crates/openai/src/files.rs"),
        include_str!("../../crates/openai/src/transport.rs"),
    );
    let calls = client.split("pub async fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
    let calls: BTreeSet<&str> = calls.collect();
    assert!(calls.contains("create_batch"));
    for call in calls {
        assert!(lint.contains(&format!("\"openai::Client::{call}\"")), "clippy.toml doesn't name {call}");
    }
}
