//! Every refusal says what, why and what to do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, issue, on_both};

on_both! {
    async fn a_body_that_is_no_request_is_refused_with_its_place(world: World) {
        let one = json!([{ "data": issue(1) }]);
        let cases: [(Value, &str); 14] = [
            (json!({ "processor": "planner", "task_id": ["t"] }), "#/task_id"),
            (json!({ "processor": "planner", "records": [{ "data": {}, "id": 1 }] }), "#/records/0/id"),
            (json!({ "processor": "planner", "records": [{ "key": "k" }] }), "#/records/0"),
            (json!({ "processor": 7, "records": one }), "#/processor"),
            (json!({ "processor": "planner", "records": one, "kind": "party" }), "#/kind"),
            (json!({ "processor": "planner", "records": one, "priority": "urgent" }), "#/priority"),
            (json!({ "processor": "nobody", "records": one }), "#/processor"),
            (json!({ "processor": "../Cargo.toml", "records": one }), "#/processor"),
            (json!({ "records": one }), "#/processor"),
            (json!({ "processor": "planner", "records": [] }), "#/records"),
            (json!({ "processor": "planner", "filter": { "limit": 0 } }), "#/filter/limit"),
            (json!({ "processor": "planner", "task_ids": ["a", "b\u{0}"] }), "#/task_ids/1"),
            (json!({ "processor": "planner", "records": one, "labels": { "a": "\u{0}" } }), "#/labels"),
            (json!({ "processor": "planner", "records": one, "metadata": { "a": "x".repeat(20_000) } }), "#/metadata"),
        ];
        for (body, pointer) in cases {
            let refused = world.create(&body).await.refuses(422, "invalid-request");
            assert_eq!(refused.pointers(), [pointer], "{body}");
        }
        for body in [json!({}), json!({ "task_ids": ["a"], "filter": {} })] {
            world.create(&body).await.refuses(422, "invalid-request");
        }
        assert_eq!(world.get("/api/batch").await.is(200).body["data"], json!([]));
    }

    async fn a_server_reads_no_file_that_a_stranger_names(world: World) {
        let folder = std::env::temp_dir().join("not-yours.toml");
        let body = json!({ "processor": folder, "records": [{ "data": issue(1) }] });
        let refused = world.create(&body).await.refuses(422, "invalid-request");
        assert!(refused.body["errors"][0]["detail"].as_str().unwrap().starts_with("no processor is called"));
        assert!(refused.body["hint"].as_str().unwrap().contains("product-labeling"));
    }

    async fn what_is_not_json_is_refused(world: World) {
        let post = || world.request(Method::POST, "/api/batch/create");
        Answer::of(post().body("{}")).await.refuses(415, "unsupported-media-type");
        let text = post().header("content-type", "text/plain").body("{}");
        Answer::of(text).await.refuses(415, "unsupported-media-type");
        for broken in ["", "{", "{\"processor\": \"planner\"} x", "[1,"] {
            let sent = post().header("content-type", "application/json; charset=utf-8").body(broken);
            Answer::of(sent).await.refuses(400, "not-json");
        }
    }

    async fn a_body_past_the_bound_is_refused(world: World) {
        let large = "x".repeat(64 * 1024 * 1024 + 1);
        let sent = world.request(Method::POST, "/api/batch/create").header("content-type", "application/json").body(large);
        // A server that has heard enough may hang up before all of it is sent.
        if let Ok(response) = sent.send().await {
            Answer::read(response).await.refuses(413, "too-large");
        }
        world.get("/livez").await.is(200);
    }

    async fn a_wrong_way_is_told_the_right_one(world: World) {
        world.get("/api/nothing").await.refuses(404, "not-found");
        let refused = world.get("/api/batch/create").await.refuses(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), "POST");
        let refused = Answer::of(world.request(Method::DELETE, "/api/batch")).await.refuses(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), "GET,HEAD");
    }

    async fn a_database_that_is_away_is_a_reason_to_come_back(world: World) {
        world.sql("ALTER TABLE batch_jobs RENAME TO elsewhere").await;
        let refused = world.get("/api/batch/0").await.refuses(503, "unavailable");
        assert_eq!(refused.header("retry-after"), "5");
        assert!(!refused.text.contains("batch_jobs"), "{}", refused.text);
    }
}
