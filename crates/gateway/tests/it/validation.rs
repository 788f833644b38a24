//! What the check of an input file finds.

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, line, lines};

/// Runs the check on a good first line and the given others.
async fn found(world: &World, endpoint: &str, good: &str, bad: &[Value]) -> Vec<Value> {
    let mut input = format!("{good}\n");
    for line in bad {
        let text = line.as_str().map_or_else(|| line.to_string(), str::to_owned);
        writeln!(input, "{text}").unwrap();
    }
    let id = world.submit(input, endpoint).await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "failed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 0, "completed": 0, "failed": 0}));
    assert_eq!(batch["output_file_id"], Value::Null);
    batch["errors"]["data"].as_array().unwrap().clone()
}

/// A good line for `/v1/responses` with one part changed.
fn with(custom_id: &str, path: &str, value: Value) -> Value {
    let mut line: Value = serde_json::from_str(&line(custom_id)).unwrap();
    *line.pointer_mut(path).unwrap() = value;
    line
}

fn brief(errors: &[Value]) -> Vec<(String, Value, Value)> {
    let brief = |error: &Value| {
        assert!(!error["message"].as_str().unwrap().is_empty());
        (error["code"].as_str().unwrap().to_owned(), error["param"].clone(), error["line"].clone())
    };
    errors.iter().map(brief).collect()
}

#[tokio::test]
async fn every_fault_of_a_line_is_named_with_its_line() {
    let world = World::new("").await;
    let bare = |field: &str| {
        let mut line: Value = serde_json::from_str(&line("bare")).unwrap();
        line.as_object_mut().unwrap().remove(field);
        line
    };
    let bad = [
        json!("{\"custom_id\": torn"),
        bare("custom_id"),
        bare("method"),
        bare("url"),
        bare("body"),
        with("b", "/url", json!("/v1/chat/completions")),
        with("c", "/body/model", json!("gpt-4o")),
        with("a", "/url", json!("/v1/responses")),
        with("d", "/body", json!({"model": "gpt-5.2", "input": "x", "stream": true})),
        with("e", "/body", json!({"input": "x"})),
        with("f", "/body", json!({"model": "gpt-5.2"})),
        with("g", "/method", json!("GET")),
        with("h", "/custom_id", json!(7)),
        json!("[1, 2]"),
        with("i", "/body", json!("text")),
    ];
    let errors = found(&world, "/v1/responses", &line("a"), &bad).await;
    let expected = [
        ("invalid_json_line", Value::Null, 2),
        ("missing_required_parameter", json!("custom_id"), 3),
        ("missing_required_parameter", json!("method"), 4),
        ("missing_required_parameter", json!("url"), 5),
        ("missing_required_parameter", json!("body"), 6),
        ("invalid_url", json!("url"), 7),
        ("mismatched_model", json!("body.model"), 8),
        ("duplicate_custom_id", json!("custom_id"), 9),
        ("streaming_unsupported", json!("body.stream"), 10),
        ("invalid_request", json!("body.model"), 11),
        ("invalid_request", json!("body.input"), 12),
        ("invalid_request", json!("method"), 13),
        ("invalid_request", Value::Null, 14),
        ("invalid_json_line", Value::Null, 15),
        ("invalid_request", json!("body"), 16),
    ]
    .map(|(code, param, line)| (code.to_owned(), param, json!(line)));
    assert_eq!(brief(&errors), expected);
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 0);
}

#[tokio::test]
async fn chat_wants_messages() {
    let world = World::new("").await;
    let url = "/v1/chat/completions";
    let line = |id: &str, body: Value| json!({"custom_id": id, "method": "POST", "url": url, "body": body});
    let good = line("a", json!({"model": "gpt-4o", "messages": []})).to_string();
    let errors = found(&world, url, &good, &[line("b", json!({"model": "gpt-4o"}))]).await;
    assert_eq!(brief(&errors), [("invalid_request".to_owned(), json!("body.messages"), json!(2))]);
}

#[tokio::test]
async fn at_most_a_hundred_faults_are_listed() {
    let world = World::new("").await;
    let bad: Vec<Value> = (0..150).map(|_| json!("torn")).collect();
    assert_eq!(found(&world, "/v1/responses", &line("a"), &bad).await.len(), 100);
}

#[tokio::test]
async fn more_rows_than_the_limit_are_refused() {
    let world = World::new("").await;
    let id = world.submit(lines(50_001), "/v1/responses").await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["errors"]["data"].as_array().unwrap().len(), 1);
    assert_eq!(batch["errors"]["data"][0]["code"], "too_many_requests_in_batch");
}

#[tokio::test]
async fn a_batch_whose_file_was_deleted_first_never_runs() {
    let world = World::new("").await;
    let file = world.upload(lines(5)).await;
    world.call(Method::DELETE, &format!("/files/{file}")).await;
    let batch = world.create(&file, "/v1/responses").await;
    let batch = world.ended(batch["id"].as_str().unwrap()).await;
    assert_eq!(batch["status"], "failed");
    assert_eq!(batch["errors"]["data"][0]["param"], "file_id");
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 0);
}

#[tokio::test]
async fn a_running_batch_outlives_the_deletion_of_its_file() {
    let world = World::new("latency_ms=30").await;
    let file = world.upload(lines(200)).await;
    let batch = world.create(&file, "/v1/responses").await;
    let id = batch["id"].as_str().unwrap();
    world.until(id, |batch| batch["request_counts"]["completed"].as_u64() > Some(0)).await;
    let bytes = world.folder.path().join("files").join(&file);
    world.call(Method::DELETE, &format!("/files/{file}")).await;
    assert!(bytes.exists(), "the batch still reads it");
    let batch = world.ended(id).await;
    assert_eq!(batch["request_counts"]["completed"], 200);
    let freed = async {
        while bytes.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, freed).await.expect("its bytes go with the batch");
}
