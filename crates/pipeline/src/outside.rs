//! The outside: the one room from which the stages call the provider, send messages, publish events and touch
//! the spool. Each call is a step, with a crash point before and behind it.
//!
//! It decides nothing. `clippy.toml` forbids the bare calls everywhere else.

#![expect(clippy::disallowed_methods, reason = "this is the room that the lint names")]

use std::collections::HashSet;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::TimeDelta;
use crash::{Step, around, attempt};
use domain::Time;
use futures_util::Stream;
use openai::{BoxError, CallError, Client, Create, Downloaded, Newest, Ping};
use queue::{Delivery, EventMessage, Events, Letter, Message, QueueError, Sent};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use wire::{Batch, CreateBatch, File, FileDeleted, PURPOSE_BATCH};

use crate::context::Context;

/// A call of the provider: a step, and a span of its own.
async fn call<T>(step: Step, work: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    let span = span(step);
    let result = around(step, work).instrument(span.clone()).await;
    if let Err(error) = &result {
        failed(&span, error);
    }
    result
}

fn span(step: Step) -> Span {
    tracing::info_span!(
        "provider", otel.name = step.name(), otel.kind = "client", otel.status_code = Empty,
        gen_ai.provider.name = "openai", provider.id = Empty, http.response.status_code = Empty, error.type = Empty
    )
}

/// What a failure says of itself; never its message, which is the provider's.
fn failed(span: &Span, error: &CallError) {
    span.record("otel.status_code", "ERROR");
    match error.status() {
        Some(status) => {
            span.record("http.response.status_code", status).record("error.type", status);
        }
        None => {
            span.record("error.type", tracing::field::debug(error.class()));
        }
    }
}

/// Asks the provider for a sign of life, and whether it takes the key.
///
/// # Errors
/// A provider that gives none.
pub async fn ping(client: &Client) -> Result<Ping, CallError> {
    call(Step::ProviderPing, client.ping()).await
}

/// Shows every input file of the account to `look`.
pub(crate) async fn each_file(context: &Context, look: impl FnMut(File)) -> Result<(), CallError> {
    call(Step::ProviderFiles, context.openai.each_file(Some(PURPOSE_BATCH), look)).await
}

/// Shows the input files of the account that are newer than `known`, and those of `overlap` before it, to `look`.
pub(crate) async fn newer_files(
    context: &Context,
    known: &Newest,
    overlap: Duration,
    look: impl FnMut(File),
) -> Result<(), CallError> {
    let newer = context.openai.newer_files(Some(PURPOSE_BATCH), known, overlap, look);
    call(Step::ProviderFiles, newer).await
}

pub(crate) async fn upload(
    context: &Context,
    name: &str,
    length: u64,
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    expires_after_seconds: u64,
) -> Result<File, CallError> {
    let upload = context.openai.upload(name, length, body, Some(expires_after_seconds));
    call(Step::ProviderUpload, upload).await
}

pub(crate) async fn delete_file(context: &Context, id: &str) -> Result<FileDeleted, CallError> {
    call(Step::ProviderDelete, context.openai.delete_file(id)).await
}

/// Until when a create may be sent: by a clock that nobody can set, and by one that goes on while the machine sleeps.
pub(crate) struct Permission {
    instant: Instant,
    time: Time,
}

impl Permission {
    /// From now on, for so long.
    pub(crate) fn of(context: &Context, time: Duration) -> Self {
        let until = context.clock().now() + TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        Self { instant: Instant::now() + time, time: until }
    }

    fn is_over(&self, context: &Context) -> bool {
        Instant::now() >= self.instant || context.clock().now() >= self.time
    }
}

/// The one request that costs money.
pub(crate) async fn create_batch(context: &Context, request: &CreateBatch, permission: Permission) -> Create {
    let span = span(Step::ProviderCreate);
    let created =
        around(Step::ProviderCreate, context.openai.create_batch(request, || permission.is_over(context)));
    let created = created.instrument(span.clone()).await;
    match &created {
        Create::Created(batch) => {
            span.record("provider.id", &batch.id);
        }
        Create::NotSent(error) | Create::Refused(error) | Create::Ambiguous(error) => failed(&span, error),
        Create::TooLate => {}
    }
    created
}

pub(crate) async fn batch(context: &Context, id: &str) -> Result<Batch, CallError> {
    call(Step::ProviderLook, context.openai.batch(id)).await
}

/// Looks for batches in the list behind the batch `after`, or from its beginning, as long as that is cheaper than to look at each.
pub(crate) async fn find_batches(
    context: &Context,
    wanted: HashSet<String>,
    after: Option<String>,
) -> Result<Vec<Batch>, CallError> {
    call(Step::ProviderFind, context.openai.find_batches(wanted, after)).await
}

/// Shows every batch of the account to `look`.
pub(crate) async fn each_batch(context: &Context, look: impl FnMut(Batch)) -> Result<(), CallError> {
    call(Step::ProviderBatches, context.openai.each_batch(look)).await
}

pub(crate) async fn cancel_batch(context: &Context, id: &str) -> Result<Batch, CallError> {
    call(Step::ProviderCancel, context.openai.cancel_batch(id)).await
}

pub(crate) async fn download(context: &Context, file_id: &str, path: &Path) -> Result<Downloaded, CallError> {
    call(Step::ProviderDownload, context.openai.download_to(file_id, path)).await
}

/// Sends orders to the workers.
pub(crate) async fn send(context: &Context, message: Message) -> Sent {
    around(Step::QueueSend, context.queue.send(message)).await
}

/// Lets the broker forget a message.
pub(crate) async fn acknowledge(delivery: Delivery) {
    around(Step::QueueAcknowledge, delivery.acknowledge()).await;
}

/// Lets the broker forget a command from outside.
pub(crate) async fn accept(letter: Letter) {
    around(Step::LetterAccept, letter.accept()).await;
}

/// Lays a command from outside among the dead letters.
pub(crate) async fn refuse(letter: Letter, reason: &str) -> Result<(), QueueError> {
    around(Step::LetterRefuse, letter.refuse(reason)).await
}

/// Publishes events.
pub(crate) async fn publish(events: &Events, messages: Vec<EventMessage>) -> Vec<Result<(), QueueError>> {
    around(Step::QueuePublish, events.publish(messages)).await
}

/// Makes the queue that keeps events for the agent runner.
pub(crate) async fn keep(events: &Events) -> Result<(), QueueError> {
    around(Step::QueueKeep, events.keep()).await
}

/// Removes a file of the spool that nobody needs any more.
pub(crate) async fn remove(file: &Path) -> std::io::Result<()> {
    attempt(Step::SpoolRemove, tokio::fs::remove_file(file), std::io::Error::other).await
}
