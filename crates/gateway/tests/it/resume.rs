//! What a crash leaves, and what the next start makes of it.

use std::time::Duration;

use crate::harness::{World, client, config, lines};

const ROWS: usize = 300;

/// Starts a gateway in a runtime of its own, submits, and pulls the plug while rows are in flight.
fn crashed(sim: &'static str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let crash = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let id = runtime.block_on(async {
            let mut config = config(&path, sim);
            config.concurrency = 8;
            let running = gateway::start(config).await.unwrap();
            let world = World { folder: tempfile::tempdir().unwrap(), running, client: client() };
            let id = world.submit(lines(ROWS), "/v1/responses").await;
            world.until(&id, |batch| batch["request_counts"]["completed"].as_u64() > Some(30)).await;
            // Nobody shuts it down: it dies with the runtime, like all of its tasks, at whatever await.
            tokio::spawn(async move {
                let _dies_here = world;
                std::future::pending::<()>().await;
            });
            id
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
        id
    };
    let id = std::thread::spawn(crash).join().unwrap();
    (folder, id)
}

#[tokio::test]
async fn after_a_crash_no_durable_row_runs_again_and_none_is_lost() {
    let (folder, id) =
        tokio::task::spawn_blocking(|| crashed("latency_ms=20,server_error=0.1")).await.unwrap();
    // A line that was being written when the plug was pulled, and bytes that never got an id.
    let database = folder.path().join("served.db");
    assert!(database.exists());
    for entry in std::fs::read_dir(folder.path().join("files")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains("orphan") && is_result(&path) {
            append(&path, b"{\"id\":\"batch_req_torn");
        }
    }
    std::fs::write(folder.path().join("files/file-orphan"), "nobody's").unwrap();

    let running = gateway::start(config(folder.path(), "latency_ms=1,server_error=0.1")).await.unwrap();
    let world = World { folder, running, client: client() };
    let before = world.number("SELECT count(*) FROM served_rows").await;
    assert!(before < i64::try_from(ROWS).unwrap(), "the crash came too late to mean anything");
    let batch = world.ended(&id).await;
    assert_eq!(batch["status"], "completed");

    let (done, failed) =
        (world.lines(&batch["output_file_id"]).await, world.lines(&batch["error_file_id"]).await);
    assert_eq!(done.len() + failed.len(), ROWS);
    assert_eq!(batch["request_counts"]["completed"], done.len());
    assert_eq!(batch["request_counts"]["failed"], failed.len());
    let paid = i64::try_from(done.len()).unwrap();
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, paid);
    assert_eq!(world.number("SELECT count(DISTINCT custom_id) FROM served_runs").await, paid);
    assert_eq!(world.number("SELECT count(*) FROM served_rows").await, i64::try_from(ROWS).unwrap());
    assert!(!world.folder.path().join("files/file-orphan").exists());
}

/// Whether a file holds result lines (input lines have a method).
fn is_result(path: &std::path::Path) -> bool {
    !std::fs::read_to_string(path).unwrap().contains("\"method\"")
}

fn append(path: &std::path::Path, bytes: &[u8]) {
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_gateway_that_is_dropped_lets_go_of_its_folder() {
    let world = World::new("latency_ms=50").await;
    let id = world.submit(lines(200), "/v1/responses").await;
    world.until(&id, |batch| batch["request_counts"]["completed"].as_u64() > Some(0)).await;
    let World { folder, running, client } = world;
    drop(running);
    let running = gateway::start(config(folder.path(), "")).await.unwrap();
    let world = World { folder, running, client };
    let batch = world.ended(&id).await;
    assert_eq!(batch["request_counts"]["completed"], 200);
    assert_eq!(world.number("SELECT count(*) FROM served_runs").await, 200);
}

#[tokio::test]
async fn a_folder_has_one_gateway() {
    let world = World::new("").await;
    let error = gateway::start(config(world.folder.path(), "")).await.unwrap_err();
    assert!(matches!(error, gateway::GatewayError::InUse { .. }), "{error}");
}
