//! `overnight schedule pause`, `resume`, `add` and `remove`: a person's word on a schedule.
//!
//! Each is one compare-and-set of one row, so it may be said beside the process that owns the folder;
//! that one reads its schedules anew at every tick.

use domain::{Schedule, ScheduleFact, ScheduleTerms};

use super::find;
use super::list::document;
use crate::cli::AddArgs;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, when};
use crate::world::{Desk, night};

pub(crate) async fn pause(
    config: &Config,
    name: &str,
    reason: String,
    output: &Output,
) -> Result<Exit, Trouble> {
    let said = format!("{name} is paused: {reason}; its nights are skipped until it is resumed");
    tell(config, name, ScheduleFact::Paused(reason), &said, output).await
}

pub(crate) async fn resume(config: &Config, name: &str, output: &Output) -> Result<Exit, Trouble> {
    tell(config, name, ScheduleFact::Resumed, &format!("{name} goes on"), output).await
}

async fn tell(
    config: &Config,
    name: &str,
    fact: ScheduleFact,
    said: &str,
    output: &Output,
) -> Result<Exit, Trouble> {
    let (desk, night) = (Desk::open(config, "schedule").await?, night(config)?);
    pipeline::ensure(&desk.store, &night).await?;
    reception::tell_schedule(&desk.store, night.catchup, name, &fact).await?;
    let schedule = find(config, &desk.store, name).await?;
    output.result(&document(&schedule, None), || said.to_owned());
    desk.store.close().await?;
    Ok(Exit::Success)
}

pub(crate) async fn add(config: &Config, arguments: &AddArgs, output: &Output) -> Result<Exit, Trouble> {
    let (desk, night) = (Desk::open(config, "schedule add").await?, night(config)?);
    let max_tasks = arguments.max_tasks.unwrap_or(config.overnight_max_tasks);
    let terms = ScheduleTerms { rule: night.rule, max_tasks, priority: arguments.priority.into() };
    let schedule = reception::set_repo(&desk.store, night.catchup, &arguments.repo, terms).await?;
    output.result(&document(&schedule, None), || {
        let next = schedule.next.map_or_else(String::new, |slot| when(slot.at, schedule.terms.rule.zone()));
        format!("{} takes at most {max_tasks} tasks of {}, next {next}", schedule.name, arguments.repo)
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}

pub(crate) async fn remove(config: &Config, name: &str, output: &Output) -> Result<Exit, Trouble> {
    if name == Schedule::OVERNIGHT {
        return Err(Trouble::usage("the schedule overnight can't be removed")
            .fix("pause it, or switch it off with BATCH_AUTO_OVERNIGHT=false"));
    }
    let (desk, night) = (Desk::open(config, "schedule remove").await?, night(config)?);
    let schedule = find(config, &desk.store, name).await?;
    reception::tell_schedule(&desk.store, night.catchup, name, &ScheduleFact::Removed).await?;
    output.result(&serde_json::json!({ "removed": name }), || {
        let repo = schedule.repo.unwrap_or_default();
        format!("{name} is removed; the pending tasks of {repo} are taken by overnight again")
    });
    desk.store.close().await?;
    Ok(Exit::Success)
}
