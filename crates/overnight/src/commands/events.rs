//! `overnight events tail`: what has happened, as CloudEvents.

use std::time::Duration;

use serde_json::{Value, json};
use store::EventRow;

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::select;
use crate::world::Desk;

const PAGE: u64 = 500;
const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    config: &Config,
    job: Option<&str>,
    follow: bool,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "events tail").await?;
    let job = match job {
        Some(job) => Some(select::job(&desk.store, job).await?),
        None => None,
    };
    let mut after = None;
    loop {
        let page = desk.store.events(after, job, PAGE).await?;
        for event in &page {
            output.line(&if output.is_json() { cloud_event(event).to_string() } else { line(event) });
        }
        if let Some(last) = page.last() {
            after = Some((last.created_at, last.id));
        } else if !follow {
            break;
        } else {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = tokio::signal::ctrl_c() => break,
            }
        }
    }
    desk.store.close().await?;
    Ok(Exit::Success)
}

fn line(event: &EventRow) -> String {
    let outcome = event.data["outcome"].as_str().or(event.data["status"]["to"].as_str()).unwrap_or_default();
    let time = event.created_at.format("%Y-%m-%dT%H:%M:%SZ");
    format!("{time} {:<24} {} {outcome}", event.event_type.as_str(), event.subject).trim_end().to_owned()
}

/// The event in its CloudEvents 1.0 envelope.
fn cloud_event(event: &EventRow) -> Value {
    json!({
        "specversion": "1.0",
        "id": event.id,
        "source": "overnight",
        "type": format!("dev.overnight.{}", event.event_type.as_str()),
        "subject": event.subject,
        "time": event.created_at,
        "datacontenttype": "application/json",
        "sequence": event.sequence.to_string(),
        "partitionkey": event.job,
        "data": event.data,
    })
}
