//! `overnight batch details`: a job with its batches, errors and cost.

use domain::{JobId, Parked};
use serde_json::{Value, json};
use store::{BatchRow, Store};

use crate::commands::wait::bill;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, bytes, count, money, table};
use crate::progress::Standing;
use crate::select;
use crate::world::Desk;

pub(crate) async fn run(config: &Config, job: &str, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch details").await?;
    let job = select::job(&desk.store, job).await?;
    let mut document = job_document(&desk.store, job).await?;
    let standing = Standing::of(&desk.store, job).await?;
    let batches = desk.store.batches(job).await?;
    let errors = desk.store.error_groups(job).await?;
    document["batches"] = batches.iter().map(batch_document).collect();
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
        let titles = ["BATCH", "STATE", "PROVIDER'S ID", "STATUS", "LINES>", "BYTES>", "WHY"];
        text.push_str(&table(&titles, batches.iter().map(batch_row)));
        for (row, parked) in batches.iter().filter_map(|row| Some((row, row.batch.state.parked()?))) {
            text.push_str(&format!(
                "\n\nbatch {} waits for a person ({}): {}\n  overnight batch resolve {job} {} --batch {}",
                row.number,
                parked.as_str(),
                parked.hint(),
                words(parked),
                row.number
            ));
        }
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

/// What a person can decide, as the command line takes it.
fn words(parked: &Parked) -> String {
    parked.resolutions().iter().map(|resolution| resolution.as_str()).collect::<Vec<_>>().join("|")
}

fn batch_row(row: &BatchRow) -> Vec<String> {
    vec![
        row.number.to_string(),
        row.batch.state.as_str().to_owned(),
        row.batch.state.provider_id().unwrap_or("-").to_owned(),
        row.batch.remote.status.clone().unwrap_or_else(|| "-".to_owned()),
        count(u64::from(row.requests)),
        bytes(row.bytes),
        row.last_error.clone().unwrap_or_default(),
    ]
}

fn batch_document(row: &BatchRow) -> Value {
    let remote = &row.batch.remote;
    json!({
        "id": row.batch.id,
        "number": row.number,
        "state": row.batch.state.as_str(),
        "provider_batch_id": row.batch.state.provider_id(),
        "status": remote.status,
        "requests": row.requests,
        "bytes": row.bytes,
        "counts": { "total": remote.total, "completed": remote.completed, "failed": remote.failed },
        "output_file_id": remote.output_file_id,
        "error_file_id": remote.error_file_id,
        "created_at": remote.created_at,
        "expires_at": remote.expires_at,
        "ended_at": remote.ended_at,
        "last_error": row.last_error,
        "parked": row.batch.state.parked().map(|parked| json!({ "reason": parked.as_str(), "hint": parked.hint(), "resolutions": words(parked) })),
    })
}

/// A job for programs: the same shape wherever one is printed.
pub(crate) async fn job_document(store: &Store, job: JobId) -> Result<Value, Trouble> {
    serde_json::to_value(api::job(store, job).await?).map_err(Trouble::other)
}
