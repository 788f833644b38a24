//! `overnight batch wait`, and the end of every command that waited.

use std::time::Duration;

use domain::JobId;
use serde_json::json;

use crate::commands::details::job_document;
use crate::commands::wrong::Wrong;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, counted, table};
use crate::progress::{Standing, Until, Watched, watch};
use crate::select;
use crate::world::{Desk, World};

pub(crate) async fn run(
    config: &Config,
    job: &str,
    timeout: Duration,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "batch wait").await?;
    let job = select::job_to_drive(config, &desk.store, job).await?;
    // With the setting on, whoever does the work lets such a job go when it starts.
    if desk.is_elsewhere() || !config.enabled {
        held_for_good(&desk, job).await?;
    }
    let standing = Standing::of(&desk.store, job).await?;
    if let Some(held) = standing.held(config.zone).filter(|_| !output.is_json()) {
        output.note(&format!("job {job} is held {held}"));
    }
    // Where another process does the work, this one only looks.
    let (desk, watched) = if desk.is_elsewhere() {
        let watched = watch(&desk.store, job, Until::Ended, Some(timeout), output).await?;
        (desk, watched)
    } else {
        let world = World::start(config, desk, false).await?;
        let watched = watch(&world.context.store, job, Until::Ended, Some(timeout), output).await?;
        (world.stop().await?, watched)
    };
    let exit = conclude(&desk, job, &watched, &[], output).await?;
    desk.store.close().await?;
    Ok(exit)
}

/// Refuses to wait for a job that no time lets go.
pub(crate) async fn held_for_good(desk: &Desk, job: JobId) -> Result<(), Trouble> {
    let standing = Standing::of(&desk.store, job).await?;
    if !standing.is_held_for_good() {
        return Ok(());
    }
    Err(Trouble::new(Exit::NotFinished, format!("job {job} is held because ENABLE_BATCH_API is off"))
        .why("no time ends that: it waits for the setting")
        .fix(format!("set ENABLE_BATCH_API=true, then overnight batch wait {job}")))
}

/// Says how it ended; to programs also what was left out when it was submitted.
pub(crate) async fn conclude(
    desk: &Desk,
    job: JobId,
    watched: &Watched,
    left_out: &[Wrong],
    output: &Output,
) -> Result<Exit, Trouble> {
    let trouble = match watched {
        Watched::Done => {
            show(desk, job, left_out, output).await?;
            let outcome = desk.store.job(job).await?.job.state.outcome();
            return Ok(outcome.map_or(Exit::NotFinished, Exit::of));
        }
        Watched::TimedOut => Trouble::new(Exit::Timeout, format!("job {job} has not ended in time"))
            .fix(format!("it goes on with the next command: overnight batch wait {job}")),
        Watched::Interrupted => {
            Trouble::new(Exit::Interrupted, format!("interrupted; job {job} stays where it is"))
                .fix(format!("it goes on with the next command: overnight batch wait {job}"))
        }
        Watched::Parked => Trouble::other(format!("what is left of job {job} waits for a person")).fix(
            format!("overnight batch details {job} says what and why, overnight batch resolve {job} decides"),
        ),
    };
    Err(trouble)
}

/// The outcomes, the cost and the saving.
async fn show(desk: &Desk, job: JobId, left_out: &[Wrong], output: &Output) -> Result<(), Trouble> {
    let mut document = job_document(&desk.store, job).await?;
    if !left_out.is_empty() {
        document["invalid"] = json!(left_out);
    }
    let (row, shown, batches) = desk.store.job_shown(job).await?;
    let errors = desk.store.error_groups(job).await?;
    output.result(&json!(document), || {
        let ended = row.ended;
        let outcomes = [
            ("succeeded", ended.succeeded),
            ("failed", ended.failed),
            ("expired", ended.expired),
            ("cancelled", ended.cancelled),
            ("missing", ended.missing),
        ];
        let shown_rows = outcomes.iter().filter(|(name, number)| *number > 0 || *name == "succeeded");
        let rows = shown_rows.map(|(name, number)| vec![(*name).to_owned(), count(*number)]);
        let mut text = format!("job {job} {} with {}\n\n", shown.as_str(), row.provider);
        text.push_str(&table(&["OUTCOME", "TASKS>"], rows));
        for group in &errors {
            text.push_str(&format!(
                "\n  {} {}: {} ({})",
                count(group.count),
                group.class,
                group.message.as_deref().unwrap_or(group.class.hint()),
                group.custom_id
            ));
        }
        text.push_str(&format!(
            "\n\nbatches {}   tokens {} in, {} out\n{}",
            batches.total(),
            count(row.tokens.input),
            count(row.tokens.output),
            bill(&row)
        ));
        text
    });
    Ok(())
}

/// Cost and saving in one line; what nobody knows is said, with the reason, and counted as nothing.
pub(crate) fn bill(row: &store::JobRow) -> String {
    let requests = counted(row.unpriced, "request", "requests");
    let unknown = if row.estimate_cost.is_none() {
        format!("{requests} at unknown cost, since no price of {} is known", row.model)
    } else {
        format!("{requests} at unknown cost, since the provider told no usage")
    };
    let Some((paid, normal)) = row.known_cost() else { return format!("cost unknown: {unknown}") };
    let saved = paid.saved_of(normal);
    let percent = if normal.0 == 0 { 0.0 } else { 100.0 * saved.dollars() / normal.dollars() };
    let mut text = format!("cost {paid}   normal {normal}   saved {saved} ({percent:.0} %)");
    if row.unpriced > 0 {
        text.push_str(&format!("\nnot in the sum: {unknown}"));
    }
    if row.provider == "sim" {
        text.push_str("\nthe model is simulated: nothing was paid");
    }
    text
}
