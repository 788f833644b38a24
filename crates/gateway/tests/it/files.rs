//! Uploads in every shape, downloads, deletes.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{World, lines};

fn part(content: &str) -> Part {
    Part::text(content.to_owned()).file_name("input.jsonl")
}

#[tokio::test]
async fn fields_may_come_in_any_order() {
    let world = World::new("").await;
    for form in [
        Form::new().text("purpose", "batch").part("file", part("{}\n")),
        Form::new().part("file", part("{}\n")).text("purpose", "batch"),
    ] {
        let (status, file) = world.upload_form(form).await;
        assert_eq!(status, StatusCode::OK, "{file}");
        assert_eq!(file["object"], "file");
        assert_eq!(file["bytes"], 3);
        assert_eq!(file["filename"], "input.jsonl");
        assert_eq!(file["purpose"], "batch");
        assert_eq!(file["status"], "processed");
        assert_eq!(file["status_details"], Value::Null);
        assert_eq!(file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap(), 2_592_000);
        let id = file["id"].as_str().unwrap();
        assert_eq!(world.get(&format!("/files/{id}")).await, file);
    }
}

#[tokio::test]
async fn a_chunked_upload_comes_back_byte_for_byte() {
    let world = World::new("").await;
    let content = lines(20_000);
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        content.as_bytes().chunks(10_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    assert!(pieces.len() > 100);
    // A stream of unknown length is sent chunked, without Content-Length.
    let part = Part::stream(Body::wrap_stream(stream::iter(pieces))).file_name("big.jsonl");
    let (status, file) = world.upload_form(Form::new().part("file", part).text("purpose", "batch")).await;
    assert_eq!(status, StatusCode::OK, "{file}");

    let url = world.url(&format!("/files/{}/content", file["id"].as_str().unwrap()));
    let answer = world.client.get(url).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(u64::try_from(content.len()).unwrap()));
    let mut chunks = answer.bytes_stream();
    let (mut downloaded, mut pieces) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        downloaded.extend_from_slice(&chunk.unwrap());
        pieces += 1;
    }
    assert!(pieces > 1, "the download is a stream");
    assert!(downloaded == content.as_bytes());
}

#[tokio::test]
async fn an_upload_that_makes_no_sense_is_refused() {
    let world = World::with("", |config| config.max_file_bytes = 1000).await;
    let batch = || Form::new().text("purpose", "batch");
    for (form, said) in [
        (batch().part("file", Part::text("{}").file_name("input.txt")), "Must be .jsonl"),
        (batch().part("file", part("")), "empty"),
        (batch().part("file", part("\n\n")), "not JSON"),
        (batch().part("file", part("not json\n{}\n")), "not JSON"),
        (batch().part("file", part(&"x".repeat(1001))), "File is too large."),
        (batch(), "Missing required parameter: 'file'"),
        (Form::new().part("file", part("{}")), "Missing required parameter: 'purpose'"),
        (Form::new().text("purpose", "fun").part("file", part("{}")), "'fun' is not one of"),
        (batch().part("file", part("{}")).part("file", part("{}")), "Too many form fields"),
        (
            batch().text("expires_after[anchor]", "created_at").part("file", part("{}")),
            "expires_after[seconds]",
        ),
        (
            batch()
                .text("expires_after[anchor]", "now")
                .text("expires_after[seconds]", "3600")
                .part("file", part("{}")),
            "anchor",
        ),
        (
            batch()
                .text("expires_after[anchor]", "created_at")
                .text("expires_after[seconds]", "60")
                .part("file", part("{}")),
            "seconds",
        ),
    ] {
        let (status, body) = world.upload_form(form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}: {body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].as_str().unwrap().contains(said), "{said}: {body}");
    }
    let (status, _) = world.post("/files", &json!({"purpose": "batch"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get("/files").await["data"], json!([]));
    for folder in ["files", "incoming"] {
        let left = std::fs::read_dir(world.folder.path().join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder} holds the leavings of refused uploads");
    }
}

#[tokio::test]
async fn a_file_lives_as_long_as_it_is_asked_to() {
    let world = World::new("").await;
    let form = Form::new().text("purpose", "batch").text("expires_after[anchor]", "created_at");
    let (_, file) =
        world.upload_form(form.text("expires_after[seconds]", "7200").part("file", part("{}"))).await;
    assert_eq!(file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap(), 7200);
    let (_, file) =
        world.upload_form(Form::new().text("purpose", "user_data").part("file", part("any"))).await;
    assert_eq!(file["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_deleted_file_is_gone_with_its_bytes() {
    let world = World::new("").await;
    let id = world.upload("{}\n").await;
    let stored = world.folder.path().join("files").join(&id);
    assert!(stored.exists());
    let (status, body) = world.call(Method::DELETE, &format!("/files/{id}")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"id": id, "object": "file", "deleted": true})));
    assert!(!stored.exists());
    for (method, path) in [
        (Method::GET, format!("/files/{id}")),
        (Method::GET, format!("/files/{id}/content")),
        (Method::DELETE, format!("/files/{id}")),
        (Method::GET, "/files/..%2Fserved.db/content".to_owned()),
    ] {
        let (status, body) = world.call(method, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(body["error"]["message"].as_str().unwrap().starts_with("No such File object"), "{body}");
    }
}

#[tokio::test]
async fn result_files_are_files_like_any_other() {
    let world = World::new("").await;
    let id = world.submit(lines(2), "/v1/responses").await;
    let batch = world.ended(&id).await;
    let file = world.get(&format!("/files/{}", batch["output_file_id"].as_str().unwrap())).await;
    assert_eq!(file["purpose"], "batch_output");
    assert_eq!(file["bytes"], world.content(&batch["output_file_id"]).await.len());
    assert_eq!(world.get("/files?purpose=batch_output").await["data"], json!([file]));
}

#[tokio::test]
async fn nobody_gets_in_without_the_key() {
    let world = World::with("", |config| config.api_key = Some("secret".to_owned())).await;
    for (key, expected) in [(None, 401), (Some("wrong"), 401), (Some("secret"), 200)] {
        let mut request = world.client.get(world.url("/files"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        assert_eq!(request.send().await.unwrap().status(), expected, "{key:?}");
    }
    let (_, body) = world.call(Method::GET, "/batches").await;
    assert_eq!(body["error"]["code"], "invalid_api_key");
    let livez = format!("http://{}/livez", world.running.address());
    assert_eq!(world.client.get(livez).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn beyond_loopback_a_key_is_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::harness::config(folder.path(), "");
    config.listen = "0.0.0.0:0".parse().unwrap();
    let error = gateway::start(config).await.unwrap_err();
    assert!(matches!(error, gateway::GatewayError::NeedsKey { .. }), "{error}");
}

#[tokio::test]
async fn an_unknown_url_or_method_is_answered_in_the_envelope() {
    let world = World::new("").await;
    for (method, path, expected) in [
        (Method::GET, "/models", StatusCode::NOT_FOUND),
        (Method::PUT, "/files", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/batches/batch_1", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let (status, body) = world.call(method, path).await;
        assert_eq!(status, expected, "{path}");
        assert!(body["error"]["message"].as_str().unwrap().contains(path), "{body}");
    }
}
