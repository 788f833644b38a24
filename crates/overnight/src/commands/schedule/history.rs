//! `overnight schedule history`: the runs, and the nights that passed without one.

use serde_json::{Value, json};
use store::RunRow;

use super::find;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, table};
use crate::world::Desk;

pub(crate) async fn run(
    config: &Config,
    name: Option<&str>,
    number: u64,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "schedule history").await?;
    if let Some(name) = name {
        // A removed one has a history, too; only a name that never was is a mistake.
        if desk.store.schedule(name).await?.is_none() {
            find(config, &desk.store, name).await?;
        }
    }
    let runs = desk.store.runs(name, number).await?;
    let documents: Vec<Value> = runs.iter().map(run_document).collect();
    output.result(&json!({ "runs": documents }), || {
        if runs.is_empty() {
            return "no night yet".to_owned();
        }
        let titles = ["NIGHT", "SCHEDULE", "BY", "STATE", "STARTED", "JOBS>", "TASKS>", "LEFT>", "REASON"];
        table(&titles, runs.iter().map(line))
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}

/// A run, wherever one is printed.
pub(super) fn run_document(run: &RunRow) -> Value {
    json!({
        "run_id": run.id,
        "schedule": run.schedule,
        "trigger": run.trigger,
        "date": run.slot_date,
        "planned_at": run.slot_at,
        "state": run.state,
        "recorded_at": run.created_at,
        "finished_at": run.finished_at,
        "max_tasks": run.max_tasks,
        "selected": run.selected,
        "jobs": run.jobs,
        "tasks": run.tasks,
        "left": run.left,
        "reason": run.reason,
    })
}

fn line(run: &RunRow) -> Vec<String> {
    vec![
        run.slot_date.to_string(),
        run.schedule.clone(),
        run.trigger.as_str().to_owned(),
        run.state.as_str().to_owned(),
        run.created_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        count(run.jobs),
        count(run.tasks),
        count(run.left),
        run.reason.clone().unwrap_or_default(),
    ]
}
