//! Whether it lives, whether it is ready, and how it stops.

use std::sync::Arc;

use api::Check;
use futures_util::FutureExt as _;
use serde_json::json;

use crate::harness::{Kind as Which, PATIENCE, World as Server, on_both};

on_both! {
    async fn a_schema_of_another_build_is_not_ready(world: World) {
        assert_eq!(world.get("/readyz").await.is(200).text, "ok\n");
        assert_eq!(world.get("/readyz?verbose").await.is(200).text, "ok database\n");
        world.sql("UPDATE _sqlx_migrations SET version = 99").await;
        assert_eq!(world.get("/readyz").await.is(503).text, "not ready\n");
        let verbose = world.get("/readyz?verbose").await.is(503).text;
        assert!(verbose.starts_with("failed database: the database has schema version 99"), "{verbose}");
        world.sql("DELETE FROM _sqlx_migrations").await;
        assert!(world.get("/readyz?verbose").await.is(503).text.contains("overnight migrate"));
        assert_eq!(world.get("/livez").await.is(200).text, "ok\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_must_be_there_is_asked_by_name() {
    let broken =
        Check { name: "broker", ask: Arc::new(|| async { Err("not connected".to_owned()) }.boxed()) };
    let world = Server::with(Which::Sqlite, |api| api.checks = vec![broken]).await;
    let verbose = world.get("/readyz?verbose").await.is(503).text;
    assert_eq!(verbose, "ok database\nfailed broker: not connected\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_told_and_a_trace_is_kept() {
    let world = Server::new(Which::Sqlite).await;
    assert_eq!(world.get("/version").await.is(200).body, json!({ "name": "overnight", "version": "0.0.0" }));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let sent = world.request(reqwest::Method::GET, "/nothing");
    let sent = sent.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let answer = crate::harness::Answer::of(sent).await.refuses(404, "not-found");
    assert_eq!(answer.body["trace_id"], json!(trace));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_server_and_not_what_is_in_hand() {
    let mut world = Server::new(Which::Sqlite).await;
    let id = world.job(3).await;
    world.sql("UPDATE batch_job_tasks SET status = 'failed', error_message = hex(zeroblob(4000000))").await;
    let path = format!("/api/batch/{id}/results");
    let response = world.request(reqwest::Method::GET, &path).send().await.unwrap();
    world.stop.cancel();
    assert_eq!(response.text().await.unwrap().lines().count(), 4);
    // At once, and not when it has lost its patience with somebody.
    let served = tokio::time::timeout(PATIENCE / 4, &mut world.served).await;
    served.expect("the server stops").unwrap().unwrap();
    assert!(world.request(reqwest::Method::GET, "/livez").send().await.is_err());
}
