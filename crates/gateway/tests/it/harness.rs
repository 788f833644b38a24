//! A gateway in a folder of its own, and a client that says what it sends.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use gateway::{Config, Running, SimConfig};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, Response, StatusCode};
use sea_orm::{ConnectionTrait, Database, DbBackend, QueryResult, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any test should take, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub folder: TempDir,
    pub running: Running,
    pub client: Client,
}

pub fn client() -> Client {
    // Fails where another test of this process was faster, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().build().unwrap()
}

pub fn config(folder: &Path, sim: &str) -> Config {
    let mut config = Config::new(folder);
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.sim = sim.parse::<SimConfig>().unwrap();
    config
}

impl World {
    pub async fn new(sim: &str) -> Self {
        Self::with(sim, |_| {}).await
    }

    pub async fn with(sim: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), sim);
        change(&mut config);
        let running = gateway::start(config).await.unwrap();
        Self { folder, running, client: client() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.base_url())
    }

    pub async fn call(&self, method: Method, path: &str) -> (StatusCode, Value) {
        answer(self.client.request(method, self.url(path)).send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.client.post(self.url(path)).json(body).send().await.unwrap()).await
    }

    pub async fn upload_form(&self, form: Form) -> (StatusCode, Value) {
        answer(self.client.post(self.url("/files")).multipart(form).send().await.unwrap()).await
    }

    pub async fn upload(&self, content: impl Into<Vec<u8>>) -> String {
        let part = Part::bytes(content.into()).file_name("input.jsonl");
        let (status, file) = self.upload_form(Form::new().text("purpose", "batch").part("file", part)).await;
        assert_eq!(status, StatusCode::OK, "{file}");
        file["id"].as_str().unwrap().to_owned()
    }

    pub async fn create(&self, input_file_id: &str, endpoint: &str) -> Value {
        let body = json!({"input_file_id": input_file_id, "endpoint": endpoint, "completion_window": "24h"});
        let (status, batch) = self.post("/batches", &body).await;
        assert_eq!(status, StatusCode::OK, "{batch}");
        assert_eq!(batch["status"], "validating");
        batch
    }

    /// Uploads and creates; answers the id of the batch.
    pub async fn submit(&self, content: impl Into<Vec<u8>>, endpoint: &str) -> String {
        let file = self.upload(content).await;
        self.create(&file, endpoint).await["id"].as_str().unwrap().to_owned()
    }

    /// Looks at a batch until `wanted` says yes.
    pub async fn until(&self, batch: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looked = async {
            loop {
                let batch = self.get(&format!("/batches/{batch}")).await;
                if wanted(&batch) {
                    return batch;
                }
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.expect("the batch gets there")
    }

    /// Looks at a batch until it has ended.
    pub async fn ended(&self, batch: &str) -> Value {
        let ends = ["completed", "failed", "expired", "cancelled"];
        self.until(batch, |batch| ends.contains(&batch["status"].as_str().unwrap())).await
    }

    pub async fn content(&self, file: &Value) -> String {
        let Some(id) = file.as_str() else { return String::new() };
        let answer = self.client.get(self.url(&format!("/files/{id}/content"))).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// The lines of a result file, by `custom_id`.
    pub async fn lines(&self, file: &Value) -> HashMap<String, Value> {
        let text = self.content(file).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let by_id: HashMap<String, Value> =
            lines.iter().map(|line| (line["custom_id"].as_str().unwrap().to_owned(), line.clone())).collect();
        assert_eq!(by_id.len(), lines.len(), "a line is there twice");
        by_id
    }

    /// Stops the gateway, changes its database by hand, and starts it again.
    pub async fn tampered(self, sql: &str, sim: &str) -> Self {
        let Self { folder, running, client } = self;
        running.shutdown().await;
        let path = folder.path().join("served.db");
        let connection = Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
        connection.execute_unprepared(sql).await.unwrap();
        connection.close().await.unwrap();
        let running = gateway::start(config(folder.path(), sim)).await.unwrap();
        Self { folder, running, client }
    }

    /// A question to the gateway's own database.
    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let path = self.folder.path().join("served.db");
        let connection = Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
        let rows = connection.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// The one number that a question is about.
    pub async fn number(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].try_get_by_index(0).unwrap()
    }
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    assert!(response.headers().contains_key("x-request-id"), "every reply carries x-request-id");
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}"));
    if status != StatusCode::OK {
        assert_envelope(&body);
    }
    (status, body)
}

fn assert_envelope(body: &Value) {
    let error = body["error"].as_object().unwrap_or_else(|| panic!("no envelope: {body}"));
    for field in ["message", "type", "param", "code"] {
        assert!(error.contains_key(field), "{body} lacks {field}");
    }
}

/// A line for `/v1/responses`.
pub fn line(custom_id: &str) -> String {
    let body = json!({"model": "gpt-5.2", "input": format!("Say something about {custom_id}.")});
    json!({"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}).to_string()
}

/// So many lines for `/v1/responses`, `row-0` and so on.
pub fn lines(count: usize) -> String {
    (0..count).map(|row| line(&format!("row-{row}")) + "\n").collect()
}
