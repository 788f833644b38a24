//! The provider's paths. A handler says what is true; [`carry_out`] says when it is done and what is told.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::json;

use crate::answer::PAGE;
use crate::ledger::Entry;
use crate::rule::{Act, Op, Reply, Rule};
use crate::serve::App;
use crate::world::{World, now_ms};

pub(crate) mod batches;
pub(crate) mod files;

/// A true answer.
pub(crate) struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub(crate) fn refusal(status: u16, code: Option<&str>, message: &str) -> Self {
        let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
        Self { status, body: error.to_string().into_bytes() }
    }

    pub(crate) fn unknown(what: &str, id: &str) -> Self {
        Self::refusal(404, None, &format!("No such {what}: {id}"))
    }
}

/// How often a create that waits for a deletion looks whether it may act.
const UNDELETED: Duration = Duration::from_millis(5);

/// Carries a request out as its rule says, and answers as its rule says.
pub(crate) async fn carry_out(
    app: Arc<App>,
    op: Op,
    id: String,
    act: impl FnOnce(&mut World, &Rule) -> Answer + Send + 'static,
) -> Response {
    let rule = app.lock().rule_for(op);
    let mut answer = None;
    match rule.act {
        Act::Now | Act::Twice => answer = Some(act(&mut app.lock(), &rule)),
        Act::Never => {}
        Act::Late(ms) => {
            let (app, rule) = (Arc::clone(&app), rule.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                act(&mut app.lock(), &rule)
            });
        }
        Act::OnDeletion => {
            let (app, rule, file) = (Arc::clone(&app), rule.clone(), id.clone());
            tokio::spawn(async move {
                while app.lock().files.get(&file).is_some_and(|file| !file.deleted) {
                    tokio::time::sleep(UNDELETED).await;
                }
                act(&mut app.lock(), &rule)
            });
        }
        Act::OnRelease => {
            let (app, rule, mut released) = (Arc::clone(&app), rule.clone(), app.released.subscribe());
            tokio::spawn(async move {
                // It ends with the process, and then nothing is carried out any more.
                if released.changed().await.is_ok() {
                    act(&mut app.lock(), &rule);
                }
            });
        }
    }
    let acted = answer.is_some();
    // What a client that waits in vain would have been told, had it been carried out.
    let honest = answer.unwrap_or_else(|| Answer::refusal(500, Some("server_error"), "not carried out"));
    let status = status_of(&rule.reply, &honest);
    app.lock().ledger.add(&Entry::Request { at: now_ms(), op, id, status, acted }, false);
    tell(&rule.reply, honest).await
}

fn status_of(reply: &Reply, honest: &Answer) -> u16 {
    match reply {
        Reply::Honest => honest.status,
        Reply::Drop | Reply::Hang(_) => 0,
        Reply::Error { status, .. } | Reply::Page(status) => *status,
        Reply::CutJson(_) | Reply::CutWire(_) | Reply::Garbage => 200,
    }
}

async fn tell(reply: &Reply, honest: Answer) -> Response {
    match reply {
        Reply::Honest => whole(honest.status, honest.body),
        Reply::Drop => hang_up(),
        Reply::Hang(ms) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            hang_up()
        }
        Reply::Error { status, code, retry_after } => {
            let error = Answer::refusal(*status, code.as_deref(), "said on demand");
            let mut response = whole(error.status, error.body);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, (*seconds).into());
            }
            response
        }
        Reply::Page(status) => whole(*status, PAGE.into()),
        Reply::CutJson(bytes) => whole(200, honest.body.into_iter().take(*bytes).collect()),
        Reply::CutWire(bytes) => torn(&honest.body, *bytes),
        Reply::Garbage => whole(200, b"\xff\xfe{not json".to_vec()),
    }
}

fn whole(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Promises the whole length, and breaks off.
fn torn(body: &[u8], bytes: usize) -> Response {
    let length = body.len();
    let part = Bytes::copy_from_slice(&body[..bytes.min(length)]);
    let broken = stream::iter([Ok(part), Err(std::io::Error::other("cut on demand"))]);
    ([(header::CONTENT_LENGTH, length)], Body::from_stream(broken)).into_response()
}

/// Ends the connection without a byte: unwinding ends the task that owns it. It is no panic, and says nothing.
fn hang_up() -> Response {
    resume_unwind(Box::new("hung up on demand"))
}
