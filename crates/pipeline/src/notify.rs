//! Notify: publishes what outsiders hear, at least once, each event under the id that it will always have.
//!
//! One process at a time does it, to save work; where two overlap, consumers hear an event twice.
//!
//! The queue of the agent runner holds what the runner has yet to hear. Where that queue is gone, deleted or
//! with all that the broker ever knew, its events are published again before it is made: the database remembers.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use domain::EventType;
use queue::{EventMessage, Events};
use serde_json::{Value, json};
use store::EventRow;
use telemetry::metrics::EVENTS_PUBLISHED;
use tokio_util::sync::CancellationToken;

use crate::cloud_event::{cloud_event, full_type, routing_key, source};
use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::worker::chain;

/// Events read and published at a time.
const PAGE: usize = 500;
/// How long one process has the work to itself. A process that dies is missed this long.
const LEASE: Duration = Duration::from_secs(15);
/// How long to wait where nothing is to be published.
const IDLE: Duration = Duration::from_millis(500);
/// How long to wait after a failure.
const REST: Duration = Duration::from_secs(2);
/// How often the queue of the agent runner is looked for while nothing is published.
const LOOK: Duration = Duration::from_secs(5);
/// How far back events are published again that a lost queue may have held: longer than a batch takes. A
/// runner that was away for longer finds the outcomes in the backlog.
pub const EVENT_MEMORY: TimeDelta = TimeDelta::hours(48);
/// The name of the lease.
const NAME: &str = "events";

/// Publishes events until `stop`.
pub(crate) async fn run(context: Context, events: Events, stop: CancellationToken) {
    let (holder, mut looked) = (context.clock().new_id(), None);
    loop {
        let taken = context.store.take_lease(NAME, holder, LEASE).await;
        let is_ours = matches!(taken, Ok(true));
        let pause = match taken {
            Ok(true) => match publish(&context, &events, &mut looked).await {
                Ok(0) => IDLE,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "events could not be published; they wait");
                    looked = None;
                    REST
                }
            },
            Ok(false) => {
                looked = None;
                LEASE / 3
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "events can't be seen");
                REST
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                if is_ours && let Err(error) = context.store.give_lease(NAME, holder).await {
                    tracing::warn!(error = %chain(&error), "others publish events once our lease has run out");
                }
                return;
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Publishes the next page to a queue that is there; answers how many events the broker took.
async fn publish(context: &Context, events: &Events, looked: &mut Option<Instant>) -> Result<usize, Failure> {
    if looked.is_none_or(|at| at.elapsed() >= LOOK) {
        remind(context, events).await?;
        *looked = Some(Instant::now());
    }
    page(context, events).await
}

/// Makes the queue of the agent runner where it is gone, once its events are to be published again. In this
/// order: a process that dies in between finds the queue missing, and does both.
async fn remind(context: &Context, events: &Events) -> Result<(), Failure> {
    if kept(events).await? {
        return Ok(());
    }
    let again = context.store.publish_again(EVENT_MEMORY).await?;
    tracing::warn!(events = again, "the queue of the agent runner was gone; its events are published again");
    outside::keep(events).await.map_err(|error| Failure::Fault(error.to_string()))
}

async fn kept(events: &Events) -> Result<bool, Failure> {
    events.are_kept().await.map_err(|error| Failure::Fault(format!("the agent runner's queue: {error}")))
}

/// Publishes the next page; answers how many events the broker took.
async fn page(context: &Context, events: &Events) -> Result<usize, Failure> {
    let rows = context.store.unpublished_events(PAGE).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let source = source(&context.store.instance_tag().await?);
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        messages.push(message(context, row, &source).await?);
    }
    let results = outside::publish(events, messages).await;
    let mut published = Vec::with_capacity(rows.len());
    let mut refused = None;
    for (row, result) in rows.iter().zip(results) {
        let outcome = if result.is_ok() { "confirmed" } else { "error" };
        metrics::counter!(EVENTS_PUBLISHED, "type" => row.event_type.as_str(), "outcome" => outcome)
            .increment(1);
        match result {
            Ok(()) => published.push(row.id),
            Err(error) => refused = Some(error),
        }
    }
    // A queue that was lost before this look has lost them, too.
    if !kept(events).await? {
        return Err(Failure::Fault("the agent runner's queue is gone; it is made again".to_owned()));
    }
    context.store.mark_published(&published).await?;
    match refused {
        Some(error) => Err(Failure::Fault(format!("the broker did not take an event: {error}"))),
        None => Ok(published.len()),
    }
}

async fn message(context: &Context, row: &EventRow, source: &str) -> Result<EventMessage, Failure> {
    let mut envelope = cloud_event(row, source);
    if row.event_type == EventType::TaskCompleted {
        result(context, row, &mut envelope["data"]).await?;
    }
    Ok(EventMessage {
        id: row.id.to_string(),
        event_type: full_type(row.event_type),
        source: source.to_owned(),
        subject: Some(row.subject.clone()),
        time: row.created_at,
        routing_key: routing_key(row),
        correlation_id: row.stream.to_string(),
        body: envelope.to_string().into_bytes(),
        trace: row.trace.map(|trace| trace.to_string()),
    })
}

/// Where the answer is to be had; the answer itself, where it is small enough and the configuration says so.
async fn result(context: &Context, row: &EventRow, data: &mut Value) -> Result<(), Failure> {
    let (Some(job), Some(bytes), Some(custom_id)) =
        (row.stream.job(), data["result"]["bytes"].as_u64(), data["custom_id"].as_str())
    else {
        return Ok(());
    };
    let custom_id = custom_id.to_owned();
    if let Some(base) = &context.config.public_url {
        data["result"]["href"] = json!(format!("{base}/api/batch/{job}/results"));
    }
    if bytes <= context.config.inline_result_bytes {
        let text = context.store.result_of(job, &custom_id).await?;
        let value = text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        data["result"]["inline"] = value.unwrap_or_default();
    }
    Ok(())
}
