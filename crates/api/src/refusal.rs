//! What goes wrong below a handler, told to a caller: what, why, what to do. What is ours stays in the logs.

use std::error::Error;

use axum::http::StatusCode;
use reception::{Refusal, WordError};
use store::StoreError;
use web::Problem;

/// Things that are wrong in one request, told at most; the rest are counted.
pub(crate) const MOST_FAULTS: usize = 100;

pub(crate) const WRONG: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// A problem with one field.
pub(crate) fn field(pointer: &str, what: impl Into<String>, hint: &str) -> Problem {
    Problem::new(WRONG, "invalid-request", "the request can't be understood")
        .hint(hint)
        .fault(Some(format!("#/{pointer}")), what)
}

/// A database that fails is told with a time to come back, and logged once.
pub(crate) fn store_problem(error: &StoreError) -> Problem {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(error = %error, cause, "a request failed in the database");
    match error {
        StoreError::Open { .. } | StoreError::Database { .. } => {
            Problem::unavailable("the database does not answer as it should")
        }
        _ => Problem::internal(),
    }
}

pub(crate) fn word_problem(error: &WordError) -> Problem {
    match error {
        WordError::Store(error) => store_problem(error),
        WordError::Discrepancy { .. } => {
            tracing::error!(error = %error, "a job's numbers contradict each other");
            Problem::internal()
        }
    }
}

/// Why a wish was not taken.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Store(error) => store_problem(error),
        Refusal::Intake(_) | Refusal::Night(_) => {
            tracing::error!(error = %refusal, "a wish could not be read");
            Problem::internal()
        }
        Refusal::Field { field: name, what, fix } => field(name, what, fix),
        Refusal::Work => Problem::new(WRONG, "invalid-request", "the request can't be understood")
            .detail(refusal.to_string())
            .hint("give one of task_ids, records, filter and reprocess_failed"),
        Refusal::ManyJobs { found, .. } => {
            let problem = Problem::new(StatusCode::CONFLICT, "ambiguous-id", "several jobs begin like that")
                .detail(refusal.to_string())
                .hint("give more of the id");
            found.iter().fold(problem, |problem, id| problem.fault(None, id.to_string()))
        }
        Refusal::NoJob { nearest, .. } => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "no-such-job", "there is no such job")
                .detail(refusal.to_string())
                .hint("GET /api/batch lists them all; the nearest ids are named under errors");
            nearest.iter().fold(problem, |problem, id| problem.fault(None, id.to_string()))
        }
        Refusal::NoProcessor { name, known } => field(
            "processor",
            format!("no processor is called {name:?}"),
            &format!("take one of {}", known.join(", ")),
        ),
        Refusal::Processor { source, .. } => {
            tracing::error!(error = %source, "a processor's definition is wrong");
            Problem::new(WRONG, "broken-processor", "the processor can't be used")
                .detail(refusal.to_string())
                .hint("whoever runs the server corrects it: overnight processor show")
        }
        Refusal::Invalid(invalid) => {
            let mut problem = Problem::new(WRONG, "invalid-records", "some records can't be used")
                .detail(format!("{} can't be used, and nothing was stored", invalid.len()))
                .hint("correct them or leave them out");
            for one in invalid.iter().take(MOST_FAULTS) {
                let pointer = one.path.starts_with("#/").then(|| one.path.clone());
                let place = if pointer.is_some() { String::new() } else { format!("{}: ", one.path) };
                problem = problem.fault(pointer, format!("{place}{}; {}", one.what, one.fix));
            }
            let more = invalid.len().saturating_sub(MOST_FAULTS);
            if more > 0 { problem.fault(None, format!("and {more} more")) } else { problem }
        }
        Refusal::SeveralProcessors { .. } => {
            Problem::new(WRONG, "several-processors", "a job has one processor and one model")
                .detail(refusal.to_string())
                .hint("name one of them under processor and model, or a job under reprocess_failed")
        }
        Refusal::NothingToRetry { .. } | Refusal::NothingFailed => {
            Problem::new(WRONG, "nothing-to-retry", "no task is left to take up again")
                .detail(refusal.to_string())
                .hint("widen what is asked for, or leave it as it is")
        }
        Refusal::Overtaken => Problem::new(StatusCode::CONFLICT, "overtaken", "somebody else was faster")
            .detail(refusal.to_string())
            .hint("ask again; the tasks that are pending then are taken"),
        Refusal::KeyTaken { .. } => {
            Problem::new(WRONG, "idempotency-key-reused", "the Idempotency-Key belongs to another request")
                .detail(refusal.to_string())
                .hint("send a fresh key with another request, or the very same body again")
        }
    }
}
