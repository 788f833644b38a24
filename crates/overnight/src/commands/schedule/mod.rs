//! `overnight schedule …`: what is collected from the backlog, when, and what has been.

mod change;
mod history;
mod list;
mod next;
mod preview;
mod run;

use domain::Schedule;
use reception::ScheduleError;
use store::Store;

use crate::cli::ScheduleCommand;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world::night;

/// Runs one of them.
pub(crate) async fn run(config: &Config, command: ScheduleCommand, output: &Output) -> Result<Exit, Trouble> {
    match command {
        ScheduleCommand::List => list::all(config, output).await,
        ScheduleCommand::Show { name } => list::one(config, &full_name(name), output).await,
        ScheduleCommand::Next { name, number, from } => {
            next::run(config, &full_name(name), number, from, output).await
        }
        ScheduleCommand::Preview { name } => {
            preview::run(config, name.map(full_name).as_deref(), output).await
        }
        ScheduleCommand::Run { name } => run::run(config, &full_name(name), output).await,
        ScheduleCommand::History { name, number } => {
            history::run(config, name.map(full_name).as_deref(), number, output).await
        }
        ScheduleCommand::Pause { name, reason } => {
            change::pause(config, &full_name(name), reason, output).await
        }
        ScheduleCommand::Resume { name } => change::resume(config, &full_name(name), output).await,
        ScheduleCommand::Add(arguments) => change::add(config, &arguments, output).await,
        ScheduleCommand::Remove { name } => change::remove(config, &full_name(name), output).await,
    }
}

/// A repository may stand for its schedule.
fn full_name(name: String) -> String {
    if name.contains('/') && !name.contains(':') { Schedule::name_of(&name) } else { name }
}

/// The schedule of a name, on record or as the configuration has it.
async fn find(config: &Config, store: &Store, name: &str) -> Result<Schedule, Trouble> {
    let schedules = pipeline::schedules(store, &night(config)?).await?;
    let found = schedules.into_iter().find(|schedule| schedule.name == name);
    found.ok_or_else(|| ScheduleError::Unknown(name.to_owned()).into())
}
