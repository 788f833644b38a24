//! Records read one at a time: named, rendered and weighed on the way in, read again on the way to the store.

use std::collections::HashSet;

use ::source::{Checker, Invalid, Record};
use ::store::RecordRow;
use processor::Processor;

use super::{IntakeError, PART, Request, Source};
use crate::line::line;

/// A record, read and rendered.
pub(super) struct Item {
    pub(super) place: u32,
    pub(super) label: String,
    pub(super) key: String,
    pub(super) custom_id: String,
    pub(super) sha256: String,
    pub(super) payload: String,
    pub(super) record: Option<RecordRow>,
    pub(super) backlog: Option<String>,
}

/// An item and what its request weighs.
pub(super) struct Weighed {
    pub(super) item: Item,
    pub(super) bytes: u64,
    pub(super) input_tokens: u64,
}

/// Names taken so far: two records may not share one.
#[derive(Default)]
pub(super) struct Names {
    files: Checker,
    backlog: HashSet<String>,
}

pub(super) struct Part {
    pub(super) items: Vec<Weighed>,
    pub(super) invalid: Vec<Invalid>,
}

/// Reads and renders a part on a thread for blocking work.
pub(super) async fn read_part(
    request: &Request,
    mut names: Names,
    first: usize,
) -> Result<(Part, Names), IntakeError> {
    let request = request.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Part { items: Vec::new(), invalid: Vec::new() };
        for place in first..request.source.len().min(first + PART) {
            match read_item(&request.source, place)
                .and_then(|item| names.check(&request.source, item))
                .and_then(|item| weigh(&request.processor, item))
            {
                Ok(weighed) => part.items.push(weighed),
                Err(invalid) => part.invalid.push(invalid),
            }
        }
        (part, names)
    });
    read.await.map_err(|_| IntakeError::Interrupted)
}

/// Reads records again that the check has seen.
pub(super) async fn read_selected(request: &Request, places: &[u32]) -> Result<Vec<Item>, IntakeError> {
    let (source, places) = (request.source.clone(), places.to_vec());
    let read = tokio::task::spawn_blocking(move || {
        places
            .iter()
            .map(|place| {
                let place = usize::try_from(*place).unwrap_or(usize::MAX);
                read_item(&source, place).map_err(|invalid| IntakeError::Changed(invalid.path))
            })
            .collect()
    });
    read.await.map_err(|_| IntakeError::Interrupted)?
}

pub(super) fn read_item(source: &Source, at: usize) -> Result<Item, Invalid> {
    let place = u32::try_from(at).unwrap_or(u32::MAX);
    match source {
        Source::Files(files) => {
            let record = ::source::read(&files[at])?;
            Ok(Item {
                place,
                label: record.path.clone(),
                key: record.key.clone(),
                custom_id: record.custom_id.clone(),
                sha256: record.sha256.clone(),
                payload: String::new(),
                record: Some(record_row(record)),
                backlog: None,
            })
        }
        Source::Backlog(tasks) => {
            let task = &tasks[at];
            let label = format!("backlog task {}", task.id);
            let record = Record::from_text(&label, &task.payload)?;
            Ok(Item {
                place,
                label,
                // The platform's id is the identity: two tasks about one issue are two tasks.
                key: format!("task:{}", task.id),
                custom_id: format!("task-{}", task.id),
                sha256: record.sha256,
                payload: record.payload,
                record: None,
                backlog: Some(task.id.clone()),
            })
        }
    }
}

impl Names {
    fn check(&mut self, source: &Source, item: Item) -> Result<Item, Invalid> {
        let place = usize::try_from(item.place).unwrap_or(usize::MAX);
        match (source, &item.record) {
            (Source::Files(files), Some(record)) => {
                self.files.check(&record.custom_id, &record.path, place, files)?;
            }
            _ => {
                if !self.backlog.insert(item.custom_id.clone()) {
                    let what = format!("the same custom_id as another task: {}", item.custom_id);
                    let fix = "name each task once".to_owned();
                    return Err(Invalid { path: item.label, line: None, what, fix });
                }
            }
        }
        Ok(item)
    }
}

pub(super) fn weigh(processor: &Processor, item: Item) -> Result<Weighed, Invalid> {
    let payload = item.record.as_ref().map_or(&item.payload, |record| &record.payload);
    let wrong =
        |what: String, fix: &str| Invalid { path: item.label.clone(), line: None, what, fix: fix.to_owned() };
    let rendered = processor.request(payload);
    let request = rendered.map_err(|error| {
        wrong(error.to_string(), "give the record what the template reads, or change the template")
    })?;
    let bytes = line(&item.custom_id, processor.endpoint(), &request.body)
        .map_err(|error| wrong(error.to_string(), "this is a bug; please report it"))?
        .len();
    let input: usize = request.counted().iter().map(|text| tokens::count(processor.model(), text)).sum();
    let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Ok(Weighed { item, bytes: whole(bytes), input_tokens: whole(input) })
}

/// A record as the database keeps it.
#[must_use]
pub fn record_row(record: Record) -> RecordRow {
    RecordRow {
        key: record.key,
        custom_id: record.custom_id,
        org: record.org,
        repo: record.repo,
        number: record.number,
        title: record.title,
        state: record.state,
        path: record.path,
        payload: record.payload,
        sha256: record.sha256,
    }
}
