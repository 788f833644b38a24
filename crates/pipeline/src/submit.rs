//! Submit: brings a batch to the provider, and never pays for it twice.
//!
//! The intent is on record before the one request that costs money, and that request is never repeated:
//! whatever its outcome, the next step is to ask the provider what it has (`reconcile`).

use std::collections::BTreeMap;

use crash::Step;
use domain::{BatchId, BatchState, Claimed, ErrorClass, Fact, Refusal, decide_batch};
use openai::{CallError, Create};
use store::{BatchRow, Commit};
use wire::{COMPLETION_WINDOW, CreateBatch};

use crate::audit;
use crate::context::Context;
use crate::failure::Failure;
use crate::input_file::{self, InputFile, Upload};
use crate::outside::{self, Permission};
use crate::reconcile;
use crate::seen::{conclude, seen};
use crate::worker::Handled;

/// Metadata keys that our batches carry.
pub(crate) const INSTANCE: &str = "overnight_instance";
pub(crate) const BATCH: &str = "overnight_batch";
pub(crate) const UPLOAD: &str = "overnight_upload";
pub(crate) const SHA256: &str = "overnight_sha256";

pub(crate) async fn handle(context: &Context, claimed: Claimed, id: BatchId) -> Result<Handled, Failure> {
    let row = context.store.batch(id).await?;
    match &row.batch.state {
        BatchState::Planned => match audit::closed(context).await? {
            Some(reason) => {
                tracing::warn!(batch.id = %id, reason, "no batch is created");
                context.store.note_batch(id, &reason).await?;
                Ok(Handled::Later(context.clock().now() + audit::PAUSE))
            }
            None => send(context, claimed, row).await,
        },
        BatchState::Creating { deadline, .. } => {
            let answered = conclude(context, id, &Fact::Looked, Some(claimed), Step::Deadline).await?;
            Ok(if answered { Handled::Answered } else { Handled::Later(*deadline) })
        }
        BatchState::Unknown { key, .. } | BatchState::Fenced { key, .. } => {
            let changed = match reconcile::look(context, id, key).await? {
                Fact::Observed(seen) => {
                    reconcile::take_in(context, id, seen, Some(claimed), Step::Reconcile).await?
                }
                absent => conclude(context, id, &absent, Some(claimed), Step::Reconcile).await?,
            };
            Ok(Handled::if_changed(changed))
        }
        BatchState::Fencing { key } => {
            let fact = reconcile::fence(context, key).await?;
            Ok(Handled::if_changed(conclude(context, id, &fact, Some(claimed), Step::Fence).await?))
        }
        _ => Ok(Handled::Nothing),
    }
}

/// Upload, intent, create: the body that holds the order of the protocol.
async fn send(context: &Context, claimed: Claimed, row: BatchRow) -> Result<Handled, Failure> {
    let id = row.batch.id;
    let tag = context.store.instance_tag().await?;
    let file = input_file::identify(context, &row, &tag).await?;
    let uploaded = match input_file::upload(context, &row, &file).await {
        Ok(Upload::There(uploaded)) => uploaded,
        Ok(Upload::Refused(error)) => {
            return Ok(Handled::if_changed(
                conclude(
                    context,
                    id,
                    &Fact::UploadRefused(refusal(row.batch.upload, &error)),
                    Some(claimed),
                    Step::Upload,
                )
                .await?,
            ));
        }
        Ok(Upload::Stopped) => return Ok(Handled::Later(context.clock().now())),
        Err(failure) => return Err(failure),
    };
    // An earlier try left the file, or is on record with one, so it may have gone further than its record says. What became
    // of that, a batch that runs or one that failed its validation, becomes of this one.
    if (uploaded.found || row.file_id.is_some())
        && let Some(batch) = reconcile::find(context, id, row.batch.upload, &uploaded.file_id).await?
        && reconcile::take_in(context, id, seen(&batch), Some(claimed), Step::Adopt).await?
    {
        return Ok(Handled::Answered);
    }
    input_file::delete(context, &uploaded.spares).await?;
    let permission = Permission::of(context, context.config.create_within / 2);
    let intent = Fact::Uploaded { file_id: uploaded.file_id.clone() };
    let policy = context.batch_policy();
    let Some(decision) = decide_batch(&row.batch, &intent, context.clock().now(), &policy) else {
        return Ok(Handled::Nothing);
    };
    // This commit is the permission for one create. Losing it means that somebody else has it.
    if context.store.commit_batch(decision, Some(claimed), context.config.rules, Step::Intent).await?
        == Commit::Overtaken
    {
        return Ok(Handled::Later(context.clock().now()));
    }
    let fact = create(context, &row, &file, &tag, uploaded.file_id, permission).await;
    match fact {
        Fact::Observed(created) => reconcile::take_in(context, id, created, None, Step::Create).await?,
        fact => conclude(context, id, &fact, None, Step::Create).await?,
    };
    Ok(Handled::Answered)
}

/// The one request that costs money.
async fn create(
    context: &Context,
    row: &BatchRow,
    file: &InputFile,
    tag: &str,
    file_id: String,
    permission: Permission,
) -> Fact {
    let metadata = BTreeMap::from([
        (INSTANCE.to_owned(), tag.to_owned()),
        (BATCH.to_owned(), row.batch.id.to_string()),
        (UPLOAD.to_owned(), row.batch.upload.to_string()),
        (SHA256.to_owned(), file.sha256.clone()),
    ]);
    let request = CreateBatch {
        input_file_id: file_id,
        endpoint: row.endpoint.clone(),
        completion_window: COMPLETION_WINDOW.to_owned(),
        metadata: Some(metadata),
        output_expires_after: None,
    };
    let upload = row.batch.upload;
    match outside::create_batch(context, &request, permission).await {
        Create::Created(batch) => Fact::Observed(seen(&batch)),
        Create::Refused(error) => Fact::CreateRefused(refusal(upload, &error)),
        Create::NotSent(error) => {
            tracing::warn!(batch.id = %row.batch.id, error = %error, "create was not sent");
            Fact::CreateNotSent { upload }
        }
        Create::TooLate => Fact::CreateNotSent { upload },
        Create::Ambiguous(error) => {
            tracing::warn!(batch.id = %row.batch.id, error = %error, "create has an unknown outcome");
            Fact::CreateAmbiguous { upload }
        }
    }
}

fn refusal(upload: u32, error: &CallError) -> Refusal {
    let class = match error.status() {
        _ if error.is_quota() => ErrorClass::Quota,
        _ if error.is_auth() => ErrorClass::Auth,
        status => ErrorClass::of_http(status.unwrap_or(400), error.code()),
    };
    let (message, retry_after) = (error.to_string(), error.retry_after());
    Refusal { upload, class, message, retry_after }
}
