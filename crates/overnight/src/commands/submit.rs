//! `overnight batch submit`: records checked, counted, accepted, and brought to the provider.

use std::sync::Arc;

use api_types::CreateJob;
use domain::{JobId, Kind};
use processor::Processor;
use reception::{Estimate, Intake, Request, Skipped, Source};
use serde_json::{Value, json};
use store::Store;

use crate::cli::SubmitArgs;
use crate::commands::wrong::{self, Wrong};
use crate::commands::{once, wait};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, bytes, count, counted, len, money, when};
use crate::progress::{Standing, Until, Watched, watch};
use crate::select;
use crate::world::{Desk, World, hold, reach_first};

pub(crate) async fn run(config: &Config, arguments: &SubmitArgs, output: &Output) -> Result<Exit, Trouble> {
    let processor = select::processor(config, &arguments.processor, arguments.model.as_deref())?;
    let kind = Kind::parse(&arguments.kind).ok_or_else(|| unknown_kind(&arguments.kind))?;
    not_a_retry(&arguments.kind)?;
    // Files and the key are looked at before the database is: a typing error shall not make a data folder.
    let files = if arguments.task_ids.is_empty() { source::expand(&arguments.files)? } else { Vec::new() };
    if !arguments.dry_run && !config.is_fleet() {
        config.key()?;
    }
    let desk = if arguments.dry_run {
        Desk::open(config, "batch submit").await?
    } else {
        Desk::open_to_write(config, "batch submit").await?
    };
    let idempotency =
        once::idempotency(arguments.idempotency_key.as_ref(), &asked(arguments), &arguments.files)?;
    if let Some(job) = once::brought_before(&desk.store, idempotency.as_ref()).await? {
        return drive(config, desk, job, arguments.wait, &[], output).await;
    }
    let (source, label) = if arguments.task_ids.is_empty() {
        (Source::Files(files.into()), format!("files {}", arguments.files.join(" ")))
    } else {
        (backlog(&desk, &processor, &arguments.task_ids).await?, "backlog tasks by id".to_owned())
    };
    let request = request(config, &desk.store, processor, source, label, kind, arguments.tonight).await?;
    // A backlog task that is pending is wanted, whatever was answered before.
    let again = arguments.again || !arguments.task_ids.is_empty();
    let origin = store::Origin { idempotency, ..request.origin };
    let request = Request { again, origin, ..request };
    let checked = Intake::check(&desk.store, &request).await?;
    let wrong = wrong_of(&checked);
    if !wrong.is_empty() && arguments.skip_invalid && !checked.has_usable() {
        return Err(wrong::none_usable(&wrong));
    }
    leave_out(&wrong, arguments.skip_invalid, output)?;
    let exit = if arguments.dry_run {
        dry_run(config, &request, &checked, output);
        Exit::Success
    } else {
        accept_and_drive(config, desk, &request, &checked, arguments.wait, output).await?
    };
    Ok(if exit == Exit::Success && !wrong.is_empty() { Exit::JobWithErrors } else { exit })
}

/// What has failed is found by the database, and not by files or ids.
pub(crate) fn not_a_retry(kind: &str) -> Result<(), Trouble> {
    if kind != Kind::ReprocessFailed.as_str() {
        return Ok(());
    }
    Err(Trouble::usage("tasks that failed are taken up by batch retry")
        .why("they keep the records that they were given, and a processor")
        .fix("overnight batch retry JOB; of all jobs by --class or --older-than; the platform's own with --backlog"))
}

fn unknown_kind(kind: &str) -> Trouble {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    Trouble::usage(format!("{kind:?} is not a kind of job")).fix(format!("take one of {}", kinds.join(", ")))
}

pub(crate) async fn request(
    config: &Config,
    store: &Store,
    processor: Arc<Processor>,
    source: Source,
    label: String,
    kind: Kind,
    tonight: bool,
) -> Result<Request, Trouble> {
    Ok(Request {
        processor,
        source,
        label,
        kind,
        hold: hold(config, store, tonight).await?,
        provider: config.provider.to_string(),
        again: false,
        limits: config.limits,
        prices: config.prices.clone(),
        priority: kind.priority(),
        origin: store::Origin::default(),
    })
}

async fn backlog(desk: &Desk, processor: &Processor, ids: &[String]) -> Result<Source, Trouble> {
    let found = desk.store.backlog_by_id(ids).await?;
    let missing: Vec<_> = ids.iter().filter(|id| !found.iter().any(|(task, _)| task.id == **id)).collect();
    if let Some(first) = missing.first() {
        return Err(Trouble::usage(format!("no backlog task {first}"))
            .why(format!("{} of {} ids are not in the table tasks", missing.len(), ids.len()))
            .fix("check the ids, or load the backlog first"));
    }
    if let Some((task, status)) = found.iter().find(|(_, status)| status != "pending") {
        return Err(Trouble::usage(format!("backlog task {} is {status}, not pending", task.id))
            .fix("leave it out: only pending tasks can be claimed"));
    }
    // Its answer would complete a task of another agent.
    let name = &processor.definition().name;
    if let Some((task, _)) = found.iter().find(|(task, _)| task.agent_type != *name) {
        let agent = &task.agent_type;
        return Err(Trouble::usage(format!("backlog task {} is for {agent}, and not for {name}", task.id))
            .why("a task's agent_type is the processor that works on it")
            .fix(format!("submit it to {agent}, or leave it out")));
    }
    Ok(Source::Backlog(found.into_iter().map(|(task, _)| task).collect()))
}

/// Wrong records end the command, unless they are to be left out.
pub(crate) fn leave_out(wrong: &[Wrong], skip_invalid: bool, output: &Output) -> Result<(), Trouble> {
    if !wrong.is_empty() && !skip_invalid {
        return Err(wrong::refused(wrong, "or leave them out with --skip-invalid"));
    }
    // Programs find them in the document.
    if !output.is_json() {
        wrong::report(wrong, output);
    }
    Ok(())
}

pub(crate) fn wrong_of(checked: &Intake) -> Vec<Wrong> {
    checked.invalid.iter().cloned().map(Wrong::from).collect()
}

/// What is asked for, in the words of the API, but for what is in files.
pub(crate) fn asked(arguments: &SubmitArgs) -> CreateJob {
    CreateJob {
        kind: Some(arguments.kind.clone()),
        processor: Some(arguments.processor.clone()),
        model: arguments.model.clone(),
        task_ids: Some(arguments.task_ids.clone()).filter(|ids| !ids.is_empty()),
        tonight: arguments.tonight,
        again: arguments.again,
        dry_run: arguments.dry_run,
        ..CreateJob::default()
    }
}

/// Accepts what was checked, and runs the stages until the job is where it should be.
pub(crate) async fn accept_and_drive(
    config: &Config,
    desk: Desk,
    request: &Request,
    checked: &Intake,
    wait: bool,
    output: &Output,
) -> Result<Exit, Trouble> {
    if checked.estimate.requests == 0 {
        nothing_new(request, checked, output);
        desk.store.close().await?;
        return Ok(Exit::Success);
    }
    reach_first(config).await?;
    let job = match checked.accept(&desk.store, request).await {
        Ok(accepted) => accepted.job,
        // The same wish may have come twice at once: the other one has the key then.
        Err(error) => match once::brought_before(&desk.store, request.origin.idempotency.as_ref()).await? {
            Some(job) => job,
            None => return Err(error.into()),
        },
    };
    if !output.is_json() {
        output.note(&format!("{job} accepted: {}", summary(&checked.estimate, &checked.skipped)));
    }
    drive(config, desk, job, wait, &wrong_of(checked), output).await
}

/// Runs the stages until an accepted job is at the provider, or has ended.
pub(crate) async fn drive(
    config: &Config,
    desk: Desk,
    job: JobId,
    wait: bool,
    wrong: &[Wrong],
    output: &Output,
) -> Result<Exit, Trouble> {
    // What is held is not waited for.
    let held = Standing::of(&desk.store, job).await?.held(config.zone).is_some();
    let until = if wait && !held { Until::Ended } else { Until::Submitted };
    let world = World::start(config, desk, false).await?;
    let watched = watch(&world.context.store, job, until, None, output).await?;
    let desk = world.stop().await?;
    let exit = if until == Until::Ended {
        wait::conclude(&desk, job, &watched, wrong, output).await?
    } else {
        submitted(config, &desk, job, &watched, wrong, output).await?
    };
    if wait {
        wait::held_for_good(&desk, job).await?;
    }
    desk.store.close().await?;
    Ok(exit)
}

fn summary(estimate: &Estimate, skipped: &Skipped) -> String {
    let tasks = counted(estimate.requests, "task", "tasks");
    let mut text = format!("{tasks} in {}", counted(len(&estimate.batches), "batch", "batches"));
    if skipped.total() > 0 {
        text.push_str(&format!(", {} left out", counted(skipped.total(), "known one", "known ones")));
    }
    text
}

/// Everything is known: says by which jobs.
fn nothing_new(request: &Request, checked: &Intake, output: &Output) {
    let skipped = &checked.skipped;
    let by_job = |jobs: &std::collections::BTreeMap<JobId, u64>| -> Vec<Value> {
        jobs.iter().map(|(job, count)| json!({ "job_id": job, "count": count })).collect()
    };
    let document = json!({
        "job_id": null,
        "submitted": 0,
        "answered": by_job(&skipped.answered),
        "on_their_way": by_job(&skipped.on_their_way),
        "invalid": wrong_of(checked),
    });
    output.result(&document, || nothing_new_text(request, skipped));
}

fn nothing_new_text(request: &Request, skipped: &Skipped) -> String {
    let name = &request.processor.definition().name;
    let known = match skipped.total() {
        1 => "the one record is known".to_owned(),
        number => format!("all {} records are known", count(number)),
    };
    let mut text = format!("nothing to submit: {known} to {name}\n");
    for (job, number) in &skipped.answered {
        text.push_str(&format!("  {} answered by job {job}\n", count(*number)));
    }
    for (job, number) in &skipped.on_their_way {
        text.push_str(&format!("  {} on the way in job {job}\n", count(*number)));
    }
    if !skipped.answered.is_empty() {
        text.push_str("submit with --again to ask for new answers\n");
    }
    text
}

async fn submitted(
    config: &Config,
    desk: &Desk,
    job: JobId,
    watched: &Watched,
    wrong: &[Wrong],
    output: &Output,
) -> Result<Exit, Trouble> {
    let standing = Standing::of(&desk.store, job).await?;
    let document = json!({
        "job_id": job,
        "state": standing.shown.as_str(),
        "tasks": standing.row.job.total,
        "batches": standing.batches.total(),
        "hold_until": standing.row.hold_until,
        "invalid": wrong,
    });
    output.result(&document, || {
        let mut text = match standing.held(config.zone) {
            Some(held) => format!("job {job} is held {held}\n"),
            None => format!("job {job} is {}\n", standing.shown.as_str()),
        };
        text.push_str(&format!("  follow   overnight batch wait {job}\n"));
        text.push_str(&format!("  collect  overnight batch collect {job}"));
        text
    });
    match watched {
        Watched::Interrupted => Ok(Exit::Interrupted),
        Watched::Parked => wait::conclude(desk, job, watched, wrong, output).await,
        Watched::Done | Watched::TimedOut => Ok(Exit::Success),
    }
}

pub(crate) fn dry_run(config: &Config, request: &Request, checked: &Intake, output: &Output) {
    let estimate = &checked.estimate;
    let model = request.processor.model();
    let start = request.hold.map(|(reason, until)| json!({ "reason": reason, "until": until }));
    let document = json!({
        "records": estimate.requests,
        "known": checked.skipped.total(),
        "invalid": wrong_of(checked),
        "model": model,
        "batches": estimate.batches,
        "bytes": estimate.bytes,
        "largest_batch_bytes": estimate.largest_bytes,
        "input_tokens": estimate.input_tokens,
        "output_tokens_at_most": estimate.output_tokens,
        "cost_usd_at_most": estimate.cost.map(domain::Money::dollars),
        "normal_cost_usd_at_most": estimate.normal_cost.map(domain::Money::dollars),
        "prices_of": config.prices.date,
        "held": start,
    });
    output.result(&document, || dry_run_text(config, request, checked));
}

fn dry_run_text(config: &Config, request: &Request, checked: &Intake) -> String {
    let estimate = &checked.estimate;
    if estimate.requests == 0 {
        return nothing_new_text(request, &checked.skipped) + "Nothing was stored or sent.";
    }
    let known = checked.skipped.total();
    let invalid = len(&checked.invalid);
    let sizes: Vec<String> = estimate.batches.iter().map(|size| count(u64::from(*size))).collect();
    let mut text = format!(
        "Checked   {}: {} to submit, {} known, {} unusable\n",
        counted(estimate.requests + known + invalid, "record", "records"),
        count(estimate.requests),
        count(known),
        count(invalid)
    );
    text.push_str(&format!(
        "Batches   {} ({}; largest {} of {})\n",
        sizes.len(),
        if sizes.len() > 12 { format!("{} each", sizes[0]) } else { sizes.join(" + ") },
        bytes(estimate.largest_bytes),
        bytes(config.limits.max_bytes)
    ));
    text.push_str(&format!(
        "Tokens    about {} in, at most {} out, model {}\n",
        count(estimate.input_tokens),
        count(estimate.output_tokens),
        request.processor.model()
    ));
    let saved = estimate.cost.zip(estimate.normal_cost).map(|(cost, normal)| cost.saved_of(normal));
    text.push_str(&format!(
        "Price     at most {} in a batch, {} at the normal price, saves {} (prices of {})\n",
        money(estimate.cost),
        money(estimate.normal_cost),
        money(saved),
        config.prices.date
    ));
    if let Some((reason, until)) = request.hold {
        let until = until.map_or_else(|| "a person starts it".to_owned(), |until| when(until, config.zone));
        text.push_str(&format!("Held      {}, until {until}\n", reason.as_str()));
    }
    text.push_str("Nothing was stored or sent.");
    text
}
