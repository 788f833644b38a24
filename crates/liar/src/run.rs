//! Runs batches: checks the input, gives every line its turn once, and writes the result files.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::answer::PAGE;
use crate::ledger::{Entry, Shown};
use crate::line::{self, Place, Turn};
use crate::rule::End;
use crate::serve::App;
use crate::world::now_ms;

/// How often a batch that is held looks whether it may run.
const HELD: Duration = Duration::from_millis(20);

/// Runs what is sent, each batch beside the others.
pub(crate) async fn all(app: Arc<App>, mut runs: UnboundedReceiver<String>) {
    while let Some(id) = runs.recv().await {
        tokio::spawn(run(Arc::clone(&app), id));
    }
}

async fn run(app: Arc<App>, id: String) {
    let validate = app.lock().settings.validate_ms;
    tokio::time::sleep(Duration::from_millis(validate)).await;
    let Some(requests) = check(&app, &id) else { return };
    while held(&app, &id) {
        tokio::time::sleep(HELD).await;
    }
    let mut turns = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let line_ms = app.lock().settings.line_ms;
        if line_ms > 0 {
            tokio::time::sleep(Duration::from_millis(line_ms)).await;
        }
        match next(&app, &id, index + 1, request) {
            Some(turn) => turns.push(turn),
            None => break,
        }
    }
    finish(&app, &id, &requests, &turns);
}

/// The batch's requests, once it is on record that they begin; none where it has failed its validation.
fn check(app: &App, id: &str) -> Option<Vec<Value>> {
    let mut world = app.lock();
    let batch = world.batch(id)?;
    let (file, fate, fresh) = (batch.file.clone(), batch.fate.clone(), batch.status == "validating");
    let requests = match world.input(&file) {
        None => Err(("invalid_request".to_owned(), None)),
        Some(_) if fresh && matches!(fate.end, End::Fails { .. }) => match fate.end {
            End::Fails { code, line } => Err((code, line)),
            End::Completes | End::Expires(_) => return None,
        },
        Some(content) => {
            line::requests(&content).map_err(|(line, code)| (code.to_owned(), u64::try_from(line).ok()))
        }
    };
    match requests {
        Ok(requests) => {
            world.batch(id)?.total = u64::try_from(requests.len()).unwrap_or(u64::MAX);
            if fresh {
                world.happens(Entry::Running { batch: id.to_owned() });
            }
            Some(requests)
        }
        Err((code, line)) => {
            // A look after a restart is told of it, too.
            world.batch(id)?.fate.end = End::Fails { code, line };
            world.happens(ended(id, "failed", (None, None), (0, 0)));
            None
        }
    }
}

fn held(app: &App, id: &str) -> bool {
    let mut world = app.lock();
    let run_held = world.settings.run_held;
    world.batch(id).is_some_and(|batch| batch.fate.held && !batch.cancelled && !run_held)
}

/// A line's turn; none where the batch has come to its end before it.
fn next(app: &App, id: &str, number: usize, request: &Value) -> Option<Turn> {
    let mut world = app.lock();
    let batch = world.batch(id)?;
    let out_of_time = matches!(batch.fate.end, End::Expires(after) if number > after);
    let ran = number <= batch.ran;
    if !ran && (batch.cancelled || out_of_time) {
        return None;
    }
    let fault = batch.fate.lines.iter().find(|(line, _)| *line == number).map(|(_, fault)| *fault);
    let mut turn = line::turn(id, number, request, fault);
    if batch.fate.page && turn.billed {
        turn.shown = Shown::Broken;
    }
    if !ran {
        world.happens(Entry::Line {
            at: now_ms(),
            batch: id.to_owned(),
            line: number,
            custom_id: turn.custom_id.clone(),
            status: turn.status,
            billed: turn.billed,
            shown: turn.shown,
            sha256: turn.sha256.clone(),
        });
    }
    Some(turn)
}

fn finish(app: &App, id: &str, requests: &[Value], turns: &[Turn]) {
    let mut world = app.lock();
    let Some(batch) = world.batch(id) else { return };
    let (status, code) = if batch.cancelled {
        ("cancelled", "batch_cancelled")
    } else if turns.len() < requests.len() {
        ("expired", "batch_expired")
    } else {
        ("completed", "")
    };
    let (strangers, page) = (batch.fate.strangers, batch.fate.page);
    let of = |place: Place| {
        let lines = turns.iter().flat_map(|turn| &turn.text).filter(move |(there, _)| *there == place);
        lines.map(|(_, text)| text.clone()).collect::<Vec<_>>()
    };
    let (mut output, mut error) = (of(Place::Output), of(Place::Error));
    // Backwards: the order of lines is nobody's promise.
    output.reverse();
    output.extend((0..strangers).map(line::stranger));
    if page {
        output = vec![PAGE.to_owned()];
    }
    for request in &requests[turns.len()..] {
        let custom_id = request["custom_id"].as_str().unwrap_or_default();
        error.push(line::unrun(custom_id, code));
        let line = turns.len();
        world.ledger.add(
            &Entry::Line {
                at: now_ms(),
                batch: id.to_owned(),
                line,
                custom_id: custom_id.to_owned(),
                status: 0,
                billed: false,
                shown: Shown::Whole,
                sha256: None,
            },
            false,
        );
    }
    let mut keep = |kind: &str, lines: Vec<String>| {
        let content = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let name = format!("{id}_{kind}.jsonl");
        (!lines.is_empty()).then(|| world.add_file(&name, wire::PURPOSE_BATCH_OUTPUT, content.as_bytes()))
    };
    let files = (keep("output", output), keep("error", error));
    let completed = turns.iter().filter(|turn| turn.billed).count();
    let failed = turns.len() - completed;
    let count = |lines: usize| u64::try_from(lines).unwrap_or(u64::MAX);
    world.happens(ended(id, status, files, (count(completed), count(failed))));
}

fn ended(
    id: &str,
    status: &str,
    (output, error): (Option<String>, Option<String>),
    (completed, failed): (u64, u64),
) -> Entry {
    let (batch, status) = (id.to_owned(), status.to_owned());
    Entry::Ended { at: now_ms(), batch, status, output, error, completed, failed }
}
