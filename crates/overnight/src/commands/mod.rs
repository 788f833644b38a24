//! One file a command; here they are told apart.

mod api;
mod cancel;
mod collect;
pub(crate) mod completions;
pub(crate) mod config;
mod details;
mod doctor;
mod events;
mod instance;
mod list;
mod load;
mod migrate;
mod once;
pub(crate) mod probe;
mod processors;
mod remote;
mod resolve;
mod retry;
mod schedule;
mod serve;
mod status;
mod submit;
mod token;
mod topology;
mod up;
mod wait;
mod wrong;

use crate::cli::{BatchCommand, Command, EventsCommand};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::server::Server;

/// Runs a command that needs a configuration.
pub(crate) async fn run(command: Command, config: Config, output: &Output) -> Result<Exit, Trouble> {
    let config = &config;
    match command {
        Command::Up => up::run(config, output).await,
        Command::Serve { role } => serve::run(config, role, output).await,
        Command::Migrate => migrate::run(config, output).await,
        Command::Topology { command } => topology::run(config, &command, output).await,
        Command::Load(arguments) => {
            here(config, "load")?;
            load::run(config, &arguments, output).await
        }
        Command::Batch { command } => batch(config, command, output).await,
        Command::Schedule { command } => match Server::of(config)? {
            Some(server) => remote::schedule(&server, command, output).await,
            None => schedule::run(config, command, output).await,
        },
        Command::Processor { command } => processors::run(config, &command, output),
        Command::Events { command: EventsCommand::Tail { job, follow } } => {
            here(config, "events tail")?;
            events::run(config, job.as_deref(), follow, output).await
        }
        Command::Instance { command } => instance::run(config, &command, output).await,
        Command::Probe { arguments, command } => {
            probe::run(config, &arguments, command.as_ref(), output).await
        }
        Command::Token { command } => token::run(config, &command, output).await,
        Command::Doctor => doctor::run(config, output).await,
        // Done before the configuration was read.
        Command::Config { .. } | Command::Completions { .. } => Ok(Exit::Success),
    }
}

/// Refuses a command that works on the database where a server is named.
fn here(config: &Config, command: &str) -> Result<(), Trouble> {
    if config.server_url.is_some() { Err(remote::only_there(command)) } else { Ok(()) }
}

async fn batch(config: &Config, command: BatchCommand, output: &Output) -> Result<Exit, Trouble> {
    if let Some(server) = Server::of(config)? {
        return remote::batch(config, &server, command, output).await;
    }
    match command {
        BatchCommand::Submit(arguments) => submit::run(config, &arguments, output).await,
        BatchCommand::Status { job, exit_status } => status::run(config, &job, exit_status, output).await,
        BatchCommand::Wait { job, timeout } => wait::run(config, &job, timeout, output).await,
        BatchCommand::Collect(arguments) => collect::run(config, &arguments, output).await,
        BatchCommand::List { open, since, limit } => list::run(config, open, since, limit, output).await,
        BatchCommand::Details { job } => details::run(config, &job, output).await,
        BatchCommand::Cancel { job, timeout } => cancel::run(config, &job, timeout, output).await,
        BatchCommand::Retry(arguments) => retry::run(config, &arguments, output).await,
        BatchCommand::Resolve(arguments) => resolve::run(config, &arguments, output).await,
    }
}
