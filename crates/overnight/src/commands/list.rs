//! `overnight batch list`: jobs, newest first.

use std::time::Duration;

use chrono::TimeDelta;
use domain::Time;
use serde_json::json;

use crate::cli::MOST_LISTED;
use crate::commands::details::job_document;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, money, table};
use crate::world::Desk;

pub(crate) async fn run(
    config: &Config,
    open: bool,
    since: Option<Duration>,
    limit: u64,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch list").await?;
    let now = desk.store.clock().now();
    let since = since.map(|since| now - TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX));
    let jobs = desk.store.jobs(open, since, limit).await?;
    let (mut rows, mut documents, mut is_marked) = (Vec::new(), Vec::new(), false);
    for row in &jobs {
        let (_, shown, _) = desk.store.job_shown(row.job.id).await?;
        documents.push(job_document(&desk.store, row.job.id).await?);
        let failed = row.ended.ended() - row.ended.succeeded;
        let ended = row.job.state.outcome().is_some();
        let known = row.known_cost();
        // What nobody knows is in no sum; the mark says that there is some.
        let mark = if row.unpriced > 0 && known.is_some() { "+" } else { "" };
        is_marked |= ended && !mark.is_empty();
        rows.push(vec![
            row.job.id.to_string(),
            row.processor.clone(),
            shown.as_str().to_owned(),
            count(row.job.total),
            count(row.ended.succeeded),
            count(failed),
            if ended {
                money(known.map(|(paid, _)| paid)) + mark
            } else {
                format!("~{}", money(row.estimate_cost))
            },
            if ended { money(known.map(|(paid, normal)| paid.saved_of(normal))) } else { "-".to_owned() },
            age(now, row.created_at),
        ]);
    }
    let shown = rows.len();
    output.result(&json!({ "jobs": documents }), || {
        if shown == 0 {
            return "no jobs".to_owned();
        }
        let titles = ["JOB", "PROCESSOR", "STATE", "TASKS>", "OK>", "NOT OK>", "COST>", "SAVED>", "AGE>"];
        let mut text = table(&titles, rows);
        if is_marked {
            text.push_str("\n+ and requests whose cost nobody knows: overnight batch details JOB");
        }
        if u64::try_from(shown) == Ok(limit) {
            let more = if limit < MOST_LISTED { "more with --limit" } else { "older ones are left out" };
            text.push_str(&format!("\n{shown} shown; {more}, fewer with --open or --since"));
        }
        text
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}

fn age(now: Time, then: Time) -> String {
    let seconds = (now - then).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
