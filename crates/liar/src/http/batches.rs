//! Batches: created, listed, looked at, cancelled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::{Value, json};
use wire::CreateBatch;

use super::{Answer, carry_out};
use crate::ledger::Entry;
use crate::rule::{Act, End, Fence, Op, Rule};
use crate::serve::App;
use crate::world::{StoredBatch, World, now_ms};

pub(crate) async fn create(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<CreateBatch>(&body) else {
        let nonsense =
            |_: &mut World, _: &_| Answer::refusal(400, Some("missing_required_parameter"), "no batch");
        return carry_out(app, Op::Create, String::new(), nonsense).await;
    };
    carry_out(app, Op::Create, asked.input_file_id.clone(), move |world, rule| {
        if rule.act == Act::Twice {
            accept(world, rule, &asked);
        }
        accept(world, rule, &asked)
    })
    .await
}

fn accept(world: &mut World, rule: &Rule, asked: &CreateBatch) -> Answer {
    let deleted = world.files.get(&asked.input_file_id).is_none_or(|file| file.deleted);
    if deleted && world.settings.fence == Fence::CreateFails {
        return Answer::refusal(400, Some("invalid_request"), "the input file is gone");
    }
    let id = format!("batch_{:032x}", world.batches.len() + 1);
    let fate = rule.fate.clone().unwrap_or_else(|| world.settings.fate.clone());
    world.happens(Entry::Batch {
        at: now_ms(),
        id: id.clone(),
        file: asked.input_file_id.clone(),
        endpoint: asked.endpoint.clone(),
        metadata: asked.metadata.clone().unwrap_or_default(),
        fate: Box::new(fate),
    });
    let walks = world.walks;
    if let Some(batch) = world.batch(&id) {
        batch.since = Some((Instant::now(), walks));
    }
    world.start(&id);
    Answer::ok(world.batch(&id).map(|batch| describe(batch).to_string()).unwrap_or_default())
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let after = query.get("after").cloned().unwrap_or_default();
    carry_out(app, Op::ListBatches, after.clone(), move |world, _| {
        if after.is_empty() {
            world.walks += 1;
        }
        let (walks, settings) = (world.walks, world.settings.clone());
        let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20).min(settings.page);
        let shown = |batch: &&StoredBatch| {
            let lag = Duration::from_millis(settings.lag_ms);
            batch.since.is_none_or(|(since, walk)| {
                since.elapsed() >= lag && walks > walk + u64::from(settings.lag_walks)
            })
        };
        let mut all: Vec<&StoredBatch> = world.batches.iter().rev().filter(shown).collect();
        if settings.shuffled && !all.is_empty() {
            // The same for all pages of a walk, another one the next time.
            let by = usize::try_from(walks).unwrap_or_default() % all.len();
            all.rotate_left(by);
        }
        let from = all.iter().position(|batch| batch.id == after).map_or(0, |at| at + 1);
        let has_more = all.len() > from + limit;
        let page: Vec<&StoredBatch> = all.into_iter().skip(from).take(limit).collect();
        let data: Vec<Value> = page.iter().map(|batch| told(batch)).collect();
        let shown: HashSet<String> = page.iter().map(|batch| batch.id.clone()).collect();
        world.batches.iter_mut().filter(|batch| shown.contains(&batch.id)).for_each(|batch| batch.looks += 1);
        let last = data.last().map(|batch| batch["id"].clone());
        Answer::ok(json!({"object": "list", "data": data, "last_id": last, "has_more": has_more}).to_string())
    })
    .await
}

pub(crate) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    carry_out(app, Op::GetBatch, id.clone(), move |world, _| match world.batch(&id) {
        Some(batch) => {
            let said = told(batch);
            batch.looks += 1;
            Answer::ok(said.to_string())
        }
        None => Answer::unknown("batch", &id),
    })
    .await
}

pub(crate) async fn cancel(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    carry_out(app, Op::Cancel, id.clone(), move |world, _| {
        let Some(batch) = world.batch(&id) else { return Answer::unknown("batch", &id) };
        match batch.status.as_str() {
            status @ ("completed" | "failed" | "expired") => {
                let message = format!("Cannot cancel a batch with status '{status}'.");
                return Answer::refusal(409, None, &message);
            }
            "cancelled" | "cancelling" => {}
            _ => world.happens(Entry::Cancelled { batch: id.clone() }),
        }
        Answer::ok(world.batch(&id).map(|batch| describe(batch).to_string()).unwrap_or_default())
    })
    .await
}

/// A batch as this look is told.
fn told(batch: &StoredBatch) -> Value {
    let mut said = describe(batch);
    if let Some(word) = batch.fate.statuses.get(batch.looks) {
        said["status"] = json!(word);
        (said["output_file_id"], said["error_file_id"]) = (Value::Null, Value::Null);
    }
    said
}

/// A batch as the provider tells it, with nulls where it has nothing.
fn describe(batch: &StoredBatch) -> Value {
    let created = batch.created_ms / 1000;
    let ended = |status: &str| batch.ended_at.filter(|_| batch.status == status);
    let (completed, failed) = batch.counts;
    let total = if batch.status == "failed" { 0 } else { batch.total.max(completed + failed) };
    let errors = match &batch.fate.end {
        End::Fails { code, line } if batch.status == "failed" => {
            // What the provider says of an input file that isn't there.
            let param = (code == "invalid_request" && line.is_none()).then_some("file_id");
            let message = format!("{code} on demand");
            json!({"object": "list", "data": [{"code": code, "message": message, "param": param, "line": line}]})
        }
        _ => Value::Null,
    };
    let no_error =
        if batch.fate.empty_error_id && batch.ended_at.is_some() { json!("") } else { Value::Null };
    let mut metadata = json!(batch.metadata);
    let mut counts = json!({"total": total, "completed": completed, "failed": failed});
    let mut input = json!(batch.file);
    if batch.fate.odd {
        (metadata["team"], metadata["priority"]) = (Value::Null, json!(1));
        (input, counts) = (Value::Null, Value::Null);
    }
    json!({
        "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "errors": errors,
        "input_file_id": input, "completion_window": "24h", "status": batch.status,
        "output_file_id": batch.output, "error_file_id": batch.error.as_ref().map_or(no_error, |id| json!(id)),
        "created_at": created, "in_progress_at": null, "expires_at": created + 86_400, "finalizing_at": null,
        "completed_at": ended("completed"), "failed_at": ended("failed"), "expired_at": ended("expired"),
        "cancelling_at": null, "cancelled_at": ended("cancelled"),
        "request_counts": counts, "metadata": metadata,
    })
}
