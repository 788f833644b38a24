//! `POST /api/batch/schedule`: the backlog of a repository, every night. Asking again changes the terms.

use std::sync::Arc;

use api_types::{ScheduleBacklog, Scheduled};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use domain::{Priority, ScheduleTerms};
use reception::{ScheduleError, plain, priority, set_repo};
use web::{Problem, read_json};

use crate::Api;
use crate::refusal::{field, refused, store_problem};

/// Tasks that one night may be asked to take.
const MOST_TASKS: u64 = 1_000_000;

pub(crate) async fn schedule(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Scheduled>, Problem> {
    let (asked, _) = read_json::<ScheduleBacklog>(&headers, body)?;
    plain("repo", &asked.repo).map_err(|refusal| refused(&refusal))?;
    let terms = terms(&api, &asked)?;
    let schedule = set_repo(&api.store, api.house.catchup, &asked.repo, terms).await;
    let schedule = schedule.map_err(|error| told(&error))?;
    let terms = schedule.terms;
    Ok(Json(Scheduled {
        name: schedule.name,
        repo: asked.repo,
        hour: terms.rule.hour(),
        timezone: terms.rule.zone().name().to_owned(),
        max_tasks: terms.max_tasks,
        priority: terms.priority.as_str().to_owned(),
        next_at: schedule.next.map(|slot| slot.at),
        paused: schedule.paused.map(|pause| pause.reason),
    }))
}

fn terms(api: &Api, asked: &ScheduleBacklog) -> Result<ScheduleTerms, Problem> {
    let max_tasks = asked.max_tasks.unwrap_or(api.night_tasks);
    if !(1..=MOST_TASKS).contains(&max_tasks) {
        return Err(field("max_tasks", max_tasks.to_string(), &format!("take 1 to {MOST_TASKS}")));
    }
    let priority = asked.priority.as_deref().map_or(Ok(Priority::High), priority);
    let priority = priority.map_err(|refusal| refused(&refusal))?;
    Ok(ScheduleTerms { rule: api.house.night, max_tasks, priority })
}

fn told(error: &ScheduleError) -> Problem {
    match error {
        ScheduleError::Store(error) => store_problem(error),
        ScheduleError::Repo(_) => field("repo", error.to_string(), "take ORG/REPO"),
        ScheduleError::LongRepo(_) => field("repo", error.to_string(), "take a shorter one"),
        ScheduleError::Unknown(_) | ScheduleError::Night(_) => {
            tracing::error!(error = %error, "a schedule could not be set");
            Problem::internal()
        }
    }
}
