//! Events, as programs outside read them: CloudEvents whose data keep to the published schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::EventType;
use serde_json::Value;

/// A document.
fn document(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Puts what is referred to in its place.
fn resolved(value: &Value, asyncapi: &Value) -> Value {
    if let Some(place) = value["$ref"].as_str() {
        return match place.strip_prefix('#') {
            Some(pointer) => resolved(asyncapi.pointer(pointer).unwrap(), asyncapi),
            None => document(place),
        };
    }
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), resolved(value, asyncapi))).collect()
        }
        Value::Array(values) => values.iter().map(|value| resolved(value, asyncapi)).collect(),
        other => other.clone(),
    }
}

/// What the AsyncAPI document says of each message, by its name: its whole schema.
pub(crate) fn messages() -> BTreeMap<String, jsonschema::Validator> {
    let asyncapi = document("asyncapi.json");
    let messages = asyncapi["components"]["messages"].as_object().unwrap().values();
    let validator = |message: &Value| {
        let schema = resolved(&message["payload"], &asyncapi);
        (message["name"].as_str().unwrap().to_owned(), jsonschema::validator_for(&schema).unwrap())
    };
    messages.map(validator).collect()
}

/// Every event there is, checked; answers the types that were seen.
pub(crate) fn checked(overnight: &testkit::Overnight) -> BTreeSet<String> {
    let (messages, mut seen) = (messages(), BTreeSet::new());
    let ran = overnight.run(&["events", "tail", "--json"]).exits(0);
    for line in ran.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let event_type = event["type"].as_str().unwrap();
        let wrong: Vec<_> = messages[event_type].iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {event}");
        seen.insert(event_type.to_owned());
    }
    seen
}

#[test]
fn every_type_of_event_is_in_the_documents_and_nothing_else_is() {
    let mut types: Vec<String> = EventType::ALL.iter().map(|event| event.as_str().to_owned()).collect();
    types.push("command.reprocess_failed.v1".to_owned());
    types.sort();
    let told: Vec<String> = types.iter().map(|event| format!("dev.overnight.{event}")).collect();
    assert_eq!(messages().into_keys().collect::<Vec<_>>(), told);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<String> = files.map(|name| name.to_string_lossy().replace(".json", "")).collect();
    files.sort();
    assert_eq!(files, types);
    let asyncapi = document("asyncapi.json");
    let mut channels = BTreeSet::new();
    for operation in asyncapi["operations"].as_object().unwrap().values() {
        let channel = operation["channel"]["$ref"].as_str().unwrap();
        channels.insert(channel.rsplit('/').next().unwrap());
        let channel = asyncapi.pointer(channel.trim_start_matches('#')).unwrap();
        let message = resolved(channel["messages"].as_object().unwrap().values().next().unwrap(), &asyncapi);
        let name = message["name"].as_str().unwrap().trim_start_matches("dev.overnight.");
        assert_eq!(document(&format!("schemas/{name}.json"))["$id"], format!("urn:overnight:schema:{name}"));
        let (address, heard) = (channel["address"].as_str().unwrap(), operation["action"] == "receive");
        assert!(
            heard == (address == "inbox") && (heard || address.starts_with(name.trim_end_matches(".v1"))),
            "{address}"
        );
    }
    assert!(
        asyncapi["channels"].as_object().unwrap().keys().all(|channel| channels.contains(channel.as_str()))
    );
    // People read it as a table.
    let table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/integration.md"))
            .unwrap();
    for event in types {
        let short = event.rsplit_once('.').unwrap().0.rsplit_once('.').unwrap().1;
        assert!(
            table.contains(&format!("dev.overnight.{event}")) || table.contains(&format!("`.{short}.v1`")),
            "{event}"
        );
    }
}

#[test]
fn what_is_said_of_schedules_keeps_to_its_schema() {
    let overnight = crate::overnight();
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let _ = overnight.run(&["schedule", "pause", "--reason", "a test"]).exits(0);
    let _ = overnight.run(&["schedule", "resume"]).exits(0);
    let seen = checked(&overnight);
    for name in ["run.started", "run.finished", "paused", "resumed"] {
        assert!(
            seen.contains(&format!("dev.overnight.schedule.{name}.v1")),
            "{name} was never said: {seen:?}"
        );
    }
}

#[test]
fn every_event_keeps_to_its_schema() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "server_error=0.2,missing=0.1,seed=3");
    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    let _ = overnight.run(&["schedule", "run"]);
    let seen = checked(&overnight);
    for name in ["job.accepted", "job.completed", "task.completed", "batch.created", "batch.status_changed"] {
        assert!(seen.contains(&format!("dev.overnight.{name}.v1")), "{name} was never said");
    }
}

#[test]
fn what_waits_for_a_person_is_said_and_so_is_what_the_person_decided() {
    let (overnight, job) = crate::parked::forgotten();
    let _ = overnight.run(&["batch", "resolve", &job, "give-up"]).exits(0);
    let _ = overnight.run(&["batch", "wait", &job]).exits(5);
    let seen = checked(&overnight);
    for name in ["batch.parked", "batch.resolved"] {
        assert!(seen.contains(&format!("dev.overnight.{name}.v1")), "{name} was never said");
    }
}
