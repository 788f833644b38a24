//! Cancelling, at every point of a batch's life.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{World, lines};

#[tokio::test]
async fn a_cancelled_batch_keeps_what_ran_and_says_what_did_not() {
    let world = World::with("latency_ms=30", |config| config.concurrency = 8).await;
    let id = world.submit(lines(400), "/v1/responses").await;
    world.until(&id, |batch| batch["request_counts"]["completed"].as_u64() > Some(20)).await;
    // No body and no content type, as the official clients send it.
    let (status, batch) = world.call(Method::POST, &format!("/batches/{id}/cancel")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(batch["status"], "cancelling");
    assert!(batch["cancelling_at"].is_i64());

    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "cancelled");
    assert!(batch["cancelled_at"].is_i64());
    let (done, not_done) =
        (world.lines(&batch["output_file_id"]).await, world.lines(&batch["error_file_id"]).await);
    assert!(done.len() > 20 && !not_done.is_empty());
    assert_eq!(done.len() + not_done.len(), 400);
    assert!(not_done.keys().all(|id| !done.contains_key(id)));
    assert_eq!(batch["request_counts"], json!({"total": 400, "completed": done.len(), "failed": 0}));
    for line in not_done.values() {
        assert_eq!(line["response"], json!(null));
        assert_eq!(line["error"]["code"], "batch_cancelled");
    }
    let runs = world.number("SELECT count(*) FROM served_runs").await;
    assert_eq!(usize::try_from(runs).unwrap(), done.len(), "what was paid for is in the output file");

    let (status, again) = world.call(Method::POST, &format!("/batches/{id}/cancel")).await;
    assert_eq!((status, again), (StatusCode::OK, batch));
}

#[tokio::test]
async fn a_held_batch_is_cancelled_at_once() {
    let world = World::new("hold=true").await;
    let id = world.submit(lines(3), "/v1/responses").await;
    world.until(&id, |batch| batch["status"] == "in_progress").await;
    world.call(Method::POST, &format!("/batches/{id}/cancel")).await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "cancelled");
    assert_eq!(batch["output_file_id"], json!(null));
    assert_eq!(world.lines(&batch["error_file_id"]).await.len(), 3);
}

#[tokio::test]
async fn a_batch_that_has_ended_cannot_be_cancelled() {
    let world = World::new("expire_after_rows=0.5,expire_batches=1").await;
    let expired = world.submit(lines(4), "/v1/responses").await;
    world.ended(&expired).await;
    let completed = world.submit(lines(1), "/v1/responses").await;
    let failed = world.submit("{}\n", "/v1/responses").await;
    for (id, status) in [(expired, "expired"), (completed, "completed"), (failed, "failed")] {
        assert_eq!(world.ended(&id).await["status"], status);
        let url = world.url(&format!("/batches/{id}/cancel"));
        let answer = world.client.post(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let body: serde_json::Value = answer.json().await.unwrap();
        let message = format!("Cannot cancel a batch with status '{status}'.");
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": null});
        assert_eq!(body["error"], error);
    }
}

#[tokio::test]
async fn an_unknown_batch_is_not_found() {
    let world = World::new("").await;
    for (method, path) in [(Method::POST, "/batches/batch_1/cancel"), (Method::GET, "/batches/batch_1")] {
        let (status, body) = world.call(method, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body["error"]["message"].as_str().unwrap().contains("batch_1"), "{body}");
    }
}
