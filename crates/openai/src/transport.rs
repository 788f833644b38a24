//! The one place that sends: timeouts, headers, error classes, and repeats of what may be repeated.

use std::error::Error as _;
use std::future::Future;
use std::sync::Once;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect, retry};
use serde::de::DeserializeOwned;
use wire::ErrorEnvelope;

use crate::config::{Config, ConfigError, is_here};
use crate::error::{CallError, Class};

/// Pooled connections go stale; a short life makes a send on a dead one rare.
const POOL_IDLE: Duration = Duration::from_secs(5);
/// First pause before a repeat; it doubles, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause before a repeat. Where the provider asks for more, the caller decides.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of an error answer that are read: enough for any message.
const ERROR_BYTES: usize = 64 << 10;
/// Characters of a message that isn't an error envelope.
const MESSAGE_CHARS: usize = 200;
/// U+0000 as JSON writes it, which no database is sure to keep, and U+FFFD, which stands in its place. They are equally long.
const NUL: &[u8] = b"\\u0000";
const REPLACEMENT: &[u8] = b"\\ufffd";

/// A client; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) config: Config,
    /// For everything that may be repeated.
    pub(crate) http: reqwest::Client,
    /// For uploads, which the library would cut in the middle; [`crate::pulse`] limits them.
    pub(crate) uploads: reqwest::Client,
    /// For creates: always a fresh connection, so that no library can replay a request on a second one.
    pub(crate) once: reqwest::Client,
}

/// That the provider answers.
#[derive(Clone, Debug)]
pub struct Ping {
    /// The provider's clock, as it stands in the `Date` header.
    pub date: Option<String>,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// An address that can't be called, or that would get the key in the clear.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| {
            // An error says that the process has chosen one already, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = builder(&config)?.read_timeout(config.idle_timeout);
        let once = builder(&config)?.read_timeout(config.idle_timeout).pool_max_idle_per_host(0);
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(ConfigError::Http);
        let (http, uploads, once) = (build(http)?, build(builder(&config)?)?, build(once)?);
        Ok(Self { config, http, uploads, once })
    }

    /// Asks for one batch, to see that the provider answers and takes the key.
    ///
    /// # Errors
    /// A provider that doesn't.
    pub async fn ping(&self) -> Result<Ping, CallError> {
        let call = Call::new("ping", Method::GET, "batches").query("limit", "1");
        let response =
            self.repeat(&call, || self.send_ok(&call, call.request(&self.http, &self.config))).await?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        Ok(Ping { date })
    }

    /// Sends a call that may be repeated, and reads its JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        self.repeat(call, || async {
            let response = self.send_ok(call, call.request(&self.http, &self.config)).await?;
            self.read(call, response).await
        })
        .await
    }

    /// Runs `attempt` until it succeeds, or the failure is not one that a repeat helps against.
    pub(crate) async fn repeat<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        call: &Call,
        attempt: impl FnMut() -> F,
    ) -> Result<T, CallError> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .with_max_times(usize::try_from(self.config.retries).unwrap_or(usize::MAX));
        let operation = call.operation;
        attempt
            .retry(pauses)
            .when(|error| {
                let patient = error.retry_after.is_none_or(|pause| pause <= LONGEST_PAUSE);
                let left_alone = call.heeded && error.status == Some(429);
                patient && !left_alone && matches!(error.class, Class::NotSent | Class::Retryable)
            })
            .adjust(|error, pause| pause.map(|pause| error.retry_after.unwrap_or(pause).max(pause)))
            .notify(|error, pause| {
                metrics::counter!("overnight_provider_retries_total", "operation" => operation).increment(1);
                tracing::debug!(operation, error = %error, pause_ms = pause.as_millis(), "repeated");
            })
            .await
    }

    /// Sends, and takes an answer that is no success for a failure.
    pub(crate) async fn send_ok(&self, call: &Call, request: RequestBuilder) -> Result<Response, CallError> {
        let started = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "this is the one place that sends")]
        let result = request.send().await;
        let duration_ms = started.elapsed().as_millis();
        count(call.operation, result.as_ref().ok().map(Response::status), started.elapsed());
        let response = result.map_err(|error| self.unsent(call, &error))?;
        let status = response.status();
        tracing::debug!(
            operation = call.operation,
            status = status.as_u16(),
            duration_ms,
            "provider answered"
        );
        if status.is_success() { Ok(response) } else { Err(self.refusal(call, response).await) }
    }

    /// Reads JSON; a body that can't be read says nothing about whether the call was carried out.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        call: &Call,
        response: Response,
    ) -> Result<T, CallError> {
        let request_id = self.request_id(&response);
        let status = response.status().as_u16();
        let unreadable = |message: String| CallError {
            status: Some(status),
            request_id: request_id.clone(),
            ..self.error(call, Class::Retryable, message)
        };
        let mut bytes = Vec::from(response.bytes().await.map_err(|error| unreadable(describe(&error)))?);
        replace_nul(&mut bytes);
        // The library's own words may quote a value of the body.
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            unreadable(format!("the answer can't be read, from line {line} column {column} on"))
        })
    }

    pub(crate) fn error(&self, call: &Call, class: Class, message: String) -> CallError {
        CallError {
            operation: call.operation,
            address: self.config.base_url.origin().ascii_serialization(),
            class,
            status: None,
            code: None,
            kind: None,
            message,
            request_id: None,
            retry_after: None,
        }
    }

    /// The server's words as they may be shown and kept: where it repeats the key, without it, and without U+0000.
    fn said(&self, words: String) -> String {
        let words = words.replace('\0', "\u{fffd}");
        match &self.config.api_key {
            Some(key) => words.replace(key.expose(), "…"),
            None => words,
        }
    }

    fn request_id(&self, response: &Response) -> Option<String> {
        header(response.headers(), "x-request-id").map(|id| self.said(id))
    }

    fn unsent(&self, call: &Call, error: &reqwest::Error) -> CallError {
        let class = if error.is_connect() || error.is_builder() { Class::NotSent } else { Class::Retryable };
        self.error(call, class, describe(error))
    }

    /// An answer that is no success. Whether it is a refusal or a reason to repeat is told by its status;
    /// only an error envelope counts as the provider's own word.
    async fn refusal(&self, call: &Call, mut response: Response) -> CallError {
        let status = response.status().as_u16();
        let (request_id, retry_after) = (self.request_id(&response), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= ERROR_BYTES {
                break;
            }
        }
        let envelope = serde_json::from_slice::<ErrorEnvelope>(&body).ok().map(|envelope| envelope.error);
        let said = envelope.is_some();
        let error = envelope.unwrap_or_default();
        let message = if said { error.message } else { String::from_utf8_lossy(&body).trim().to_owned() };
        // Before it is cut, which would leave a part of a key.
        let message = self.said(message);
        let message = if message.is_empty() {
            "no message".to_owned()
        } else {
            message.chars().take(MESSAGE_CHARS).collect()
        };
        let call_error = CallError {
            status: Some(status),
            code: error.code.map(|code| self.said(code)),
            kind: error.kind.map(|kind| self.said(kind)),
            request_id,
            retry_after,
            ..self.error(call, Class::Refused, message)
        };
        let class = match status {
            408 | 500.. => Class::Retryable,
            429 if !call_error.is_quota() => Class::Retryable,
            // Who stands in between knows nothing of files and batches, and its page is no refusal.
            _ if !said && call.pays => Class::Ambiguous,
            _ if !said => Class::Retryable,
            _ => Class::Refused,
        };
        CallError { class, ..call_error }
    }
}

fn builder(config: &Config) -> Result<reqwest::ClientBuilder, ConfigError> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, text: Option<String>, secret: bool| {
        let Some(text) = text else { return Ok(()) };
        let mut value = HeaderValue::from_str(&text).map_err(|_| ConfigError::Header(name))?;
        value.set_sensitive(secret);
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    put("authorization", config.api_key.as_ref().map(|key| format!("Bearer {}", key.expose())), true)?;
    put("openai-organization", config.organization.clone(), false)?;
    put("openai-project", config.project.clone(), false)?;
    let builder = reqwest::Client::builder();
    // A proxy of the environment is for servers elsewhere; it would get the key in the clear.
    let builder = if is_here(&config.base_url) { builder.no_proxy() } else { builder };
    Ok(builder
        .user_agent(concat!("overnight/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .http1_only()
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(POOL_IDLE)
        .connect_timeout(config.connect_timeout))
}

/// A call, before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    /// Whether it may cost money: then an answer that isn't the provider's own word leaves open what became of it.
    pub(crate) pays: bool,
    /// Whether it moves a body of any size: then only the pauses in it are timed.
    streams: bool,
    /// Whether the caller heeds a refusal for being asked too often (429): a repeat from here would be one too many.
    heeded: bool,
}

impl Call {
    pub(crate) fn new(operation: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self {
            operation,
            method,
            path: path.into(),
            query: Vec::new(),
            pays: false,
            streams: false,
            heeded: false,
        }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn paying(self) -> Self {
        Self { pays: true, ..self }
    }

    pub(crate) fn streaming(self) -> Self {
        Self { streams: true, ..self }
    }

    pub(crate) fn heeded(self) -> Self {
        Self { heeded: true, ..self }
    }

    pub(crate) fn request(&self, http: &reqwest::Client, config: &Config) -> RequestBuilder {
        let mut url = config.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.path.split('/'));
        }
        let request = http.request(self.method.clone(), url).query(&self.query);
        if self.streams { request } else { request.timeout(config.request_timeout) }
    }
}

/// An error of the HTTP library with its causes, without the address that it repeats.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { "connection failed".to_owned() };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Replaces U+0000 in all texts of a JSON document.
fn replace_nul(json: &mut [u8]) {
    let mut at = 0;
    while let Some(offset) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += offset;
        if json[at..].starts_with(NUL) {
            json[at..at + NUL.len()].copy_from_slice(REPLACEMENT);
        }
        // What a backslash escapes begins nothing.
        at += 2;
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| header(headers, name)?.trim().parse::<u64>().ok();
    number("retry-after-ms")
        .map(Duration::from_millis)
        .or_else(|| number(RETRY_AFTER.as_str()).map(Duration::from_secs))
}

/// Counts a request, where the process has somebody who listens.
pub(crate) fn count(operation: &'static str, status: Option<StatusCode>, took: Duration) {
    let code = status.map_or_else(|| "error".to_owned(), |status| status.as_u16().to_string());
    metrics::counter!("overnight_provider_requests_total", "operation" => operation, "code" => code)
        .increment(1);
    metrics::histogram!("overnight_provider_request_duration_seconds", "operation" => operation).record(took);
}
