//! `GET /api/batch`: jobs, newest first, a page at a time.

use std::sync::Arc;

use api_types::{Job, JobList, ListJobs};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use domain::{JobId, JobOutcome, Kind};
use store::JobFilter;
use web::{Problem, read_query};

use crate::find::word;
use crate::refusal::{field, store_problem};
use crate::{Api, job_shown};

/// Jobs on a page.
const LIMIT: u64 = 50;
const MOST: u64 = 200;
/// Jobs looked at for one page. What is shown is finer than what is stored, so a page may hold fewer jobs
/// than were asked for, and go on all the same.
const MOST_LOOKED_AT: u64 = 1_000;

pub(crate) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Json<JobList>, Problem> {
    let asked: ListJobs = read_query(&uri)?;
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(field("limit", format!("{limit}"), &format!("take 1 to {MOST}")));
    }
    let (states, shown) = asked.state.as_deref().map_or(Ok((Vec::new(), None)), states)?;
    let kind = asked.kind.as_deref().map(|kind| word("kind", kind, Kind::ALL, Kind::as_str)).transpose()?;
    let filter = JobFilter { states, kind, created_after: asked.created_after };
    let cursor = asked.cursor.as_deref().map(cursor).transpose()?;
    page(&api, &filter, shown, cursor, limit).await.map(Json)
}

async fn page(
    api: &Api,
    filter: &JobFilter,
    shown: Option<&str>,
    mut before: Option<JobId>,
    limit: u64,
) -> Result<JobList, Problem> {
    let (mut data, mut looked_at): (Vec<Job>, u64) = (Vec::new(), 0);
    let is_full = |data: &Vec<Job>| u64::try_from(data.len()).is_ok_and(|length| length >= limit);
    loop {
        let rows = api.store.jobs_page(filter, before, limit).await.map_err(|error| store_problem(&error))?;
        let last_page = u64::try_from(rows.len()).is_ok_and(|length| length < limit);
        let mut left = rows.len();
        for row in rows {
            if is_full(&data) {
                break;
            }
            left -= 1;
            (before, looked_at) = (Some(row.job.id), looked_at + 1);
            let job = job_shown(&api.store, row).await.map_err(|error| store_problem(&error))?;
            if shown.is_none_or(|shown| job.state == shown) {
                data.push(job);
            }
        }
        if last_page && left == 0 {
            return Ok(JobList { data, next_cursor: None });
        }
        if is_full(&data) || looked_at >= MOST_LOOKED_AT {
            return Ok(JobList { data, next_cursor: before.map(|job| job.to_string()) });
        }
    }
}

fn cursor(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| field("cursor", "not a cursor", "send next_cursor of the page before as it is"))
}

/// The stored states in which a job can be that is shown as `word`, and the word itself where they say less.
fn states(word: &str) -> Result<(Vec<&'static str>, Option<&str>), Problem> {
    Ok(match word {
        "open" => (vec!["held", "queued", "active", "cancelling"], None),
        "held" => (vec!["held"], None),
        "queued" => (vec!["queued"], None),
        "submitting" | "waiting" | "running" | "collecting" => (vec!["active"], Some(word)),
        "parked" => (vec!["active", "cancelling"], Some(word)),
        "cancelling" => (vec!["cancelling"], Some(word)),
        word => match JobOutcome::parse(word) {
            Some(outcome) => (vec![outcome.as_str()], None),
            None => return Err(not_a_state(word)),
        },
    })
}

fn not_a_state(word: &str) -> Problem {
    let outcomes: Vec<_> = JobOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    let hint = format!(
        "take open, held, queued, submitting, waiting, running, collecting, parked, cancelling, {}",
        outcomes.join(", ")
    );
    field("state", format!("{word:?} is not a state"), &hint)
}
