//! `overnight batch retry`: tasks of a job that ended badly go again, as a job of their own.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{ErrorClass, JobId, Kind, Time};
use reception::{Wish, Work};
use store::{Origin, RetryFilter};

use crate::cli::RetryArgs;
use crate::commands::submit::{accept_and_drive, dry_run, leave_out, wrong_of};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, counted};
use crate::select;
use crate::world::{Desk, house};

pub(crate) async fn run(config: &Config, arguments: &RetryArgs, output: &Output) -> Result<Exit, Trouble> {
    let class = arguments.class.as_deref().map(class).transpose()?;
    let desk = if arguments.dry_run {
        Desk::open(config, "batch retry").await?
    } else {
        Desk::open_to_write(config, "batch retry").await?
    };
    let job = select::job_to_drive(config, &desk.store, &arguments.job).await?;
    let now = desk.store.clock().now();
    let before = arguments.older_than.map(|age| ago(now, age)).transpose()?;
    let wish = wish(job, RetryFilter { class, before }, arguments.tonight);
    let prepared = wish.prepare(&desk.store, &house(config)?).await?;
    leave_out(&wrong_of(&prepared.intake), false, output)?;
    if let Some(left_out) = prepared.left_out.filter(|_| !output.is_json()) {
        let taken = counted(prepared.intake.estimate.requests, "task", "tasks");
        output.note(&format!("{taken} of job {job} taken up again; left out: {left_out}"));
    }
    if arguments.dry_run {
        dry_run(config, &prepared.request, &prepared.intake, output);
        return Ok(Exit::Success);
    }
    accept_and_drive(config, desk, &prepared.request, &prepared.intake, arguments.wait, output).await
}

fn wish(job: JobId, filter: RetryFilter, tonight: bool) -> Wish {
    Wish {
        kind: Kind::ReprocessFailed,
        processor: None,
        model: None,
        work: Work::Failed { job, filter },
        tonight,
        again: false,
        priority: None,
        origin: Origin::default(),
    }
}

fn class(word: &str) -> Result<ErrorClass, Trouble> {
    word.parse().map_err(|_| {
        let all: Vec<_> = ErrorClass::ALL.iter().map(|class| class.label()).collect();
        Trouble::usage(format!("{word:?} is not an error class"))
            .fix(format!("take one of {}", all.join(", ")))
    })
}

fn ago(now: Time, age: Duration) -> Result<Time, Trouble> {
    let before = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
    before.ok_or_else(|| Trouble::usage("--older-than reaches back before time").fix("take fewer days"))
}
