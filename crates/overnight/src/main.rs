//! `overnight`: the one executable. It reads the command line, loads the configuration, and leaves the rest
//! to the command.

mod admin;
mod broker;
mod cli;
mod commands;
mod config;
mod data_folder;
mod exit;
mod output;
mod progress;
mod select;
mod server;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::Config;
use exit::{Exit, Trouble};
use output::Output;

/// Threads for rendering, reading and writing files. Few: each keeps memory of its own for ever.
const BLOCKING_THREADS: usize = 3;

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::to_the_front(std::env::args_os()));
    let output = Output::new(&cli.global);
    let result = run(cli, &output);
    let exit = result.unwrap_or_else(|trouble| {
        output.trouble(&trouble);
        trouble.exit
    });
    exit.into()
}

fn run(cli: Cli, output: &Output) -> Result<Exit, Trouble> {
    let config = match &cli.command {
        // These say what is wrong with a configuration, or need none.
        Command::Completions { shell } => return Ok(commands::completions::run(*shell, output)),
        Command::Config { command } => return commands::config::run(command, &cli.global, output),
        _ => Config::load(&cli.global)?,
    };
    let collector = config.collector.as_ref().map(url::Url::as_str);
    // Let go last of all, when nothing can be said any more.
    let _telemetry =
        telemetry::init(&config.log_filter, config.log_format, collector).map_err(Trouble::config)?;
    if let Some(wish) = &config.crash {
        crash::arm(wish).map_err(Trouble::config)?;
    }
    if let Some(file) = &config.crash_log {
        let cant = |error| Trouble::config(format!("OVERNIGHT_CRASH_LOG {}: {error}", file.display()));
        crash::write_passes(file).map_err(cant)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Trouble::other(format!("can't start: {error}")))?;
    runtime.block_on(commands::run(cli.command, config, output))
}
