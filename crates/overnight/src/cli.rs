//! The command line: what can be said, and how it is said in `--help`.

mod schedule;
mod set;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use schedule::{AddArgs, ScheduleCommand};
pub(crate) use set::to_the_front;

/// Works a backlog through the night at half price.
#[derive(Parser)]
#[command(name = "overnight", version, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success; for --wait and wait: every task succeeded
  1    failed for any other reason
  2    usage error, or input that can't be used
  3    a timeout ran out while waiting
  4    the provider or the server refused the key
  5    the awaited job ended failed, expired or cancelled
  6    the awaited job ended completed_with_errors, or records were left out that can't be used
  8    not finished yet (batch status --exit-status, batch collect), or held with ENABLE_BATCH_API=false
  69   the provider, the database or the broker can't be reached
  78   invalid or missing configuration, or a database or broker that a person has to mend
  130  interrupted; the job stays where it is and goes on with the next command";

/// Most jobs that one list shows: each costs a few queries and a document in memory.
pub(crate) const MOST_LISTED: u64 = 1_000;

#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the database, the simulated provider and the results
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Who runs the batches; openai spends money
    #[arg(long, global = true, value_name = "sim|openai")]
    pub(crate) provider: Option<String>,
    /// Any setting by its name in the environment, such as BATCH_MAX_REQUESTS=400
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// How the command's own output looks
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Same as --output json
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// More log lines on standard error; twice for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: the gateway with its simulated model, and the stages of the night
    Up,
    /// Run one part of the night in a process of its own, on PostgreSQL and RabbitMQ: one gateway to a data folder,
    /// any number of each other
    Serve {
        /// Which part
        #[arg(value_enum)]
        role: Role,
    },
    /// Bring the database to this version
    Migrate,
    /// The broker's exchanges and queues
    Topology {
        #[command(subcommand)]
        command: TopologyCommand,
    },
    /// Load issue files into the database
    Load(LoadArgs),
    /// Submit, watch and collect jobs
    Batch {
        #[command(subcommand)]
        command: BatchCommand,
    },
    /// What is collected from the backlog, and when
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Ways to turn a record into a request and an answer into a result
    Processor {
        #[command(subcommand)]
        command: ProcessorCommand,
    },
    /// What has happened
    Events {
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// Tokens of the REST API
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// The configuration in force
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The tag that tells this installation's batches from others on the same account
    Instance {
        #[command(subcommand)]
        command: InstanceCommand,
    },
    /// Try on the account, for a few cents, whether the provider keeps to what overnight assumes
    #[command(args_conflicts_with_subcommands = true)]
    Probe {
        #[command(flatten)]
        arguments: ProbeArgs,
        #[command(subcommand)]
        command: Option<ProbeCommand>,
    },
    /// Check folder, database, provider, time zone and clock
    Doctor,
    /// Print shell completions
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Issue files; quote the pattern
    #[arg(required = true, value_name = "GLOB")]
    pub(crate) files: Vec<String>,
    /// Also add them to the backlog, for this agent or processor
    #[arg(long, value_name = "AGENT")]
    pub(crate) backlog: Option<String>,
    /// Leave out files that can't be used, and exit with 6
    #[arg(long)]
    pub(crate) skip_invalid: bool,
}

#[derive(Subcommand)]
pub(crate) enum BatchCommand {
    /// Create a job
    Submit(SubmitArgs),
    /// Show where a job stands
    Status {
        /// A job's id, or the beginning of one
        job: String,
        /// Exit with 8 while it is not finished, and as wait does after
        #[arg(long)]
        exit_status: bool,
    },
    /// Wait until a job has ended
    Wait {
        /// A job's id, or the beginning of one
        job: String,
        /// Longest wait, such as 90s, 20m or 26h
        #[arg(long, value_parser = duration, default_value = "26h")]
        timeout: Duration,
    },
    /// Write a job's results
    Collect(CollectArgs),
    /// List jobs, newest first
    List {
        /// Only jobs that have not ended
        #[arg(long)]
        open: bool,
        /// Only jobs accepted within this time, such as 24h or 7d
        #[arg(long, value_parser = duration)]
        since: Option<Duration>,
        /// Most jobs to show, 1 to 1000
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=MOST_LISTED))]
        limit: u64,
    },
    /// Show a job with its batches, errors and cost
    Details {
        /// A job's id, or the beginning of one
        job: String,
    },
    /// Cancel a job; what the provider has finished is kept and billed
    Cancel {
        /// A job's id, or the beginning of one
        job: String,
        /// Longest wait for the provider to stop; the job goes on stopping after it
        #[arg(long, value_parser = duration, default_value = "30s")]
        timeout: Duration,
    },
    /// Decide about a job's batches that wait for a person
    Resolve(ResolveArgs),
    /// Take up tasks again that failed, expired or went missing, as a job of their own: of a job, of all jobs by
    /// reason or age, or the platform's own
    Retry(RetryArgs),
}

#[derive(Subcommand)]
pub(crate) enum TopologyCommand {
    /// Make what is missing
    Apply,
    /// See whether all are there
    Check,
    /// Remove them, with every message in them; what is due is sent again once they are back
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Keeps the time: at each night the backlog becomes jobs
    Scheduler,
    /// Plans jobs and brings batches to the provider
    Submitter,
    /// Looks at open batches and collects the finished ones
    Poller,
    /// Serves OpenAI's Files and Batches API and runs the batches, simulated
    Gateway,
    /// Serves the REST API: jobs wished for, watched, read and cancelled; it runs no stage
    Api,
}

#[derive(Args)]
pub(crate) struct ResolveArgs {
    /// A job's id, or the beginning of one
    pub(crate) job: String,
    /// What is decided
    #[arg(value_enum)]
    pub(crate) resolution: ResolveAs,
    /// Only this batch, by its number within the job or its id; left out: all that are parked. `not-created` names its
    /// batch
    #[arg(long, value_name = "BATCH", required_if_eq("resolution", "not-created"))]
    pub(crate) batch: Option<String>,
    /// The upload that you have looked at, as `batch details` tells it: where a newer one stands there by now,
    /// nothing is decided. Left out: the one that stands there. `not-created` names it
    #[arg(long, value_name = "U", requires = "batch", required_if_eq("resolution", "not-created"))]
    pub(crate) upload: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResolveAs {
    /// What was in the way is mended
    TryAgain,
    /// You have looked: the provider never created it. It is submitted as a new upload; if it was created after
    /// all, it is paid twice
    NotCreated,
    /// Its results are not coming: its requests end as missing, at unknown cost
    GiveUp,
}

#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["job", "class", "older_than", "backlog"]))]
pub(crate) struct RetryArgs {
    /// A job's id, or the beginning of one; left out: of all jobs
    pub(crate) job: Option<String>,
    /// Only tasks that ended for this reason, such as rate_limited
    #[arg(long, value_name = "ERROR_CLASS")]
    pub(crate) class: Option<String>,
    /// Only tasks that ended longer ago than this, such as 24h or 7d
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) older_than: Option<Duration>,
    /// Instead, tasks of the backlog that the platform has down as failed, and no job has failed
    #[arg(long, conflicts_with_all = ["job", "class"])]
    pub(crate) backlog: bool,
    /// Of the backlog, only of this repository
    #[arg(long, value_name = "ORG/REPO", requires = "backlog")]
    pub(crate) repo: Option<String>,
    /// Of the backlog, only for this agent, whose processor is taken
    #[arg(long, value_name = "AGENT", requires = "backlog")]
    pub(crate) agent: Option<String>,
    /// Of all jobs, only of this processor; of the backlog, by this processor
    #[arg(long, conflicts_with = "job")]
    pub(crate) processor: Option<String>,
    /// Of all jobs, only with this model; of the backlog, with this model
    #[arg(long, conflicts_with = "job")]
    pub(crate) model: Option<String>,
    /// Of all jobs or of the backlog, this many at most; 1000 where unset
    #[arg(long, value_name = "N", conflicts_with = "job")]
    pub(crate) limit: Option<u64>,
    /// Hold the job until BATCH_OVERNIGHT_HOUR
    #[arg(long)]
    pub(crate) tonight: bool,
    /// Check and estimate; store and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until the job has ended
    #[arg(long, conflicts_with = "tonight")]
    pub(crate) wait: bool,
    /// A word of your own for this wish: the same wish under it is the same job, however often it is said
    #[arg(long, value_name = "KEY", value_parser = idempotency_key, conflicts_with = "dry_run")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it once
    Add {
        /// What to call it
        name: String,
        /// What it may do: viewer looks, operator creates and cancels jobs, admin sets schedules, too
        #[arg(long, value_parser = role)]
        role: web::Role,
    },
    /// List the tokens; none of them can be read again
    List,
    /// Forget a token: who has it is a stranger from now on
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
#[command(group(ArgGroup::new("source").required(true).args(["files", "task_ids"])))]
pub(crate) struct SubmitArgs {
    /// A processor's name, or its TOML file
    pub(crate) processor: String,
    /// Issue files; quote the pattern
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(crate) files: Vec<String>,
    /// Tasks of the backlog
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub(crate) task_ids: Vec<String>,
    /// Another model than the processor's
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// What the job does
    #[arg(long, default_value = "task_processing")]
    pub(crate) kind: String,
    /// Hold the job until BATCH_OVERNIGHT_HOUR
    #[arg(long)]
    pub(crate) tonight: bool,
    /// Check and estimate; store and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until the job has ended
    #[arg(long, conflicts_with = "tonight")]
    pub(crate) wait: bool,
    /// Leave out records that can't be used, and exit with 6
    #[arg(long)]
    pub(crate) skip_invalid: bool,
    /// Take records that are answered already, too
    #[arg(long)]
    pub(crate) again: bool,
    /// A word of your own for this wish: the same wish under it is the same job, however often it is said
    #[arg(long, value_name = "KEY", value_parser = idempotency_key, conflicts_with = "dry_run")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Args)]
pub(crate) struct CollectArgs {
    /// A job's id, or the beginning of one
    pub(crate) job: String,
    /// Where to write: a folder for files, a file or - for jsonl and csv
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CollectFormat,
    /// Only tasks with this outcome: succeeded, failed, expired, cancelled or missing
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Write each record beside its result
    #[arg(long)]
    pub(crate) join_input: bool,
    /// Write what is there though the job has not ended
    #[arg(long)]
    pub(crate) partial: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CollectFormat {
    /// A JSON file for each result, in the results folder
    #[default]
    Files,
    /// One JSON object a line
    Jsonl,
    /// A table
    Csv,
}

#[derive(Subcommand)]
pub(crate) enum ProcessorCommand {
    /// List the processors that are there
    List,
    /// Print a processor's definition
    Show {
        /// Its name, or its TOML file
        processor: String,
    },
    /// Render a request from an issue file, and send nothing
    Test {
        /// A processor's name, or its TOML file
        processor: String,
        /// The issue file; left out: a small sample
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum EventsCommand {
    /// Print events, oldest first, as CloudEvents
    Tail {
        /// Only of this job
        #[arg(long)]
        job: Option<String>,
        /// Go on as new ones come
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration; contact nothing
    Check,
    /// Print the configuration in force; secrets only as set or not
    Show {
        /// Print where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Args)]
pub(crate) struct ProbeArgs {
    /// Don't ask; it may cost what it says
    #[arg(long)]
    pub(crate) yes: bool,
    /// A cheap model
    #[arg(long, default_value = "gpt-4o-mini")]
    pub(crate) model: String,
    /// Longest time for one question
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Subcommand)]
pub(crate) enum ProbeCommand {
    /// Print what the latest probe has found
    Show,
}

#[derive(Subcommand)]
pub(crate) enum InstanceCommand {
    /// Print the tag
    Show,
    /// Give this database a new tag: for a copy, or a backup that was restored beside its original
    Rotate,
}

fn role(word: &str) -> Result<web::Role, String> {
    web::Role::parse(word).ok_or_else(|| "take viewer, operator or admin".to_owned())
}

/// As the API takes it in a header.
fn idempotency_key(text: &str) -> Result<String, String> {
    let fits =
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("take 1 to 255 visible ASCII characters, such as a UUID".to_owned())
    }
}

/// A number with its unit: `90s`, `20m`, `26h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("take a number and s, m, h or d, such as 90s or 26h".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "take a number and s, m, h or d, such as 90s or 26h".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("26h"), Ok(Duration::from_secs(93_600)));
        assert!(duration("26").is_err());
        assert!(duration("h").is_err());
    }
}
