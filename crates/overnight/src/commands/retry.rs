//! `overnight batch retry`: tasks that ended badly go again, as a job of their own.

use api_types::{CreateJob, Filter, Reprocess};
use reception::Wish;

use crate::cli::RetryArgs;
use crate::commands::submit::{accept_and_drive, drive, dry_run, leave_out, wrong_of};
use crate::commands::{once, wrong};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, counted};
use crate::select;
use crate::world::{Desk, house};

pub(crate) async fn run(config: &Config, arguments: &RetryArgs, output: &Output) -> Result<Exit, Trouble> {
    let desk = if arguments.dry_run {
        Desk::open(config, "batch retry").await?
    } else {
        Desk::open_to_write(config, "batch retry").await?
    };
    let mut asked = asked(arguments);
    let idempotency = once::idempotency(arguments.idempotency_key.as_ref(), &asked, &[])?;
    if let Some(job) = once::brought_before(&desk.store, idempotency.as_ref()).await? {
        return drive(config, desk, job, arguments.wait, &[], output).await;
    }
    // After the key: the job that it stands for may begin like the one that it was made of.
    if let (Some(job), Some(reprocess)) = (&arguments.job, &mut asked.reprocess_failed) {
        reprocess.job = Some(select::job_to_drive(config, &desk.store, job).await?.to_string());
    }
    let mut wish = Wish::of(&asked, desk.store.clock().now())?;
    wish.origin.idempotency = idempotency;
    let prepared = wish.prepare(&desk.store, &house(config)?).await?;
    // Nobody has named them, so one that can't be used fails no other.
    let wrong = wrong_of(&prepared.intake);
    if !wrong.is_empty() && !prepared.intake.has_usable() {
        return Err(wrong::none_usable(&wrong));
    }
    leave_out(&wrong, true, output)?;
    if let Some(left_out) = prepared.request.origin.left_out.filter(|_| !output.is_json()) {
        let taken = counted(prepared.intake.estimate.requests, "task", "tasks");
        output.note(&format!("{}: {taken} taken up again; left out: {left_out}", prepared.request.label));
    }
    let exit = if arguments.dry_run {
        dry_run(config, &prepared.request, &prepared.intake, output);
        Exit::Success
    } else {
        accept_and_drive(config, desk, &prepared.request, &prepared.intake, arguments.wait, output).await?
    };
    Ok(if exit == Exit::Success && !wrong.is_empty() { Exit::JobWithErrors } else { exit })
}

/// What is asked for, in the words of the API.
pub(crate) fn asked(arguments: &RetryArgs) -> CreateJob {
    let backlog = arguments.backlog.then(|| Filter {
        repo: arguments.repo.clone(),
        agent_type: arguments.agent.clone(),
        limit: arguments.limit,
    });
    CreateJob {
        processor: arguments.processor.clone(),
        model: arguments.model.clone(),
        reprocess_failed: Some(Reprocess {
            job: arguments.job.clone(),
            error_class: arguments.class.clone(),
            older_than: arguments.older_than.map(|age| format!("{}s", age.as_secs())),
            limit: arguments.limit.filter(|_| backlog.is_none()),
            backlog,
        }),
        tonight: arguments.tonight,
        dry_run: arguments.dry_run,
        ..CreateJob::default()
    }
}
