//! Commands where OVERNIGHT_URL names a server: the same ones, done there.

mod schedule;
mod wish;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_types::{Cancelled, Job, JobList, ListJobs, ReadResults};
use chrono::TimeDelta;
use domain::JobOutcome;
use reqwest::Response;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::{BatchCommand, CollectArgs, CollectFormat};
use crate::commands::details::batches;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, table};
use crate::server::Server;

pub(crate) use schedule::schedule;

/// How often a job is looked at that is waited for.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs on a page.
const PAGE: u64 = 200;

pub(crate) async fn batch(
    config: &Config,
    server: &Server,
    command: BatchCommand,
    output: &Output,
) -> Result<Exit, Trouble> {
    match command {
        BatchCommand::Submit(arguments) => wish::submit(server, &arguments, output).await,
        BatchCommand::Retry(arguments) => wish::retry(server, &arguments, output).await,
        BatchCommand::Status { job, exit_status } => {
            let job = one(server, &job).await?;
            show(&job, output)?;
            Ok(if exit_status { outcome(&job) } else { Exit::Success })
        }
        BatchCommand::Details { job } => {
            let job = one(server, &job).await?;
            output.result(&document(&job)?, || format!("{}\n\n{}", line(&job), batches(&job, config.zone)));
            Ok(Exit::Success)
        }
        BatchCommand::Wait { job, timeout } => wait(server, &job, timeout, output).await,
        BatchCommand::List { open, since, limit } => {
            let since = since.and_then(|since| TimeDelta::from_std(since).ok());
            let created_after = since.map(|since| config.clock.now() - since);
            let state = open.then(|| "open".to_owned());
            list(server, ListJobs { state, created_after, ..ListJobs::default() }, limit, output).await
        }
        BatchCommand::Cancel { job, timeout } => cancel(server, &job, timeout, output).await,
        BatchCommand::Collect(arguments) => collect(server, &arguments, output).await,
        BatchCommand::Resolve(_) => Err(only_there("batch resolve")),
    }
}

/// The refusal of what a server can't be asked for.
pub(crate) fn only_there(command: &str) -> Trouble {
    Trouble::usage(format!("overnight {command} works on the database, and no server is asked for it"))
        .fix("run it where the database can be reached, with OVERNIGHT_URL unset")
}

async fn one(server: &Server, job: &str) -> Result<Job, Trouble> {
    server.get(&format!("/api/batch/{job}"), &()).await
}

/// As long as `wait` does where nobody says how long.
const WAIT: Duration = Duration::from_secs(26 * 3_600);

async fn wait(server: &Server, job: &str, timeout: Duration, output: &Output) -> Result<Exit, Trouble> {
    let Some(found) = ended(server, job, timeout, output).await? else {
        return Err(Trouble::new(Exit::Timeout, format!("job {job} has not ended in time"))
            .fix(format!("look again: overnight batch wait {job}")));
    };
    show(&found, output)?;
    Ok(outcome(&found))
}

/// The job once it has ended; none where it has not in time. A server that goes away meanwhile, as one that is
/// started anew does, is waited for, too.
async fn ended(
    server: &Server,
    job: &str,
    timeout: Duration,
    output: &Output,
) -> Result<Option<Job>, Trouble> {
    let deadline = Instant::now() + timeout;
    let (mut looked, mut away) = (one(server, job).await, false);
    if let Err(trouble) = looked {
        return Err(trouble);
    }
    loop {
        match looked {
            Ok(found) if found.outcome.is_some() => return Ok(Some(found)),
            Ok(_) => away = false,
            Err(trouble) if trouble.exit == Exit::Unreachable => {
                if !away {
                    output.note(&format!("{}; still waiting", trouble.what));
                }
                away = true;
            }
            Err(trouble) => return Err(trouble),
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
        looked = one(server, job).await;
    }
}

/// As on this machine: it succeeds only where something was cancelled.
async fn cancel(server: &Server, job: &str, timeout: Duration, output: &Output) -> Result<Exit, Trouble> {
    let path = format!("/api/batch/{job}/cancel");
    let asked: Cancelled = server.post(&path, None::<&Value>).await?;
    let job = &asked.job.job_id;
    let Some(found) = ended(server, job, timeout, output).await? else {
        return Err(Trouble::new(
            Exit::Timeout,
            format!("job {job} is being cancelled, and not all of it has stopped"),
        )
        .fix(format!("it goes on: overnight batch wait {job}")));
    };
    show(&found, output)?;
    Ok(if outcome(&found) == Exit::of(JobOutcome::Cancelled) { Exit::Success } else { Exit::Other })
}

fn outcome(job: &Job) -> Exit {
    let outcome = job.outcome.as_deref().and_then(JobOutcome::parse);
    outcome.map_or(Exit::NotFinished, Exit::of)
}

async fn list(server: &Server, asked: ListJobs, limit: u64, output: &Output) -> Result<Exit, Trouble> {
    let (mut jobs, mut cursor): (Vec<Job>, Option<String>) = (Vec::new(), None);
    loop {
        let left = limit - u64::try_from(jobs.len()).unwrap_or(limit);
        let page = ListJobs { cursor, limit: Some(left.min(PAGE)), ..asked.clone() };
        let page: JobList = server.get("/api/batch", &page).await?;
        jobs.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() || u64::try_from(jobs.len()).is_ok_and(|length| length >= limit) {
            break;
        }
    }
    output.result(&json!({ "jobs": document(&jobs)? }), || {
        if jobs.is_empty() {
            return "no jobs".to_owned();
        }
        let rows = jobs.iter().map(|job| {
            let (all, ok) = (count(job.total), count(job.tasks.succeeded));
            vec![job.job_id.clone(), job.processor.name.clone(), job.state.clone(), all, ok]
        });
        table(&["JOB", "PROCESSOR", "STATE", "TASKS>", "OK>"], rows)
    });
    Ok(Exit::Success)
}

fn show(job: &Job, output: &Output) -> Result<(), Trouble> {
    output.result(&document(job)?, || line(job));
    Ok(())
}

fn line(job: &Job) -> String {
    let tasks = &job.tasks;
    let not_ok = tasks.failed + tasks.expired + tasks.cancelled + tasks.missing;
    let mut text = format!(
        "job {} {}  {} of {} answered, {} ended without one",
        job.job_id,
        job.state,
        count(tasks.succeeded),
        count(job.total),
        count(not_ok)
    );
    job.last_error.iter().for_each(|error| text.push_str(&format!("\nlast error: {error}")));
    text
}

fn document(value: &impl Serialize) -> Result<Value, Trouble> {
    serde_json::to_value(value).map_err(Trouble::other)
}

/// Results go through as they come.
async fn collect(server: &Server, arguments: &CollectArgs, output: &Output) -> Result<Exit, Trouble> {
    let accept = match arguments.format {
        CollectFormat::Jsonl => "application/x-ndjson",
        CollectFormat::Csv => "text/csv",
        CollectFormat::Files => {
            return Err(Trouble::usage("a server's results come as lines or as a table")
                .fix("add --format jsonl or --format csv"));
        }
    };
    let asked = ReadResults { state: arguments.state.clone(), join_input: arguments.join_input };
    let path = format!("/api/batch/{}/results", arguments.job);
    let response = server.stream(&path, &asked, accept).await?;
    let complete = response.headers().get("overnight-complete").is_some_and(|word| word == "true");
    if !complete && !arguments.partial {
        return Err(Trouble::new(Exit::NotFinished, format!("job {} has not ended", arguments.job))
            .fix(format!("overnight batch wait {}, or take what is there with --partial", arguments.job)));
    }
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("-"));
    let mut sink = Sink::open(&out, output)?;
    let read = match arguments.format {
        CollectFormat::Jsonl => lines(server, response, &mut sink).await,
        CollectFormat::Csv | CollectFormat::Files => table_of(server, response, &mut sink).await,
    };
    // What broke off leaves no file that looks whole.
    let summary = match read {
        Ok(summary) => sink.close().map(|()| summary)?,
        Err(trouble) => return Err(sink.discard(trouble)),
    };
    if out.as_os_str() != "-" {
        let place = out.display().to_string();
        output.result(&json!({ "summary": summary, "out": place }), || match summary["written"].as_u64() {
            Some(written) => format!("{} results written to {place}", count(written)),
            None => format!("results written to {place}"),
        });
    }
    Ok(Exit::Success)
}

/// Lines, a whole one at a time. The last one is the server's count: without it some are missing.
async fn lines(server: &Server, mut response: Response, sink: &mut Sink<'_>) -> Result<Value, Trouble> {
    let mut held: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| server.away(&error))? {
        held.extend_from_slice(&chunk);
        // The last whole line is kept back: it may be the count.
        let mut newlines =
            held.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        if let Some(end) = newlines.nth(1) {
            sink.write(&held[..=end])?;
            held.drain(..=end);
        }
    }
    let mut last: Value = serde_json::from_slice(&held).unwrap_or_default();
    match last.get_mut("summary").map(Value::take) {
        Some(summary) => Ok(summary),
        None => Err(Trouble::new(Exit::Unreachable, "the results broke off").fix("collect them again")),
    }
}

/// A table, which ends where the connection ends in order.
async fn table_of(server: &Server, mut response: Response, sink: &mut Sink<'_>) -> Result<Value, Trouble> {
    while let Some(chunk) = response.chunk().await.map_err(|error| server.away(&error))? {
        sink.write(&chunk)?;
    }
    Ok(Value::Null)
}

/// Where results go; a file gets its name when it is whole.
enum Sink<'a> {
    Screen(&'a Output),
    File { file: std::io::BufWriter<std::fs::File>, part: PathBuf, whole: PathBuf },
}

#[expect(clippy::disallowed_methods, reason = "a copy for a person, who can ask for it again")]
impl<'a> Sink<'a> {
    fn open(path: &Path, output: &'a Output) -> Result<Self, Trouble> {
        if path.as_os_str() == "-" {
            return Ok(Self::Screen(output));
        }
        let part = PathBuf::from(format!("{}.part", path.display()));
        let file = std::fs::File::create(&part).map_err(|error| {
            Trouble::config(format!("can't write {}", part.display()))
                .why(error.to_string())
                .fix("choose another place with --out")
        })?;
        Ok(Self::File { file: std::io::BufWriter::new(file), part, whole: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Screen(output) => {
                output.raw(bytes);
                Ok(())
            }
            Self::File { file, .. } => file.write_all(bytes).map_err(Trouble::other),
        }
    }

    fn close(self) -> Result<(), Trouble> {
        let Self::File { mut file, part, whole } = self else { return Ok(()) };
        file.flush().map_err(Trouble::other)?;
        std::fs::rename(part, whole).map_err(Trouble::other)
    }

    /// Takes the part away; the trouble says so where that fails, too.
    fn discard(self, trouble: Trouble) -> Trouble {
        let Self::File { part, .. } = self else { return trouble };
        match std::fs::remove_file(&part) {
            Ok(()) => trouble,
            Err(error) => trouble.why(format!("{} stays behind: {error}", part.display())),
        }
    }
}
