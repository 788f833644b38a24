//! A request for a job understood as a wish: words become values, and what can't be one is refused with its
//! place.

use api_types::{CreateJob, Filter, Reprocess};
use axum::http::StatusCode;
use chrono::TimeDelta;
use domain::{ErrorClass, Kind, Priority};
use reception::{FILTER_DEFAULT, InlineRecord, Wish, Work};
use serde_json::Value;
use store::{Origin, RetryFilter, Store};
use web::Problem;

use crate::create::plain;
use crate::find::{find, older_than, priority, word};
use crate::refusal::field;

/// Longest name of anything, in characters.
const MOST_NAME: usize = 200;
/// Bytes of labels, and of metadata, at most: they travel with every status.
const MOST_BYTES: usize = 16 * 1024;

pub(crate) async fn wish(store: &Store, asked: &CreateJob) -> Result<Wish, Problem> {
    let work = work(store, asked).await?;
    let kind = match &asked.kind {
        Some(kind) => word("kind", kind, Kind::ALL, Kind::as_str)?,
        None if matches!(work, Work::Failed { .. }) => Kind::ReprocessFailed,
        None => Kind::TaskProcessing,
    };
    for (pointer, name) in [("processor", &asked.processor), ("model", &asked.model)] {
        name.as_deref().map_or(Ok(()), |name| plain(pointer, name, MOST_NAME))?;
    }
    Ok(Wish {
        kind,
        processor: asked.processor.clone(),
        model: asked.model.clone(),
        work,
        tonight: asked.tonight,
        again: asked.again,
        priority: asked.priority.as_deref().map(priority).transpose()?.map(Priority::rank),
        origin: Origin {
            labels: kept("labels", &asked.labels)?,
            metadata: kept("metadata", &asked.metadata)?,
            ..Origin::default()
        },
    })
}

async fn work(store: &Store, asked: &CreateJob) -> Result<Work, Problem> {
    match (&asked.task_ids, &asked.records, &asked.filter, &asked.reprocess_failed) {
        (Some(ids), None, None, None) => {
            for (at, id) in ids.iter().enumerate() {
                plain(&format!("task_ids/{at}"), id, MOST_NAME)?;
            }
            Ok(Work::Tasks(ids.clone()))
        }
        (None, Some(records), None, None) => {
            let inline = |record: &api_types::Record| InlineRecord {
                key: record.key.clone(),
                data: record.data.clone(),
            };
            Ok(Work::Records(records.iter().map(inline).collect()))
        }
        (None, None, Some(filter), None) => backlog(filter),
        (None, None, None, Some(reprocess)) => failed(store, reprocess).await,
        _ => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-request",
            "the request can't be understood",
        )
        .detail("it must say what to work on, in one way")
        .hint("give one of task_ids, records, filter and reprocess_failed")),
    }
}

fn backlog(filter: &Filter) -> Result<Work, Problem> {
    for (pointer, name) in [("filter/repo", &filter.repo), ("filter/agent_type", &filter.agent_type)] {
        name.as_deref().map_or(Ok(()), |name| plain(pointer, name, MOST_NAME))?;
    }
    Ok(Work::Backlog {
        repo: filter.repo.clone(),
        agent: filter.agent_type.clone(),
        limit: filter.limit.unwrap_or(FILTER_DEFAULT),
    })
}

async fn failed(store: &Store, asked: &Reprocess) -> Result<Work, Problem> {
    let class = asked.error_class.as_deref();
    let class = class
        .map(|class| word("reprocess_failed/error_class", class, ErrorClass::ALL, ErrorClass::label))
        .transpose()?;
    let before = match &asked.older_than {
        Some(text) => {
            let age = older_than(text).and_then(|age| TimeDelta::from_std(age).ok()).ok_or_else(|| {
                field(
                    "reprocess_failed/older_than",
                    "not a time",
                    "take a number and s, m, h or d, such as 7d",
                )
            })?;
            Some(store.clock().now() - age)
        }
        None => None,
    };
    let job = find(store, &asked.job).await?;
    Ok(Work::Failed { job, filter: RetryFilter { class, before } })
}

/// An object that is kept with the job, if both databases can keep it.
fn kept<T: serde::Serialize>(pointer: &str, given: &Option<T>) -> Result<Option<Value>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let value = serde_json::to_value(given).map_err(|_| Problem::internal())?;
    let text = value.to_string();
    if text.len() > MOST_BYTES {
        return Err(field(pointer, format!("{} bytes", text.len()), &format!("take at most {MOST_BYTES}")));
    }
    if text.contains("\\u0000") {
        return Err(field(pointer, "a text holds a NUL character", "remove it; no database keeps it"));
    }
    Ok(Some(value))
}
