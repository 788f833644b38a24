//! `overnight events tail`: what has happened, as CloudEvents, each once.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Time;
use pipeline::cloud_event;
use store::{EventPlace, EventRow};

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::select;
use crate::world::Desk;

const PAGE: u64 = 500;
const LOOK: Duration = Duration::from_millis(500);

/// How far each look goes back. An event has the time at which its transaction was asked for, and is seen
/// once that has committed: on SQLite a writer waits up to 10 s for its turn, and then writes at most a few
/// hundred rows. What takes longer than this is printed by the next `events tail`, and by this one never.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(15);

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
    let mut printed = Printed::default();
    let mut after = EventPlace::at(Time::UNIX_EPOCH);
    loop {
        let page = desk.store.events(after, job, PAGE).await?;
        for event in page.iter().filter(|event| printed.is_new(event.place())) {
            output.line(&if output.is_json() {
                cloud_event(event, &source).to_string()
            } else {
                line(event)
            });
        }
        if let Some(last) = page.last() {
            after = last.place();
        } else if !follow {
            break;
        } else {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = tokio::signal::ctrl_c() => break,
            }
            after = printed.look_back();
        }
    }
    desk.store.close().await?;
    Ok(Exit::Success)
}

/// What was printed within the time that is looked at again: no more than that is remembered.
#[derive(Default)]
struct Printed(BTreeSet<EventPlace>);

impl Printed {
    /// Notes an event; false where it was printed before.
    fn is_new(&mut self, place: EventPlace) -> bool {
        let is_new = self.0.insert(place);
        let horizon = self.look_back();
        while self.0.first().is_some_and(|oldest| *oldest < horizon) {
            self.0.pop_first();
        }
        is_new
    }

    /// Where the next look begins.
    fn look_back(&self) -> EventPlace {
        let newest = self.0.last().map_or(Time::UNIX_EPOCH, |place| place.created_at);
        EventPlace::at(newest.checked_sub_signed(LOOK_BACK).unwrap_or(Time::UNIX_EPOCH))
    }
}

fn line(event: &EventRow) -> String {
    let outcome = event.data["outcome"].as_str().or(event.data["status"]["to"].as_str());
    let outcome = outcome.or(event.data["reason"].as_str()).unwrap_or_default();
    let time = event.created_at.format("%Y-%m-%dT%H:%M:%SZ");
    format!("{time} {:<24} {} {outcome}", event.event_type.as_str(), event.subject).trim_end().to_owned()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_printed_once_and_only_the_last_seconds_are_remembered() {
        let start: Time = "2026-11-23T13:07:00Z".parse().unwrap();
        let place = |second| {
            let created_at = start + TimeDelta::seconds(second);
            EventPlace { created_at, stream: String::new(), sequence: second.unsigned_abs() }
        };
        let mut printed = Printed::default();
        assert!((0..1_000).all(|second| printed.is_new(place(second))));
        assert_eq!(printed.0.len(), 16, "one for each second of the look back, and the newest");
        assert_eq!(printed.look_back(), EventPlace::at(start + TimeDelta::seconds(984)));
        assert!((984..1_000).all(|second| !printed.is_new(place(second))));
        // One that was committed late has a time between theirs.
        let late = EventPlace { sequence: 5_000, ..place(990) };
        assert!(printed.is_new(late.clone()));
        assert!(!printed.is_new(late));
    }
}
