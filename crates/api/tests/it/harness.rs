//! A server on a database of its own, and a client that says what it sends.

use std::net::SocketAddr;
use std::time::Duration;

use api::{Api, Check, router};
use chrono_tz::Europe::Berlin;
use domain::{Clock, Limits, PriceTable, Rule};
use reception::House;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::{Value, json};
use store::{BacklogTask, Store, StoreOptions};
use tempfile::TempDir;
use testkit::Postgres;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use web::{Door, Role, ServeError, Token, hash};

/// Longer than any test should take, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PRICES: &str = "date = \"2026-11-23\"\n[models.gpt-5-mini]\ninput = 0.25\noutput = 2.0\n";

/// Runs a test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {
        $(async fn $name($world: $crate::harness::World) $body
        mod $name {
            use $crate::harness::{Kind, World};
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() { super::$name(World::new(Kind::Sqlite).await).await; }
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() { super::$name(World::new(Kind::Postgres).await).await; }
        })*
    };
}
pub(crate) use on_both;

#[derive(Clone, Copy)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A database, dropped with this.
pub enum Place {
    Folder { _folder: TempDir },
    Server { _server: Postgres },
}

pub struct World {
    pub store: Store,
    pub client: Client,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub served: AbortOnDropHandle<Result<(), ServeError>>,
    raw: DatabaseConnection,
    _place: Place,
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {}).await
    }

    pub async fn with(kind: Kind, change: impl FnOnce(&mut Api)) -> Self {
        let (place, url) = place(kind).await;
        let clock = Clock::default();
        let store = Store::open(&StoreOptions { url: url.clone(), migrate: true, clock }).await.unwrap();
        let raw = Database::connect(url).await.unwrap();
        let mut api = Api {
            store: store.clone(),
            house: house(),
            door: Door::Loopback,
            look_again: Duration::from_secs(7),
            night_tasks: 1_000,
            hook_secret: None,
            checks: Vec::<Check>::new(),
            version: "0.0.0",
        };
        change(&mut api);
        let (listener, _) = web::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = AbortOnDropHandle::new(tokio::spawn(web::serve(listener, router(api), stop.clone())));
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { store, client, address, stop, served, raw, _place: place }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub async fn create(&self, body: &Value) -> Answer {
        self.post("/api/batch/create", body).await
    }

    /// A job of `count` records, and its id.
    pub async fn job(&self, count: usize) -> String {
        self.job_of(&(1..=count).map(|n| format!("r{n}")).collect::<Vec<_>>()).await
    }

    pub async fn job_of(&self, keys: &[String]) -> String {
        let answer = self.create(&json!({ "processor": "product-labeling", "records": records(keys) })).await;
        answer.is(202).body["job_id"].as_str().unwrap().to_owned()
    }

    /// Changes the database behind the product's back.
    pub async fn sql(&self, sql: &str) {
        self.raw.execute_unprepared(sql).await.unwrap();
    }

    /// Ends a task of a job, as collecting would.
    pub async fn end_task(&self, job: &str, custom_id: &str, state: &str, class: Option<&str>) {
        let class = class.map_or("NULL".to_owned(), |class| format!("'{class}'"));
        self.sql(&format!(
            "UPDATE batch_job_tasks SET status = '{state}', error_class = {class} \
             WHERE batch_job_id = '{job}' AND custom_id = '{custom_id}'"
        ))
        .await;
    }

    /// Ends a job, as settle would.
    pub async fn end_job(&self, job: &str, outcome: &str) {
        let now = "2026-11-23T10:00:00+00:00";
        self.sql(&format!(
            "UPDATE batch_jobs SET state = '{outcome}', ended_at = '{now}' WHERE id = '{job}'"
        ))
        .await;
    }

    pub async fn backlog(&self, tasks: &[(&str, &str, &str)]) {
        let task = |(id, repo, agent): &(&str, &str, &str)| BacklogTask {
            id: (*id).to_owned(),
            repo: Some((*repo).to_owned()),
            agent_type: (*agent).to_owned(),
            priority: 0,
            payload: issue(id.len()).to_string(),
        };
        self.store.add_backlog(tasks.iter().map(task).collect()).await.unwrap();
    }

    /// A token of a role.
    pub async fn token(&self, name: &str, role: Role) -> String {
        let token = Token::generate().unwrap();
        assert!(self.store.add_token(name, &hash(token.reveal()), role.as_str()).await.unwrap());
        token.reveal().to_owned()
    }
}

async fn place(kind: Kind) -> (Place, String) {
    match kind {
        Kind::Sqlite => {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}?mode=rwc", folder.path().join("api.db").display());
            (Place::Folder { _folder: folder }, url)
        }
        Kind::Postgres => {
            let server = Postgres::fresh().await;
            let url = server.url().to_owned();
            (Place::Server { _server: server }, url)
        }
    }
}

pub fn house() -> House {
    House {
        provider: "sim".to_owned(),
        limits: Limits { max_requests: 1_000, max_bytes: 1 << 26 },
        prices: PriceTable::new(&toml::from_str(PRICES).unwrap()).unwrap(),
        enabled: true,
        night: Rule::new(2, Berlin).unwrap(),
        catchup: Duration::from_secs(72_000),
        processors: "processors".into(),
    }
}

pub fn issue(number: usize) -> Value {
    json!({ "org": "acme", "repo": "app", "issue": { "number": number, "title": "t", "body": "b" } })
}

pub fn records(keys: &[String]) -> Vec<Value> {
    keys.iter().map(|key| json!({ "key": key, "data": issue(1) })).collect()
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// A refusal as every refusal is: a whole problem document with a hint, of this kind.
    #[track_caller]
    pub fn refuses(self, status: u16, slug: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text);
        assert_eq!(answer.body["type"], format!("urn:overnight:problem:{slug}"), "{}", answer.text);
        assert_eq!(answer.body["status"], status);
        assert!(answer.body["hint"].is_string(), "{}", answer.text);
        let trace = answer.body["trace_id"].as_str().unwrap();
        assert_eq!(answer.header("x-request-id"), trace);
        assert!(answer.body["instance"].as_str().unwrap().ends_with(trace));
        answer
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of what is wrong.
    pub fn pointers(&self) -> Vec<&str> {
        let faults = self.body["errors"].as_array().unwrap().iter();
        faults.map(|fault| fault["pointer"].as_str().unwrap_or_default()).collect()
    }
}
