//! A wish that is sent twice is one job.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, World as Server, issue, on_both};

fn body(number: usize) -> Value {
    json!({ "processor": "product-labeling", "records": [{ "data": issue(number) }], "again": true })
}

async fn send(world: &Server, key: &str, body: &Value) -> Answer {
    Answer::of(world.request(Method::POST, "/api/batch/create").header("Idempotency-Key", key).json(body))
        .await
}

on_both! {
    async fn the_same_key_and_body_is_the_same_job(world: World) {
        let first = send(&world, "k", &body(1)).await.is(202);
        assert_eq!(first.header("idempotency-replayed"), "");
        let second = send(&world, "k", &body(1)).await.is(202);
        assert_eq!(second.header("idempotency-replayed"), "true");
        assert_eq!(first.body["job_id"], second.body["job_id"]);
        assert_eq!(world.get("/api/batch").await.body["data"].as_array().unwrap().len(), 1);
    }

    async fn the_same_key_with_another_body_is_refused(world: World) {
        let first = send(&world, "k", &body(1)).await.is(202);
        let refused = send(&world, "k", &body(2)).await.refuses(422, "idempotency-key-reused");
        assert!(refused.body["detail"].as_str().unwrap().contains(first.body["job_id"].as_str().unwrap()));
        assert_eq!(world.get("/api/batch").await.body["data"].as_array().unwrap().len(), 1);
    }

    async fn many_at_once_with_one_key_are_one_job(world: World) {
        let (key, wish) = ("k", body(1));
        let sent = (0..8).map(|_| send(&world, key, &wish));
        let answers = futures_util::future::join_all(sent).await;
        let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
        let ids: std::collections::BTreeSet<_> =
            answers.iter().map(|answer| answer.body["job_id"].to_string()).collect();
        assert!(answers.iter().all(|answer| answer.status == 202), "{}", answers[0].text);
        assert_eq!((fresh, ids.len()), (1, 1), "{ids:?}");
        assert_eq!(world.get("/api/batch").await.body["data"].as_array().unwrap().len(), 1);
    }

    async fn a_backlog_task_that_the_same_wish_has_claimed_is_no_refusal(world: World) {
        world.backlog(&[("t1", "acme/app", "planner")]).await;
        let wish = json!({ "processor": "planner", "task_ids": ["t1"] });
        let sent = (0..4).map(|_| send(&world, "k", &wish));
        let answers = futures_util::future::join_all(sent).await;
        assert!(answers.iter().all(|answer| answer.status == 202), "{:?}", answers.iter().map(|a| &a.text).collect::<Vec<_>>());
    }

    async fn a_beginning_that_a_job_shares_with_its_retry_names_the_job_that_the_key_has(world: World) {
        let parent = world.job(1).await;
        world.end_task(&parent, "r1", "failed", Some("server_error")).await;
        // Ids begin with their time: this one begins the retry's, too.
        let wish = json!({ "reprocess_failed": { "job": "0" } });
        let first = send(&world, "k", &wish).await.is(202);
        let second = send(&world, "k", &wish).await.is(202);
        assert_eq!(second.header("idempotency-replayed"), "true");
        assert_eq!(first.body["job_id"], second.body["job_id"]);
    }

    async fn a_key_that_is_none_is_refused(world: World) {
        for key in ["", &"k".repeat(256)] {
            send(&world, key, &body(1)).await.refuses(400, "invalid-idempotency-key");
        }
    }
}
