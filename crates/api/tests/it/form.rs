//! A wish as a form, with its records a line each.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::harness::{Answer, World as Server, issue, on_both};

fn form(wish: &str, records: &str) -> Form {
    let part = |text: &str, media: &str| Part::text(text.to_owned()).mime_str(media).unwrap();
    let records = part(records, "application/x-ndjson").file_name("records.jsonl");
    Form::new().part("wish", part(wish, "application/json")).part("records", records)
}

async fn send(world: &Server, form: Form, key: &str) -> Answer {
    let request = world.request(Method::POST, "/api/batch/create").multipart(form);
    Answer::of(if key.is_empty() { request } else { request.header("Idempotency-Key", key) }).await
}

const WISH: &str = r#"{"processor": "product-labeling", "labels": {"team": "web"}}"#;

on_both! {
    async fn lines_become_tasks_and_once_only(world: World) {
        let lines = format!("{}\r\n\n{}\n{}", json!({ "key": "a", "data": issue(1) }), issue(2), json!({ "data": issue(3) }));
        let answer = send(&world, form(WISH, &lines), "k").await.is(202);
        assert_eq!((&answer.body["submitted"], &answer.body["job"]["labels"]["team"]), (&json!(3), &json!("web")));
        // Another boundary, the same parts in another order: the same wish.
        let turned = Form::new().text("records", lines.clone()).text("wish", WISH);
        let again = send(&world, turned, "k").await.is(202);
        assert_eq!((again.header("idempotency-replayed"), &again.body["job_id"]), ("true", &answer.body["job_id"]));
        send(&world, form(WISH, &issue(4).to_string()), "k").await.refuses(422, "idempotency-key-reused");
    }

    async fn what_is_wrong_names_its_line(world: World) {
        let good = json!({ "key": "a", "data": issue(1) });
        let ready = json!({ "custom_id": "x", "method": "POST", "url": "/v1/responses", "body": {} });
        let lines = format!("{good}\n{{\"key\": \n\n[1]\n{ready}\n{}", json!({ "key": "b", "data": {}, "more": 1 }));
        let refused = send(&world, form(WISH, &lines), "").await.refuses(422, "invalid-records");
        let faults: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|fault| fault["detail"].as_str().unwrap()).collect();
        let begins = ["line 2 of records: not JSON: EOF", "line 4 of records: not a JSON object", "line 5 of records: a ready batch line", "line 6 of records: unknown field `more`"];
        assert_eq!(faults.len(), begins.len(), "{faults:?}");
        assert!(faults.iter().zip(begins).all(|(fault, begin)| fault.starts_with(begin)), "{faults:?}");
        // JSON that is no record is found a step later, and names its line as well.
        let lines = format!("{good}\n\n{}\n", json!({ "text": "no issue" }));
        let refused = send(&world, form(WISH, &lines), "").await.refuses(422, "invalid-records");
        let fault = refused.body["errors"][0]["detail"].as_str().unwrap();
        assert!(fault.starts_with("line 3 of records/data: /org"), "{fault}");
        assert_eq!(world.get("/api/batch").await.body["data"], json!([]));
    }

    async fn a_form_that_is_none_is_refused(world: World) {
        let only = Form::new().text("wish", WISH);
        assert_eq!(send(&world, only, "").await.refuses(422, "invalid-form").body["detail"], "the part records is missing");
        let twice = form(WISH, "").text("wish", WISH);
        send(&world, twice, "").await.refuses(422, "invalid-form");
        let other = form(WISH, "").text("file", "x");
        send(&world, other, "").await.refuses(422, "invalid-form");
        send(&world, form(r#"{"processor": "planner", "records": []}"#, ""), "").await.refuses(422, "invalid-form");
        send(&world, form(r#"{"processor": "planner", "tasks": []}"#, ""), "").await.refuses(422, "invalid-request");
        // A form without a line names nothing.
        let none = send(&world, form(WISH, "\n"), "").await.refuses(422, "invalid-request");
        assert_eq!(none.pointers(), ["#/records"]);
        let both = send(&world, form(r#"{"processor": "planner", "task_ids": ["t"]}"#, &issue(1).to_string()), "").await;
        both.refuses(422, "invalid-request");
    }

    async fn too_many_lines_and_too_many_bytes_are_refused(world: World) {
        let many = "{}\n".repeat(10_001);
        let refused = send(&world, form(WISH, &many), "").await.refuses(422, "invalid-records");
        assert!(refused.body["errors"][0]["detail"].as_str().unwrap().starts_with("line 10001 of records is one too many"));
        let large = format!("{{\"text\": \"{}\"}}", "x".repeat(65 * 1024 * 1024));
        send(&world, form(WISH, &large), "").await.refuses(413, "too-large");
    }
}
