//! A server of ours somewhere else, spoken to over its REST API. It keeps nothing and decides nothing.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use openai::is_here;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, redirect, retry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use web::Document;

use crate::config::Config;
use crate::exit::{Exit, Trouble};

/// How often a wish is sent again that got no answer, after 1, 2 and 4 s.
const TRIES: usize = 3;
/// How long a connection may take, and how long an answer may pause.
const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(90);

/// A server somewhere else.
pub(crate) struct Server {
    http: reqwest::Client,
    base: Url,
}

impl Server {
    /// The one that the configuration names; none: the work is done here.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, Trouble> {
        let Some(base) = config.server_url.clone() else { return Ok(None) };
        let mut headers = HeaderMap::new();
        if let Some(token) = &config.server_token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| {
                Trouble::config("OVERNIGHT_TOKEN has characters that can't stand in a header")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // An error says that the process has chosen one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder();
        // A proxy of the environment is for servers elsewhere; it would get the token in the clear.
        let builder = if is_here(&base) { builder.no_proxy() } else { builder };
        let http = builder
            .default_headers(headers)
            .http1_only()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .build()
            .map_err(Trouble::other)?;
        Ok(Some(Self { http, base }))
    }

    /// Reads a document.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, Trouble> {
        let request = self.http.get(self.url(path)?).query(query);
        self.read(self.send(request).await?).await
    }

    /// Sends a wish; `body` is none where the path says it all.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Trouble> {
        let request = self.http.request(Method::POST, self.url(path)?);
        let request = if let Some(body) = body { request.json(body) } else { request };
        self.read(self.send(request).await?).await
    }

    /// Sends a wish that is carried out once, however often it is sent under this key: where its answer is lost, or
    /// the server is away for a moment, it is sent again.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, Trouble> {
        let url = self.url(path)?;
        let send = async || {
            let request =
                self.http.request(Method::POST, url.clone()).json(body).header("Idempotency-Key", key);
            self.read(self.send(request).await?).await
        };
        let pauses = ExponentialBuilder::default().with_max_times(TRIES);
        send.retry(pauses).when(|trouble: &Trouble| trouble.exit == Exit::Unreachable).await
    }

    /// Begins to read what streams.
    pub(crate) async fn stream(
        &self,
        path: &str,
        query: &impl Serialize,
        accept: &'static str,
    ) -> Result<Response, Trouble> {
        self.send(self.http.get(self.url(path)?).query(query).header(ACCEPT, accept)).await
    }

    /// What failed on the way to the server or back.
    pub(crate) fn away(&self, error: &reqwest::Error) -> Trouble {
        Trouble::new(Exit::Unreachable, format!("no answer from {}", self.base))
            .why(if error.is_timeout() { "it takes too long" } else { "the connection failed" })
            .fix("check OVERNIGHT_URL and the network; unset it to work on this machine")
    }

    fn url(&self, path: &str) -> Result<Url, Trouble> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(Trouble::config)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one client of our own server")]
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
        let response = request.send().await.map_err(|error| self.away(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Option<Document> = response.json().await.ok();
        Err(problem.map_or_else(|| self.stranger(status), told))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Trouble> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.away(&error))?;
        serde_json::from_slice(&body).map_err(|_| self.stranger(status))
    }

    /// Something answers, and it isn't ours.
    fn stranger(&self, status: StatusCode) -> Trouble {
        Trouble::new(Exit::Unreachable, format!("{} is no overnight server", self.base))
            .why(format!("it answers {status} without a document of ours"))
            .fix("check OVERNIGHT_URL")
    }
}

/// A problem as a person is told it.
fn told(problem: Document) -> Trouble {
    let exit = match problem.status {
        401 | 403 => Exit::Auth,
        400 | 413 | 415 | 422 => Exit::Usage,
        503 => Exit::Unreachable,
        _ => Exit::Other,
    };
    let mut trouble = Trouble::new(exit, problem.title);
    if let Some(detail) = problem.detail {
        trouble = trouble.why(detail);
    }
    for fault in problem.errors {
        let place = fault.pointer.map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        trouble = trouble.why(format!("{place}{}", fault.detail));
    }
    match problem.hint {
        Some(hint) => trouble.fix(hint),
        None => trouble,
    }
}
