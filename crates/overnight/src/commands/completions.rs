//! `overnight completions`: for a shell's start-up file.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(shell: Shell, output: &Output) -> Exit {
    // Into memory first: the generator panics where its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "overnight", &mut script);
    output.raw(&script);
    Exit::Success
}
