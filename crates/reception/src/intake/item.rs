//! Records read one at a time: named, rendered and weighed on the way in, read again on the way to the store.

use std::collections::{HashMap, HashSet};

use ::source::{Checker, Invalid, MAX_CUSTOM_ID_CHARS, Record};
use ::store::{BacklogTask, Claim, KeptTask, RecordRow, Store, Was};
use domain::TaskId;
use processor::Processor;

use super::{IntakeError, PART, Request, Source};
use crate::line::line;

/// A record, read.
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Item {
    pub(crate) place: u32,
    pub(crate) label: String,
    pub(crate) key: String,
    pub(crate) custom_id: String,
    pub(crate) sha256: String,
    pub(crate) payload: String,
    pub(crate) record: Option<RecordRow>,
    pub(crate) backlog: Option<Claim>,
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
    store: &Store,
    request: &Request,
    mut names: Names,
    first: usize,
) -> Result<(Part, Names), IntakeError> {
    let end = request.source.len().min(first + PART);
    let kept = Kept::load(store, &request.source, first..end).await?;
    let request = request.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Part { items: Vec::new(), invalid: Vec::new() };
        for place in first..end {
            match read_item(&request.source, place, &kept)
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
pub(super) async fn read_selected(
    store: &Store,
    request: &Request,
    places: &[u32],
) -> Result<Vec<Item>, IntakeError> {
    let places: Vec<usize> =
        places.iter().map(|place| usize::try_from(*place).unwrap_or(usize::MAX)).collect();
    let kept = Kept::load(store, &request.source, places.iter().copied()).await?;
    let source = request.source.clone();
    let read = tokio::task::spawn_blocking(move || {
        places
            .iter()
            .map(|place| {
                read_item(&source, *place, &kept).map_err(|invalid| IntakeError::Changed(invalid.path))
            })
            .collect()
    });
    read.await.map_err(|_| IntakeError::Interrupted)?
}

impl Item {
    /// An issue: it names itself, and its text is kept with its record.
    pub(crate) fn of_issue(place: u32, label: String, record: Record) -> Self {
        Self {
            place,
            label,
            key: record.key.clone(),
            custom_id: record.custom_id.clone(),
            sha256: record.sha256.clone(),
            payload: String::new(),
            record: Some(record_row(record)),
            backlog: None,
        }
    }
}

impl Item {
    /// A task of the backlog: the platform's id is its identity; two tasks about one issue are two tasks.
    fn of_backlog(place: u32, task: &BacklogTask, was: Was) -> Result<Self, Invalid> {
        let label = format!("backlog task {}", task.id);
        let record = Record::from_text(&label, &task.payload)?;
        Ok(Self {
            place,
            label,
            key: format!("task:{}", task.id),
            custom_id: ::source::cut(&format!("task-{}", task.id), MAX_CUSTOM_ID_CHARS, &task.id),
            sha256: record.sha256,
            payload: record.payload,
            record: None,
            backlog: Some(Claim { id: task.id.clone(), was }),
        })
    }
}

/// Tasks of other jobs, fetched for a part.
struct Kept(HashMap<TaskId, KeptTask>);

impl Kept {
    async fn load(
        store: &Store,
        source: &Source,
        places: impl Iterator<Item = usize>,
    ) -> Result<Self, IntakeError> {
        let Source::Kept(ids) = source else { return Ok(Self(HashMap::new())) };
        let ids: Vec<TaskId> = places.map(|place| ids[place]).collect();
        let tasks = store.kept_tasks(&ids).await?;
        Ok(Self(tasks.into_iter().map(|task| (task.id, task)).collect()))
    }
}

fn read_item(source: &Source, at: usize, kept: &Kept) -> Result<Item, Invalid> {
    let place = u32::try_from(at).unwrap_or(u32::MAX);
    match source {
        Source::Files(files) => {
            let record = ::source::read(&files[at])?;
            Ok(Item::of_issue(place, record.path.clone(), record))
        }
        Source::Backlog(tasks) => Item::of_backlog(place, &tasks[at], Was::Pending),
        Source::Failed(tasks) => Item::of_backlog(place, &tasks[at].0, Was::Failed(tasks[at].1.clone())),
        Source::Inline(records) => records[at].item(at, place),
        Source::Kept(ids) => match kept.0.get(&ids[at]) {
            Some(task) => Ok(Item {
                place,
                label: format!("task {} of job {}", task.custom_id, task.job),
                key: task.record_key.clone(),
                custom_id: task.custom_id.clone(),
                sha256: task.record_sha256.clone(),
                payload: task.payload.clone(),
                record: None,
                backlog: task
                    .task_id
                    .clone()
                    .map(|id| Claim { id, was: Was::Failed(Some(task.job.to_string())) }),
            }),
            None => Err(Invalid {
                path: format!("task {}", ids[at]),
                line: None,
                what: "the text of its record is not kept any more".to_owned(),
                fix: "submit the record anew".to_owned(),
            }),
        },
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
