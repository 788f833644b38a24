//! From what the provider shows to a fact, and from a fact to a commit that is repeated until it holds.

use crash::Step;
use domain::{
    BadLine, BatchId, Claimed, End, ErrorClass, Fact, Remote, Seen, ValidationFailure, decide_batch,
    from_unix,
};
use store::Commit;
use telemetry::metrics::{BATCHES_CREATED, BATCHES_FINISHED};
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::submit::{INSTANCE, UPLOAD};

/// A batch as the rules want to see it.
pub(crate) fn seen(batch: &wire::Batch) -> Seen {
    let counts = batch.request_counts.unwrap_or_default();
    let said = |key| batch.metadata.as_ref().and_then(|metadata| metadata.get(key));
    // What has results has run, whatever it is called.
    let has_results = counts.completed > 0 || batch.output_file_id.is_some();
    let ended = batch.completed_at.or(batch.failed_at).or(batch.expired_at).or(batch.cancelled_at);
    Seen {
        provider_id: batch.id.clone(),
        input_file_id: batch.input_file_id.as_str().into(),
        instance: said(INSTANCE).map(|tag| tag.as_str().into()),
        upload: said(UPLOAD).and_then(|upload| upload.parse().ok()),
        end: match batch.status {
            BatchStatus::Completed => Some(End::Completed),
            BatchStatus::Failed if has_results => Some(End::Completed),
            BatchStatus::Expired => Some(End::Expired),
            BatchStatus::Cancelled => Some(End::Cancelled),
            _ => None,
        },
        refusal: (batch.status == BatchStatus::Failed && !has_results).then(|| validation_failure(batch)),
        remote: Remote {
            status: Some(batch.status.to_string()),
            total: counts.total,
            completed: counts.completed,
            failed: counts.failed,
            output_file_id: batch.output_file_id.clone(),
            error_file_id: batch.error_file_id.clone(),
            created_at: from_unix(batch.created_at),
            expires_at: batch.expires_at.and_then(from_unix),
            ended_at: ended.and_then(from_unix),
        },
    }
}

fn validation_failure(batch: &wire::Batch) -> ValidationFailure {
    let errors = batch.errors.as_ref().map_or(&[][..], |errors| &errors.data);
    let lines = errors.iter().filter_map(|error| {
        let (code, message) =
            (error.code.clone().unwrap_or_default(), error.message.clone().unwrap_or_default());
        Some(BadLine { line: error.line?, code, message })
    });
    let whole = errors.iter().find(|error| error.line.is_none());
    let class = whole.map(|error| ErrorClass::of_http(400, error.code.as_deref()));
    let first = errors.first().and_then(|error| error.message.clone());
    ValidationFailure {
        class,
        message: first.unwrap_or_else(|| "the provider refused the input file without a reason".to_owned()),
        lines: lines.collect(),
    }
}

/// Decides with `fact` and commits; where somebody was faster, reloads and decides again with the same
/// fact, so that nothing that is known is ever dropped. Answers whether the fact changed anything.
pub(crate) async fn conclude(
    context: &Context,
    id: BatchId,
    fact: &Fact,
    claimed: Option<Claimed>,
    by: Step,
) -> Result<bool, Failure> {
    loop {
        let row = context.store.batch(id).await?;
        let policy = context.batch_policy();
        let Some(decision) = decide_batch(&row.batch, fact, context.clock().now(), &policy) else {
            return Ok(false);
        };
        let (before, after) = (row.batch.state.as_str(), decision.batch.state.as_str());
        let status = decision.batch.remote.status.clone();
        if context.store.commit_batch(decision, claimed, context.config.rules, by).await? == Commit::Done {
            if before != after {
                tracing::info!(batch.id = %id, from = before, to = after, by = by.word(), "batch moved");
                count(after, &row.endpoint, status);
            }
            context.ring();
            return Ok(true);
        }
    }
}

fn count(state: &'static str, endpoint: &str, status: Option<String>) {
    match state {
        "open" => metrics::counter!(BATCHES_CREATED, "endpoint" => endpoint.to_owned()).increment(1),
        "collected" | "refused" => {
            let status = status.unwrap_or_else(|| "refused".to_owned());
            metrics::counter!(BATCHES_FINISHED, "status" => status).increment(1);
        }
        _ => {}
    }
}
