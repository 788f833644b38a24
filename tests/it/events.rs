//! Events, as programs outside read them: CloudEvents whose data keep to the published schemas.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The schema of a type's data, as the documents have it.
fn schema(event_type: &str) -> jsonschema::Validator {
    let name = event_type.strip_prefix("dev.overnight.").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schemas/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// Every event there is, checked; answers the types that were seen.
pub(crate) fn checked(overnight: &testkit::Overnight) -> BTreeSet<String> {
    let ran = overnight.run(&["events", "tail", "--json"]).exits(0);
    let mut seen = BTreeSet::new();
    for line in ran.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let event_type = event["type"].as_str().unwrap();
        let wrong: Vec<_> =
            schema(event_type).iter_errors(&event["data"]).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {event}");
        assert_eq!(event["specversion"], "1.0");
        for attribute in ["id", "source", "subject", "time", "sequence", "dataschema"] {
            assert!(event[attribute].is_string(), "{attribute} in {event}");
        }
        seen.insert(event_type.to_owned());
    }
    seen
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
