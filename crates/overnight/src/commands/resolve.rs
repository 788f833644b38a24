//! `overnight batch resolve`: a person's decision about batches that wait for one.

use domain::{BatchState, Resolution};
use serde_json::json;
use store::BatchRow;

use crate::cli::{ResolveArgs, ResolveAs};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::select;
use crate::world::{Desk, World};

pub(crate) async fn run(config: &Config, arguments: &ResolveArgs, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch resolve").await?;
    let job = select::job_to_drive(config, &desk.store, &arguments.job).await?;
    let resolution = arguments.resolution.into();
    let waiting: Vec<BatchRow> = desk
        .store
        .batches(job)
        .await?
        .into_iter()
        .filter(|row| arguments.batch.as_deref().map_or(is_parked(row), |batch| is_named(row, batch)))
        .collect();
    if waiting.is_empty() {
        let what = match &arguments.batch {
            Some(batch) => format!("job {job} has no batch {batch}"),
            None => format!("no batch of job {job} waits for a person"),
        };
        return Err(Trouble::other(what).fix(format!("overnight batch details {job} shows its batches")));
    }
    let world = World::beside(config, desk)?;
    let mut resolved = Vec::new();
    for row in &waiting {
        let upload = arguments.upload.unwrap_or(row.batch.upload);
        if pipeline::resolve(&world.context, row.batch.id, resolution, upload).await? {
            resolved.push(row.number);
        }
    }
    let desk = world.stop().await?;
    let batches = desk.store.batches(job).await?;
    let now = |row: &&BatchRow| waiting.iter().any(|before| before.batch.id == row.batch.id);
    let document = json!({
        "job_id": job,
        "resolution": resolution.as_str(),
        "resolved": resolved,
        "batches": batches.iter().filter(now).map(|row| {
            json!({
                "number": row.number,
                "id": row.batch.id,
                "upload": row.batch.upload,
                "state": row.batch.state.as_str(),
            })
        }).collect::<Vec<_>>(),
    });
    output.result(&document, || {
        let lines = batches.iter().filter(now).map(|row| {
            let word = if resolved.contains(&row.number) {
                String::new()
            } else if let Some(upload) = arguments.upload.filter(|upload| *upload != row.batch.upload) {
                format!(", at upload {}: what was seen of upload {upload} decides nothing", row.batch.upload)
            } else {
                ": nothing that this decides".to_owned()
            };
            format!("batch {} of job {job} is {}{word}", row.number, row.batch.state.as_str())
        });
        let mut lines: Vec<String> = lines.collect();
        if !resolved.is_empty() {
            lines.push(format!("it goes on where the stages run; here: overnight batch wait {job}"));
        }
        lines.join("\n")
    });
    desk.store.close().await?;
    Ok(if resolved.len() == waiting.len() { Exit::Success } else { Exit::Other })
}

fn is_named(row: &BatchRow, batch: &str) -> bool {
    batch == row.number.to_string() || batch == row.batch.id.to_string()
}

fn is_parked(row: &BatchRow) -> bool {
    matches!(row.batch.state, BatchState::Parked(_))
}

impl From<ResolveAs> for Resolution {
    fn from(word: ResolveAs) -> Self {
        match word {
            ResolveAs::TryAgain => Self::TryAgain,
            ResolveAs::NotCreated => Self::NotCreated,
            ResolveAs::GiveUp => Self::GiveUp,
        }
    }
}
