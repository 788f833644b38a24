//! Upload, create, wait, download: for each endpoint.

use serde_json::{Value, json};

use crate::harness::{World, line, lines};

const RESPONSES: &str = "/v1/responses";

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": ["bug", "feature", "question"]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "reason": {"type": "string", "minLength": 10, "maxLength": 80},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            "duplicate_of": {"type": ["string", "null"]}
        },
        "required": ["label", "confidence", "reason", "tags", "duplicate_of"],
        "additionalProperties": false
    })
}

fn asked(custom_id: &str, url: &str, body: &Value) -> String {
    json!({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).to_string() + "\n"
}

#[tokio::test]
async fn a_batch_of_responses_runs_to_its_end() {
    let world = World::new("").await;
    let format =
        json!({"format": {"type": "json_schema", "name": "label", "strict": true, "schema": schema()}});
    let body = |row: u32| json!({"model": "gpt-5.2", "instructions": "Label it.", "input": format!("Issue {row}"), "text": format});
    let input: String = (0..20).map(|row| asked(&format!("row-{row}"), RESPONSES, &body(row))).collect();
    let id = world.submit(input, RESPONSES).await;
    let batch = world.ended(&id).await;

    assert_eq!(batch["status"], "completed");
    assert_eq!(batch["model"], "gpt-5.2");
    assert_eq!(batch["request_counts"], json!({"total": 20, "completed": 20, "failed": 0}));
    assert_eq!(batch["error_file_id"], Value::Null);
    assert_eq!(batch["errors"], Value::Null);
    let created = batch["created_at"].as_i64().unwrap();
    assert_eq!(batch["expires_at"].as_i64().unwrap(), created + 86_400);
    for time in ["in_progress_at", "finalizing_at", "completed_at"] {
        assert!(batch[time].as_i64().unwrap() >= created, "{time}");
    }

    let validator = jsonschema::validator_for(&schema()).unwrap();
    let (mut input_tokens, mut output_tokens) = (0, 0);
    let lines = world.lines(&batch["output_file_id"]).await;
    assert_eq!(lines.len(), 20);
    for (row, line) in (0..20).map(|row| (row, &lines[&format!("row-{row}")])) {
        assert!(line["id"].as_str().unwrap().starts_with("batch_req_"));
        assert_eq!(line["error"], Value::Null);
        assert_eq!(line["response"]["status_code"], 200);
        let body = &line["response"]["body"];
        assert!(body["id"].as_str().unwrap().starts_with("resp_sim_"));
        assert_eq!(body["metadata"]["simulated"], "true");
        let text = body["output"][0]["content"][0]["text"].as_str().unwrap();
        assert!(validator.is_valid(&serde_json::from_str(text).unwrap()), "{text}");
        let expected = tokens::count("gpt-5.2", &format!("Label it.\nIssue {row}"));
        assert_eq!(body["usage"]["input_tokens"].as_u64(), u64::try_from(expected).ok());
        assert_eq!(
            body["usage"]["output_tokens"].as_u64(),
            u64::try_from(tokens::count("gpt-5.2", text)).ok()
        );
        input_tokens += body["usage"]["input_tokens"].as_u64().unwrap();
        output_tokens += body["usage"]["output_tokens"].as_u64().unwrap();
    }
    assert_eq!(batch["usage"]["input_tokens"], input_tokens);
    assert_eq!(batch["usage"]["output_tokens"], output_tokens);
    assert_eq!(batch["usage"]["total_tokens"], input_tokens + output_tokens);
    let paid = "SELECT sum(input_tokens + output_tokens) FROM served_runs";
    assert_eq!(world.number(paid).await, i64::try_from(input_tokens + output_tokens).unwrap());
}

#[tokio::test]
async fn a_batch_of_chat_completions_satisfies_its_schema() {
    let world = World::new("").await;
    let url = "/v1/chat/completions";
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "label", "strict": true, "schema": schema()}});
    let messages = json!([{"role": "user", "content": "The export crashes"}]);
    let mut input = asked(
        "schema",
        url,
        &json!({"model": "gpt-4o-mini", "messages": messages, "response_format": format}),
    );
    input += &asked("free", url, &json!({"model": "gpt-4o-mini", "messages": messages}));
    let id = world.submit(input, url).await;
    let batch = world.ended(&id).await;
    let lines = world.lines(&batch["output_file_id"]).await;

    let content =
        |id: &str| lines[id]["response"]["body"]["choices"][0]["message"]["content"].as_str().unwrap();
    let label: Value = serde_json::from_str(content("schema")).unwrap();
    assert!(jsonschema::is_valid(&schema(), &label), "{label}");
    assert!(content("free").starts_with("[simulated]"));
    assert_eq!(lines["free"]["response"]["body"]["choices"][0]["finish_reason"], "stop");
    assert_eq!(lines["free"]["response"]["body"]["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn a_batch_of_embeddings_answers_every_input() {
    let world = World::new("").await;
    let body = json!({"model": "text-embedding-3-large", "input": ["hello world", "bye"], "dimensions": 16});
    let id = world.submit(asked("a", "/v1/embeddings", &body), "/v1/embeddings").await;
    let batch = world.ended(&id).await;
    let lines = world.lines(&batch["output_file_id"]).await;
    let body = &lines["a"]["response"]["body"];
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!(body["data"][1]["embedding"].as_array().unwrap().len(), 16);
    assert_eq!(body["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
}

#[tokio::test]
async fn a_batch_whose_lines_all_fail_is_completed_without_an_output_file() {
    let world = World::new("").await;
    let body = json!({"model": "omni-moderation-latest", "input": "x"});
    let id = world.submit(asked("a", "/v1/moderations", &body), "/v1/moderations").await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "completed");
    assert_eq!(batch["request_counts"], json!({"total": 1, "completed": 0, "failed": 1}));
    assert_eq!(batch["output_file_id"], Value::Null);
    let lines = world.lines(&batch["error_file_id"]).await;
    assert_eq!(lines["a"]["response"]["status_code"], 400);
    assert_eq!(lines["a"]["response"]["body"]["error"]["type"], "invalid_request_error");
    assert_eq!(lines["a"]["error"], Value::Null);
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 0);
}

#[tokio::test]
async fn the_same_input_is_answered_the_same_everywhere() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let world = World::new("seed=3").await;
        let id = world.submit(lines(3), RESPONSES).await;
        let batch = world.ended(&id).await;
        let lines = world.lines(&batch["output_file_id"]).await;
        answers.push(lines["row-1"]["response"]["body"]["output"].clone());
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn blank_lines_and_a_missing_last_newline_are_no_requests() {
    let world = World::new("").await;
    let input = format!("{}\n\n{}", line("a"), line("b"));
    let id = world.submit(input, RESPONSES).await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["request_counts"], json!({"total": 2, "completed": 2, "failed": 0}));
}

#[tokio::test]
async fn a_shutdown_leaves_a_batch_that_a_later_start_ends() {
    let world = World::new("latency_ms=30").await;
    let id = world.submit(lines(300), RESPONSES).await;
    world.until(&id, |batch| batch["request_counts"]["completed"].as_u64() > Some(0)).await;
    let World { folder, running, client } = world;
    running.shutdown().await;
    let running = gateway::start(crate::harness::config(folder.path(), "")).await.unwrap();
    let world = World { folder, running, client };
    let batch = world.ended(&id).await;
    assert_eq!(batch["request_counts"], json!({"total": 300, "completed": 300, "failed": 0}));
    assert_eq!(world.lines(&batch["output_file_id"]).await.len(), 300);
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 300);
}
