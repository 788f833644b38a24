//! What became of a create: asked of the provider, never guessed.

use crash::Step;
use domain::{BatchId, BatchState, Claimed, CreateKey, Fact, Seen};
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::seen::{conclude, seen};
use crate::submit::{BATCH, UPLOAD};

/// Looks for the batch in a complete walk of the provider's list.
pub(crate) async fn look(context: &Context, id: BatchId, key: &CreateKey) -> Result<Fact, Failure> {
    let found = find(context, id, key.upload, &key.file_id).await?;
    Ok(found.map_or(Fact::Absent { upload: key.upload }, |batch| Fact::Observed(seen(&batch))))
}

/// The provider's batch of one create: it names our input file, which is unique to the upload, or
/// carries our metadata. Of several, the oldest that has not failed is kept and the others are cancelled,
/// since each of them names what only we have.
pub(crate) async fn find(
    context: &Context,
    batch: BatchId,
    upload: u32,
    file_id: &str,
) -> Result<Option<wire::Batch>, Failure> {
    let mut found = Vec::new();
    let (id, upload) = (batch.to_string(), upload.to_string());
    outside::each_batch(context, |batch| {
        let says = |key: &str, value: &str| {
            batch.metadata.as_ref().and_then(|metadata| metadata.get(key)).is_some_and(|there| there == value)
        };
        if batch.input_file_id == file_id || (says(BATCH, &id) && says(UPLOAD, &upload)) {
            found.push(batch);
        }
    })
    .await?;
    found.sort_by_key(|batch| (batch.status == BatchStatus::Failed, batch.created_at));
    let mut found = found.into_iter();
    let kept = found.next();
    // A batch that failed its validation never ran, and is no second one.
    for spare in found.filter(|batch| batch.status != BatchStatus::Failed) {
        deal_with_spare(context, batch, &spare.id, spare.status.is_terminal()).await?;
    }
    Ok(kept)
}

/// Takes in what the provider shows of a batch of ours. Where that changes nothing because another batch is ours, or
/// the create of a newer upload is in doubt, it is a second one of the same requests, and shall stop. Answers
/// whether it changed anything.
pub(crate) async fn take_in(
    context: &Context,
    id: BatchId,
    seen: Seen,
    claimed: Option<Claimed>,
    by: Step,
) -> Result<bool, Failure> {
    let fact = Fact::Observed(seen.clone());
    if conclude(context, id, &fact, claimed, by).await? {
        return Ok(true);
    }
    let row = context.store.batch(id).await?;
    if row.batch.state.is_second(&seen) {
        deal_with_second(context, id, &seen).await?;
    }
    Ok(false)
}

/// A second batch of the same requests shall stop. One that failed its validation never ran, and is none.
pub(crate) async fn deal_with_second(context: &Context, id: BatchId, seen: &Seen) -> Result<(), Failure> {
    if seen.refusal.is_some() {
        tracing::debug!(batch.id = %id, second = seen.provider_id, "an upload that failed its validation");
        return Ok(());
    }
    deal_with_spare(context, id, &seen.provider_id, seen.end.is_some()).await
}

/// Asks a second batch to stop, unless it has ended, and says so: it names what only we have, so it is ours.
async fn deal_with_spare(
    context: &Context,
    id: BatchId,
    provider_id: &str,
    ended: bool,
) -> Result<(), Failure> {
    tracing::error!(batch.id = %id, provider.id = provider_id, ended, "the provider has a second batch");
    if !ended {
        ask_to_stop(context, provider_id).await?;
    }
    let fact = Fact::SpareFound { provider_id: provider_id.to_owned(), ended };
    conclude(context, id, &fact, None, Step::Spare).await?;
    Ok(())
}

/// A batch that was given up may still run at the provider: it shall stop. What it answers all the same is
/// found by the audit, kept and billed.
pub(crate) async fn stop_if_abandoned(context: &Context, id: BatchId) -> Result<(), Failure> {
    let row = context.store.batch(id).await?;
    if let BatchState::Abandoned { provider_id: Some(provider_id) } = &row.batch.state {
        ask_to_stop(context, provider_id).await?;
    }
    Ok(())
}

/// Asks the provider to stop a batch. One that has ended meanwhile can't be cancelled, and needn't be.
pub(crate) async fn ask_to_stop(context: &Context, provider_id: &str) -> Result<(), Failure> {
    match outside::cancel_batch(context, provider_id).await {
        Ok(_) => Ok(()),
        Err(error) if error.class() == openai::Class::Refused && !error.is_auth() => {
            tracing::debug!(provider.id = provider_id, error = %error, "cancel was refused");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes the input file, so that a create which is still on its way can't run.
pub(crate) async fn fence(context: &Context, key: &CreateKey) -> Result<Fact, Failure> {
    let upload = key.upload;
    match outside::delete_file(context, &key.file_id).await {
        Ok(answer) if answer.deleted => Ok(Fact::FenceSet { upload }),
        Ok(_) => Ok(Fact::FenceRefused { upload }),
        Err(error) if error.is_not_found() => Ok(Fact::FenceSet { upload }),
        Err(error) if error.class() == openai::Class::Refused && !error.is_auth() => {
            Ok(Fact::FenceRefused { upload })
        }
        Err(error) => Err(error.into()),
    }
}
