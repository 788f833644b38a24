//! Faults on demand, as a client of the batch sees them.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{World, lines};

#[tokio::test]
async fn each_fault_looks_like_the_provider_s_own() {
    let world = World::new(
        "rate_limited=0.1,server_error=0.1,missing=0.1,broken_json=0.1,duplicate=0.1,status_zero=0.1",
    )
    .await;
    let total = 1000;
    let id = world.submit(lines(total), "/v1/responses").await;
    let batch = world.ended(&id).await;
    let (output, errors) =
        (world.content(&batch["output_file_id"]).await, world.lines(&batch["error_file_id"]).await);

    let by_status = |status: u64| {
        errors.values().filter(|line| line["response"]["status_code"] == status).collect::<Vec<_>>()
    };
    let about_a_tenth = |count: usize| assert!((60..=140).contains(&count), "{count} of {total}");
    about_a_tenth(by_status(429).len());
    about_a_tenth(by_status(500).len());
    assert_eq!(by_status(429).len() + by_status(500).len(), errors.len());
    assert_eq!(by_status(429)[0]["response"]["body"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(by_status(429)[0]["error"], Value::Null);

    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut torn, mut zero) = (0, 0);
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            torn += 1;
            continue;
        };
        zero += usize::from(line["response"]["status_code"] == 0);
        *seen.entry(line["custom_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    about_a_tenth(torn);
    about_a_tenth(zero);
    about_a_tenth(seen.values().filter(|count| **count == 2).count());
    let missing = total - errors.len() - seen.len() - torn;
    about_a_tenth(missing);

    // Missing and torn lines count as completed, and were paid for; refused ones were not.
    assert_eq!(batch["request_counts"]["failed"], errors.len());
    assert_eq!(batch["request_counts"]["completed"], total - errors.len());
    let runs = usize::try_from(world.number("SELECT count(*) FROM served_runs").await).unwrap();
    assert_eq!(runs, total - errors.len() - zero);
}

#[tokio::test]
async fn an_answer_can_be_made_to_violate_its_schema() {
    let world = World::new("schema_break=1").await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let format = json!({"format": {"type": "json_schema", "name": "a", "strict": true, "schema": schema}});
    let body = json!({"model": "gpt-5.2", "input": "x", "text": format});
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body});
    let id = world.submit(line.to_string(), "/v1/responses").await;
    let batch = world.ended(&id).await;
    let lines = world.lines(&batch["output_file_id"]).await;
    let text = lines["a"]["response"]["body"]["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(!jsonschema::is_valid(&schema, &serde_json::from_str(text).unwrap()), "{text}");
}

#[tokio::test]
async fn a_batch_can_be_made_to_expire_half_way() {
    let world = World::new("expire_after_rows=0.5,expire_batches=1,latency_ms=1").await;
    let file = world.upload(lines(100)).await;
    let first = world.create(&file, "/v1/responses").await["id"].as_str().unwrap().to_owned();
    let second = world.create(&file, "/v1/responses").await["id"].as_str().unwrap().to_owned();
    let batch = world.ended(&first).await;
    assert_eq!(batch["status"], "expired");
    assert!(batch["expired_at"].is_i64());
    assert_eq!(batch["request_counts"], json!({"total": 100, "completed": 50, "failed": 0}));
    let (done, expired) =
        (world.lines(&batch["output_file_id"]).await, world.lines(&batch["error_file_id"]).await);
    assert_eq!((done.len(), expired.len()), (50, 50));
    assert!(expired.keys().all(|id| !done.contains_key(id)));
    for line in expired.values() {
        assert_eq!(line["response"], Value::Null);
        assert_eq!(line["error"]["code"], "batch_expired");
    }
    assert_eq!(world.ended(&second).await["status"], "completed");
}
