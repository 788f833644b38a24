//! `overnight completions`: for a shell's start-up file.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;

pub(crate) fn run(shell: Shell) -> Exit {
    clap_complete::generate(shell, &mut Cli::command(), "overnight", &mut std::io::stdout());
    Exit::Success
}
