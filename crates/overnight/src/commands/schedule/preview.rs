//! `overnight schedule preview`: what tonight would take, and what it would cost. Nothing is stored.

use domain::{Money, Schedule};
use pipeline::{Preview, PreviewRow};
use serde_json::{Value, json};

use super::find;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, money, table, when};
use crate::world::{Desk, night};

pub(crate) async fn run(config: &Config, name: Option<&str>, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "schedule preview").await?;
    let night = night(config)?;
    let schedules = match name {
        Some(name) => vec![find(config, &desk.store, name).await?],
        None => pipeline::schedules(&desk.store, &night).await?,
    };
    let mut previews = Vec::new();
    for schedule in schedules {
        let preview = Preview::of(&desk.store, &night, &schedule).await?;
        previews.push((schedule, preview));
    }
    let documents: Vec<Value> = previews.iter().map(|(one, preview)| document(one, preview)).collect();
    output.result(&json!({ "prices_of": config.prices.date, "schedules": documents }), || {
        text(config, &previews)
    });
    for note in previews.iter().flat_map(|(_, preview)| &preview.notes) {
        output.note(note);
    }
    desk.store.close().await?;
    Ok(Exit::Success)
}

fn document(schedule: &Schedule, preview: &Preview) -> Value {
    let rows = preview.rows.iter().map(|row| {
        json!({
            "agent": row.agent,
            "repo": row.repo,
            "model": row.model,
            "tasks": row.tasks,
            "input_tokens": row.input_tokens,
            "output_tokens_at_most": row.output_tokens,
            "cost_usd_at_most": row.cost.map(Money::dollars),
            "normal_cost_usd_at_most": row.normal_cost.map(Money::dollars),
        })
    });
    json!({
        "name": schedule.name,
        "next_at": schedule.next.map(|slot| slot.at),
        "paused": schedule.paused.as_ref().map(|pause| &pause.reason),
        "max_tasks": schedule.terms.max_tasks,
        "tasks": tasks(preview),
        "left": preview.left,
        "cost_usd_at_most": sum(preview, |row| row.cost).map(Money::dollars),
        "take": rows.collect::<Vec<_>>(),
    })
}

fn tasks(preview: &Preview) -> u64 {
    preview.rows.iter().map(|row| row.tasks).sum()
}

/// A sum of prices; unknown where one of them is.
fn sum(preview: &Preview, price: fn(&PreviewRow) -> Option<Money>) -> Option<Money> {
    preview.rows.iter().map(price).try_fold(Money(0), |sum, price| Some(Money(sum.0 + price?.0)))
}

fn text(config: &Config, previews: &[(Schedule, Preview)]) -> String {
    let mut text = String::new();
    for (schedule, preview) in previews {
        let next = match (&schedule.paused, schedule.next) {
            (Some(pause), _) => format!("paused: {}", pause.reason),
            (None, Some(slot)) => when(slot.at, schedule.terms.rule.zone()),
            (None, None) => "switched off".to_owned(),
        };
        let (taken, left) = (count(tasks(preview)), count(preview.left));
        text.push_str(&format!("{} ({next}): {taken} tasks, {left} left\n", schedule.name));
        if preview.rows.is_empty() {
            continue;
        }
        let rows = preview.rows.iter().map(|row| {
            let repo = row.repo.clone().unwrap_or_else(|| "-".to_owned());
            let mut line = vec![row.agent.clone(), repo, row.model.clone(), count(row.tasks)];
            line.extend([count(row.input_tokens), money(row.cost), money(row.normal_cost)]);
            line
        });
        let titles = ["AGENT", "REPO", "MODEL", "TASKS>", "TOKENS IN>", "AT MOST>", "NORMAL>"];
        text.push_str(&format!("{}\n", table(&titles, rows)));
        let (cost, normal) = (sum(preview, |row| row.cost), sum(preview, |row| row.normal_cost));
        let date = &config.prices.date;
        text.push_str(&format!(
            "at most {}, {} at the normal price (prices of {date})\n\n",
            money(cost),
            money(normal)
        ));
    }
    text.push_str("Nothing was stored or sent.");
    text
}
