//! `overnight events tail`: what has happened, as CloudEvents.

use std::time::Duration;

use pipeline::cloud_event;
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
    let source = pipeline::source(&desk.store.instance_tag().await?);
    let mut after = None;
    loop {
        let page = desk.store.events(after, job, PAGE).await?;
        for event in &page {
            output.line(&if output.is_json() {
                cloud_event(event, &source).to_string()
            } else {
                line(event)
            });
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
    let outcome = event.data["outcome"].as_str().or(event.data["status"]["to"].as_str());
    let outcome = outcome.or(event.data["reason"].as_str()).unwrap_or_default();
    let time = event.created_at.format("%Y-%m-%dT%H:%M:%SZ");
    format!("{time} {:<24} {} {outcome}", event.event_type.as_str(), event.subject).trim_end().to_owned()
}
