//! `overnight schedule add`, done by a server; the rest of `schedule` is for where the database is.

use api_types::{ScheduleBacklog, Scheduled};
use domain::Priority;

use super::{document, only_there};
use crate::cli::ScheduleCommand;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::server::Server;

pub(crate) async fn schedule(
    server: &Server,
    command: ScheduleCommand,
    output: &Output,
) -> Result<Exit, Trouble> {
    let word = match command {
        ScheduleCommand::Add(arguments) => {
            let asked = ScheduleBacklog {
                repo: arguments.repo,
                max_tasks: arguments.max_tasks,
                priority: Some(Priority::from(arguments.priority).as_str().to_owned()),
            };
            return add(server, &asked, output).await;
        }
        ScheduleCommand::List => "list",
        ScheduleCommand::Show { .. } => "show",
        ScheduleCommand::Next { .. } => "next",
        ScheduleCommand::Preview { .. } => "preview",
        ScheduleCommand::Run { .. } => "run",
        ScheduleCommand::History { .. } => "history",
        ScheduleCommand::Pause { .. } => "pause",
        ScheduleCommand::Resume { .. } => "resume",
        ScheduleCommand::Remove { .. } => "remove",
    };
    Err(only_there(&format!("schedule {word}")))
}

async fn add(server: &Server, asked: &ScheduleBacklog, output: &Output) -> Result<Exit, Trouble> {
    let schedule: Scheduled = server.post("/api/batch/schedule", Some(asked)).await?;
    output.result(&document(&schedule)?, || {
        let next = schedule.next_at.map_or_else(
            || "its nights are switched off".to_owned(),
            |at| format!("next {}", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        );
        let Scheduled { name, repo, max_tasks, .. } = &schedule;
        format!("{name} takes at most {max_tasks} tasks of {repo}, {next}")
    });
    Ok(Exit::Success)
}
