//! `overnight schedule list` and `show`: the schedules, what they wait for, and how they ran last.

use domain::Schedule;
use serde_json::{Value, json};
use store::RunRow;

use super::find;
use super::history::run_document;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, table, when};
use crate::world::{Desk, night};

pub(crate) async fn all(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "schedule list").await?;
    let mut shown = Vec::new();
    for schedule in pipeline::schedules(&desk.store, &night(config)?).await? {
        let last = desk.store.runs(Some(&schedule.name), 1).await?.pop();
        shown.push((schedule, last));
    }
    let documents: Vec<Value> = shown.iter().map(|(one, last)| document(one, last.as_ref())).collect();
    output.result(&json!({ "schedules": documents }), || {
        let titles = ["SCHEDULE", "STATE", "NEXT", "TASKS AT MOST>", "PRIORITY", "LAST RUN"];
        table(&titles, shown.iter().map(|(schedule, last)| line(schedule, last.as_ref())))
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}

pub(crate) async fn one(config: &Config, name: &str, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "schedule show").await?;
    let schedule = find(config, &desk.store, name).await?;
    let last = desk.store.runs(Some(name), 1).await?.pop();
    output.result(&document(&schedule, last.as_ref()), || text(&schedule, last.as_ref()));
    desk.store.close().await?;
    Ok(Exit::Success)
}

/// A schedule, wherever one is printed.
pub(super) fn document(schedule: &Schedule, last: Option<&RunRow>) -> Value {
    let terms = schedule.terms;
    json!({
        "name": schedule.name,
        "repo": schedule.repo,
        "state": state(schedule),
        "hour": terms.rule.hour(),
        "zone": terms.rule.zone().name(),
        "max_tasks": terms.max_tasks,
        "priority": terms.priority,
        "next": schedule.next.map(|slot| json!({ "date": slot.date, "at": slot.at })),
        "paused": schedule.paused.as_ref().map(|pause| json!({ "since": pause.at, "reason": pause.reason })),
        "last_run": last.map(run_document),
    })
}

fn state(schedule: &Schedule) -> &'static str {
    match (&schedule.paused, schedule.next) {
        (Some(_), _) => "paused",
        (None, Some(_)) => "on",
        (None, None) => "off",
    }
}

fn next(schedule: &Schedule) -> String {
    schedule.next.map_or_else(|| "never".to_owned(), |slot| when(slot.at, schedule.terms.rule.zone()))
}

fn last_run(last: Option<&RunRow>) -> String {
    last.map_or_else(|| "none".to_owned(), |run| format!("{} {}", run.slot_date, run.state.as_str()))
}

fn line(schedule: &Schedule, last: Option<&RunRow>) -> Vec<String> {
    vec![
        schedule.name.clone(),
        state(schedule).to_owned(),
        next(schedule),
        count(schedule.terms.max_tasks),
        schedule.terms.priority.as_str().to_owned(),
        last_run(last),
    ]
}

fn text(schedule: &Schedule, last: Option<&RunRow>) -> String {
    let mut text = format!("{} is {}\n", schedule.name, state(schedule));
    if let Some(pause) = &schedule.paused {
        let since = when(pause.at, schedule.terms.rule.zone());
        text.push_str(&format!("  paused    since {since}: {}\n", pause.reason));
    }
    let takes = match &schedule.repo {
        Some(repo) => format!("pending tasks of {repo}"),
        None => "pending tasks of all repositories that have no schedule of their own".to_owned(),
    };
    text.push_str(&format!("  takes     {takes}, at most {}\n", count(schedule.terms.max_tasks)));
    text.push_str(&format!("  at        {} every day\n", schedule.terms.rule));
    text.push_str(&format!("  next      {}\n", next(schedule)));
    text.push_str(&format!("  priority  {}\n", schedule.terms.priority.as_str()));
    text.push_str(&format!("  last run  {}", last_run(last)));
    text
}
