//! `overnight batch details`: a job with its batches, errors and cost.

use api_types::{Batch, Job};
use chrono_tz::Tz;
use domain::JobId;
use serde_json::{Value, json};
use store::Store;

use crate::commands::wait::bill;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, bytes, count, money, table, when};
use crate::progress::Standing;
use crate::select;
use crate::world::Desk;

pub(crate) async fn run(config: &Config, job: &str, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch details").await?;
    let job = select::job(&desk.store, job).await?;
    let shown = api::job_with_batches(&desk.store, job).await?;
    let mut document = serde_json::to_value(&shown).map_err(Trouble::other)?;
    let standing = Standing::of(&desk.store, job).await?;
    let errors = desk.store.error_groups(job).await?;
    document["errors"] = errors
        .iter()
        .map(|group| {
            json!({
                "class": group.class,
                "count": group.count,
                "example": group.custom_id,
                "message": group.message,
                "hint": group.class.hint(),
            })
        })
        .collect();
    output.result(&document, || {
        let mut text = header(&standing);
        text.push_str(&batches(&shown, config.zone));
        if !errors.is_empty() {
            let rows = errors.iter().map(|group| {
                let message = group.message.clone().unwrap_or_default();
                vec![
                    group.class.to_string(),
                    count(group.count),
                    group.custom_id.clone(),
                    message,
                    group.class.hint().to_owned(),
                ]
            });
            text.push_str("\n\n");
            text.push_str(&table(&["ERROR", "TASKS>", "EXAMPLE", "MESSAGE", "WHAT NOW"], rows));
        }
        text
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}

fn header(standing: &Standing) -> String {
    let row = &standing.row;
    let (input, output) = row.estimate_tokens.unwrap_or_default();
    let mut text = format!(
        "job        {}\nstate      {}\nprocessor  {} version {}, model {}, {}\nprovider   {}\nsource     {}\naccepted   {}\n",
        row.job.id,
        standing.line(),
        row.processor,
        row.processor_version,
        row.model,
        row.endpoint,
        row.provider,
        row.source,
        row.created_at.to_rfc3339(),
    );
    text.push_str(&format!(
        "estimate   {} at most ({} tokens in, {} out at most; prices of {})\n{}\n",
        money(row.estimate_cost),
        count(input),
        count(output),
        row.prices_of,
        bill(row),
    ));
    if let Some(error) = &row.last_error {
        text.push_str(&format!("last error {error}\n"));
    }
    text.push('\n');
    text
}

/// The batches of a job: a table, and a paragraph for each that is in doubt or waits for a person.
pub(crate) fn batches(job: &Job, zone: Tz) -> String {
    let all = job.batches.as_deref().unwrap_or_default();
    let titles = ["BATCH", "STATE", "PROVIDER'S ID", "STATUS", "LINES>", "BYTES>", "WHY"];
    let mut text = table(&titles, all.iter().map(row));
    for batch in all {
        let Some(tried) = &batch.tried else { continue };
        let state =
            batch.parked.as_ref().map_or(batch.state.clone(), |parked| format!("parked ({})", parked.reason));
        text.push_str(&format!("\n\nbatch {} is {state}\n  tried   {tried}", batch.number));
        if let Some(next) = &batch.next {
            let at = next.at.map(|at| format!(" ({})", when(at, zone))).unwrap_or_default();
            text.push_str(&format!("\n  next    {}{at}", next.what));
        }
        if let Some(parked) = &batch.parked {
            text.push_str(&format!("\n  hint    {}", parked.hint));
        }
        if let Some(decide) = &batch.decide {
            text.push_str(&format!("\n  decide  {}", decide.command));
            text.push_str(&format!(", RESOLUTION being {}", decide.resolutions.join(" or ")));
        }
    }
    text
}

fn row(batch: &Batch) -> Vec<String> {
    vec![
        batch.number.to_string(),
        batch.state.clone(),
        batch.provider_batch_id.clone().unwrap_or_else(|| "-".to_owned()),
        batch.status.clone().unwrap_or_else(|| "-".to_owned()),
        count(u64::from(batch.requests)),
        bytes(batch.bytes),
        batch.last_error.clone().unwrap_or_default(),
    ]
}

/// A job for programs: the same shape wherever one is printed.
pub(crate) async fn job_document(store: &Store, job: JobId) -> Result<Value, Trouble> {
    serde_json::to_value(api::job(store, job).await?).map_err(Trouble::other)
}
