//! Notify: publishes what outsiders hear, at least once, each event under the id that it will always have.
//!
//! One process at a time does it, to save work; where two overlap, consumers hear an event twice.

use std::time::Duration;

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
/// The name of the lease.
const NAME: &str = "events";

/// Publishes events until `stop`.
pub(crate) async fn run(context: Context, events: Events, stop: CancellationToken) {
    let holder = context.clock().new_id();
    loop {
        let pause = match context.store.take_lease(NAME, holder, LEASE).await {
            Ok(true) => match page(&context, &events).await {
                Ok(0) => IDLE,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "events could not be published; they wait");
                    REST
                }
            },
            Ok(false) => LEASE / 3,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "events can't be seen");
                REST
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
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
        trace: None,
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
