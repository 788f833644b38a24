//! What a create refuses at once, and what it takes.

use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::harness::{World, lines};

fn create(change: &Value) -> Value {
    let mut body =
        json!({"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"});
    for (key, value) in change.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn pairs(count: usize) -> Value {
    Value::Object((0..count).map(|pair| (format!("k{pair}"), json!("v"))).collect::<Map<_, _>>())
}

#[tokio::test]
async fn a_create_that_makes_no_sense_is_refused() {
    let world = World::new("").await;
    let absent = "missing_required_parameter";
    let long_key = json!({"k".repeat(65): "v"});
    let long_key_param = format!("metadata.{}", "k".repeat(65));
    for (change, code, param) in [
        (json!({"input_file_id": null}), absent, "input_file_id"),
        (json!({"endpoint": null}), absent, "endpoint"),
        (json!({"completion_window": null}), absent, "completion_window"),
        (json!({"input_file_id": 7}), "invalid_type", "input_file_id"),
        (json!({"endpoint": "/v1/everything"}), "invalid_value", "endpoint"),
        (json!({"completion_window": "48h"}), "invalid_value", "completion_window"),
        (json!({"completion_window": ""}), "invalid_value", "completion_window"),
        (json!({"metadata": {"k": 1}}), "invalid_type", "metadata.k"),
        (json!({"metadata": "k"}), "invalid_type", "metadata"),
        (json!({"metadata": pairs(17)}), "object_above_max_properties", "metadata"),
        (json!({"metadata": long_key}), "string_above_max_length", &long_key_param),
        (json!({"metadata": {"k": "v".repeat(513)}}), "string_above_max_length", "metadata.k"),
        (json!({"output_expires_after": {"seconds": 3600}}), absent, "output_expires_after.anchor"),
        (
            json!({"output_expires_after": {"anchor": "created_at", "seconds": 1}}),
            "invalid_value",
            "output_expires_after.seconds",
        ),
        (
            json!({"output_expires_after": {"anchor": "now", "seconds": 3600}}),
            "invalid_value",
            "output_expires_after.anchor",
        ),
    ] {
        let (status, body) = world.post("/batches", &create(&change)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{change}");
        assert_eq!(body["error"]["type"], "invalid_request_error", "{change}");
        assert_eq!(body["error"]["code"], code, "{change}");
        assert_eq!(body["error"]["param"], param, "{change}");
    }
    let torn = world.client.post(world.url("/batches")).body("{\"input").send().await.unwrap();
    assert_eq!(torn.status(), StatusCode::BAD_REQUEST);
    let (_, body) = world.post("/batches", &create(&json!({"endpoint": "/v1/everything"}))).await;
    assert!(body["error"]["message"].as_str().unwrap().contains("'/v1/chat/completions'"), "{body}");
    assert_eq!(world.get("/batches").await["data"], json!([]));
}

#[tokio::test]
async fn an_absent_field_is_named() {
    let world = World::new("").await;
    let (status, body) = world.post("/batches", &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["param"], "input_file_id");
}

#[tokio::test]
async fn what_fits_exactly_is_taken_and_echoed() {
    let world = World::new("").await;
    let mut metadata = pairs(15);
    metadata["k".repeat(64)] = json!("ä".repeat(512));
    let file = world.upload(lines(1)).await;
    let expiry = json!({"anchor": "created_at", "seconds": 3600});
    let change =
        json!({"input_file_id": file, "metadata": metadata, "output_expires_after": expiry, "extra": 1});
    let (status, batch) = world.post("/batches", &create(&change)).await;
    assert_eq!(status, StatusCode::OK, "{batch}");
    assert_eq!(batch["metadata"], metadata);
    assert_eq!(batch["request_counts"], json!({"total": 0, "completed": 0, "failed": 0}));
    assert_eq!(batch["id"].as_str().unwrap().len(), 38);

    let batch = world.ended(batch["id"].as_str().unwrap()).await;
    let output = world.get(&format!("/files/{}", batch["output_file_id"].as_str().unwrap())).await;
    assert_eq!(output["expires_at"].as_i64().unwrap() - output["created_at"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn an_unknown_input_file_shows_as_a_failed_batch() {
    let world = World::new("").await;
    let (_, other) = world
        .upload_form(
            reqwest::multipart::Form::new()
                .text("purpose", "user_data")
                .part("file", reqwest::multipart::Part::text("{}").file_name("a.jsonl")),
        )
        .await;
    for file in ["file-1", other["id"].as_str().unwrap()] {
        let batch = world.create(file, "/v1/responses").await;
        let batch = world.ended(batch["id"].as_str().unwrap()).await;
        assert_eq!(batch["status"], "failed");
        assert!(batch["failed_at"].is_i64());
        assert_eq!(batch["errors"]["object"], "list");
        let error = &batch["errors"]["data"][0];
        assert_eq!(error["code"], "invalid_request");
        assert_eq!(error["param"], "file_id");
        assert_eq!(error["line"], Value::Null);
    }
}
