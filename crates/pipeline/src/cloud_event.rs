//! The envelope of an event: CloudEvents 1.0, the same in the broker and on the command line.

use domain::EventType;
use serde_json::{Value, json};
use store::EventRow;

/// The source of events of the installation with this instance tag.
#[must_use]
pub fn source(instance_tag: &str) -> String {
    format!("urn:overnight:{instance_tag}")
}

/// The event in its envelope. `source` names this installation: with the id it tells events of several
/// apart.
#[must_use]
pub fn cloud_event(event: &EventRow, source: &str) -> Value {
    let mut envelope = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": full_type(event.event_type),
        "subject": event.subject,
        "time": event.created_at,
        "datacontenttype": "application/json",
        "dataschema": format!("urn:overnight:schema:{}", event.event_type.as_str()),
        "sequence": event.sequence.to_string(),
        "partitionkey": event.stream.to_string(),
        "data": event.data,
    });
    if let Some(trace) = event.trace {
        envelope["traceparent"] = json!(trace.to_string());
    }
    envelope
}

/// The type in an envelope.
#[must_use]
pub fn full_type(event_type: EventType) -> String {
    format!("dev.overnight.{}", event_type.as_str())
}

/// The key that an event is published under: its type without the version, then what consumers choose by.
#[must_use]
pub fn routing_key(event: &EventRow) -> String {
    let name = event.event_type.as_str().trim_end_matches(".v1");
    let word = |key: &str| event.data[key].as_str().unwrap_or("none");
    match event.event_type {
        EventType::TaskCompleted => format!("{name}.{}.{}", word("outcome"), word("kind")),
        EventType::JobAccepted | EventType::JobCompleted => format!("{name}.{}", word("kind")),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{EventId, JobId, Stream, Time, Trace};

    use super::*;

    #[test]
    fn a_consumer_can_choose_by_outcome_and_kind() {
        let row = |event_type, data| EventRow {
            id: EventId(uuid::Uuid::nil()),
            event_type,
            subject: "job/1".to_owned(),
            stream: Stream::Job(JobId(uuid::Uuid::nil())),
            sequence: 7,
            data,
            trace: Some(Trace::of(uuid::Uuid::from_u128(7))),
            created_at: Time::UNIX_EPOCH,
        };
        let task = row(EventType::TaskCompleted, json!({ "outcome": "failed", "kind": "task_processing" }));
        assert_eq!(routing_key(&task), "task.completed.failed.task_processing");
        assert_eq!(routing_key(&row(EventType::BatchCreated, json!({}))), "batch.created");
        let envelope = cloud_event(&task, "overnight/x");
        assert_eq!(envelope["type"], "dev.overnight.task.completed.v1");
        assert_eq!(envelope["traceparent"], "00-00000000000000000000000000000007-0000000000000007-01");
        assert_eq!((&envelope["sequence"], &envelope["source"]), (&json!("7"), &json!("overnight/x")));
    }
}
