//! `overnight batch collect`: a job's results as files, lines or a table, in bounded memory.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use api::{cells, columns, document};
use domain::{JobId, TaskState};
use serde_json::json;
use store::{JobRow, ResultRow, Store};

use crate::cli::{CollectArgs, CollectFormat};
use crate::commands::status::drive;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, counted};
use crate::select;
use crate::world::Desk;

/// Bytes of a file's name, at most: what file systems take.
const MOST_NAME: usize = 255;
/// What the name of a file ends in while it is written.
const HALF: &str = ".tmp";
/// Rows read at a time.
const PAGE: u32 = 200;

pub(crate) async fn run(config: &Config, arguments: &CollectArgs, output: &Output) -> Result<Exit, Trouble> {
    let state = arguments.state.as_deref().map(outcome).transpose()?;
    let desk = Desk::open(config, "batch collect").await?;
    let job = select::job(&desk.store, &arguments.job).await?;
    let desk = drive(config, desk).await?;
    let row = desk.store.job(job).await?;
    if row.job.state.outcome().is_none() && !arguments.partial {
        let left = row.job.total - row.ended.ended();
        return Err(Trouble::new(
            Exit::NotFinished,
            format!(
                "job {job} has not ended: {} of {} left",
                count(left),
                counted(row.job.total, "task", "tasks")
            ),
        )
        .fix(format!("overnight batch wait {job}, or take what is there with --partial")));
    }
    let shared = desk.store.issues_of_several_tasks(job).await?;
    let (mut sink, place) = Sink::open(config, arguments, &row, shared)?;
    let written = write_all(&desk.store, &row, job, state, arguments.join_input, &mut sink).await;
    let tally = written
        .and_then(|tally| sink.close().map(|()| tally))
        .map_err(|error| error.why(format!("while writing {place}")))?;
    let errors = if let Sink::Files { errors, .. } = &sink {
        errors.as_ref().map(|file| file.path.display().to_string())
    } else {
        None
    };
    let document = json!({
        "job_id": job, "state": row.job.state.as_str(), "written": tally.succeeded, "not_succeeded": tally.others,
        "out": place, "errors": errors,
    });
    // Where the results themselves go to standard output, the summary mustn't.
    if place != "-" {
        output.result(&document, || {
            let mut text = format!("{} written to {place}", counted(tally.succeeded, "result", "results"));
            if tally.others > 0 {
                let file = errors.as_deref().unwrap_or(&place);
                let others = counted(tally.others, "task", "tasks");
                text.push_str(&format!(", {others} that did not succeed to {file}"));
            }
            text
        });
    }
    desk.store.close().await?;
    Ok(Exit::Success)
}

fn outcome(word: &str) -> Result<TaskState, Trouble> {
    TaskState::parse(word).filter(|state| state.is_end()).ok_or_else(|| {
        Trouble::usage(format!("{word:?} is not an outcome"))
            .fix("take succeeded, failed, expired, cancelled or missing")
    })
}

/// What was written.
#[derive(Default)]
struct Tally {
    succeeded: u64,
    others: u64,
}

async fn write_all(
    store: &Store,
    row: &JobRow,
    job: JobId,
    state: Option<TaskState>,
    join_input: bool,
    sink: &mut Sink,
) -> Result<Tally, Trouble> {
    let (mut tally, mut seq) = (Tally::default(), 0);
    loop {
        let page = store.results(job, state, join_input, seq, PAGE).await?;
        let Some(last) = page.last() else { return Ok(tally) };
        seq = last.seq;
        for result in &page {
            match sink.write(row, result) {
                Ok(()) => {}
                // The reader has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(tally),
                Err(error) => return Err(Trouble::other(error)),
            }
            if result.state == TaskState::Succeeded { tally.succeeded += 1 } else { tally.others += 1 }
        }
    }
}

/// Where results go.
enum Sink {
    Files { folder: PathBuf, shared: HashSet<String>, errors: Option<ErrorFile>, errors_path: PathBuf },
    Lines(Box<dyn Write + Send>),
    Table(Box<csv::Writer<Box<dyn Write + Send>>>),
}

struct ErrorFile {
    path: PathBuf,
    lines: BufWriter<fs::File>,
}

#[expect(clippy::disallowed_methods, reason = "copies for a person, who can ask for them again")]
impl Sink {
    /// Where the arguments say. `shared` names issues that several tasks are about.
    fn open(
        config: &Config,
        arguments: &CollectArgs,
        row: &JobRow,
        shared: HashSet<String>,
    ) -> Result<(Self, String), Trouble> {
        let cant = |path: &Path, error: io::Error| {
            Trouble::config(format!("can't write {}", path.display()))
                .why(error.to_string())
                .fix("choose another place with --out")
        };
        if arguments.format == CollectFormat::Files {
            let folder = arguments.out.clone().unwrap_or_else(|| config.data_dir.join("results"));
            fs::create_dir_all(&folder).map_err(|error| cant(&folder, error))?;
            let errors_path = folder.join(format!("{}.errors.jsonl", row.job.id));
            let place = folder.display().to_string();
            return Ok((Self::Files { folder, shared, errors: None, errors_path }, place));
        }
        let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("-"));
        let writer: Box<dyn Write + Send> = if out.as_os_str() == "-" {
            Box::new(BufWriter::new(io::stdout()))
        } else {
            Box::new(BufWriter::new(fs::File::create(&out).map_err(|error| cant(&out, error))?))
        };
        let sink = match arguments.format {
            CollectFormat::Csv => {
                let mut table = csv::Writer::from_writer(writer);
                table.write_record(columns(arguments.join_input)).map_err(Trouble::other)?;
                Self::Table(Box::new(table))
            }
            CollectFormat::Jsonl | CollectFormat::Files => Self::Lines(writer),
        };
        Ok((sink, out.display().to_string()))
    }

    fn write(&mut self, row: &JobRow, result: &ResultRow) -> io::Result<()> {
        match self {
            Self::Files { folder, shared, .. } if result.state == TaskState::Succeeded => {
                let text = serde_json::to_string_pretty(&document(row, result))?;
                // Written beside and renamed, so that a reader never sees half a file.
                let path = folder.join(file_name(row, result, shared));
                let half = path.with_extension(format!("json{HALF}"));
                fs::write(&half, text + "\n")?;
                fs::rename(&half, &path)
            }
            Self::Files { errors, errors_path, .. } => {
                if errors.is_none() {
                    let lines = BufWriter::new(fs::File::create(&*errors_path)?);
                    *errors = Some(ErrorFile { path: errors_path.clone(), lines });
                }
                match errors {
                    Some(file) => writeln!(file.lines, "{}", document(row, result)),
                    None => Ok(()),
                }
            }
            Self::Lines(lines) => writeln!(lines, "{}", document(row, result)),
            Self::Table(table) => table.write_record(cells(result)).map_err(cause),
        }
    }

    fn close(&mut self) -> Result<(), Trouble> {
        let flushed = match self {
            Self::Files { errors: Some(file), .. } => file.lines.flush(),
            Self::Files { errors: None, .. } => Ok(()),
            Self::Lines(lines) => lines.flush(),
            Self::Table(table) => table.flush(),
        };
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Trouble::other(error)),
            _ => Ok(()),
        }
    }
}

/// What the disk or the reader said: the library's own conversion hides it.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// `ORG_REPO_issue_N_PROCESSOR.json`; where several tasks of the job are about that issue, with the task's name
/// in it, so that none overwrites another. What is about no issue has the request's name.
fn file_name(row: &JobRow, result: &ResultRow, shared: &HashSet<String>) -> String {
    let stem = match (&result.org, &result.repo, result.number) {
        (Some(org), Some(repo), Some(number)) => {
            let issue = format!("{org}_{repo}_issue_{number}");
            let is_shared = result.task_id.is_some() && shared.contains(&issue);
            if is_shared { format!("{issue}_{}", result.custom_id) } else { issue }
        }
        _ => result.custom_id.clone(),
    };
    // An issue's names are checked when it is read; a backlog task's id may hold anything.
    let safe = stem.replace(['/', '\\'], "_");
    let end = format!("_{}.json", row.processor);
    let most = MOST_NAME.saturating_sub(end.len() + HALF.len());
    // A name that had to be changed ends in a hash of what it was, so that it overwrites no other.
    let name =
        if safe == stem { source::cut(&safe, most, &stem) } else { source::hashed(&safe, most, &stem) };
    name + &end
}
