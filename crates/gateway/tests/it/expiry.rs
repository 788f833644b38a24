//! What happens when time is up. Nobody waits: the times in the database are turned back.

use serde_json::{Value, json};

use crate::harness::{PATIENCE, World, lines};

#[tokio::test]
async fn a_batch_whose_window_closed_expires_with_what_it_has() {
    let world = World::new("hold=true").await;
    let id = world.submit(lines(3), "/v1/responses").await;
    world.until(&id, |batch| batch["status"] == "in_progress").await;
    let world = world.tampered("UPDATE served_batches SET expires_at = 1", "").await;
    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "expired");
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 0, "failed": 0}));
    assert_eq!(batch["output_file_id"], Value::Null);
    let lines = world.lines(&batch["error_file_id"]).await;
    assert_eq!(lines.len(), 3);
    assert!(lines.values().all(|line| line["error"]["code"] == "batch_expired"));
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 0);
}

#[tokio::test]
async fn a_file_whose_time_is_up_is_gone() {
    let world = World::new("").await;
    let id = world.upload("{}\n").await;
    let world = world.tampered("UPDATE served_files SET expires_at = 1", "").await;
    let (status, _) = world.call(reqwest::Method::GET, &format!("/files/{id}")).await;
    assert_eq!(status, reqwest::StatusCode::NOT_FOUND);
    assert_eq!(world.get("/files").await["data"], json!([]));
    let bytes = world.folder.path().join("files").join(&id);
    let removed = async {
        while bytes.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.expect("its bytes go too");
}
