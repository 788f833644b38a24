//! What became of a create: asked of the provider, never guessed.

use crash::Step;
use domain::{BatchId, BatchState, Claimed, CreateKey, Fact, Seen};
use store::BatchRow;

use crate::context::Context;
use crate::failure::Failure;
use crate::outside;
use crate::seen::{conclude, seen};
use crate::submit::{BATCH, INSTANCE, UPLOAD};

/// Looks for the batch in a complete walk of the provider's list.
pub(crate) async fn look(context: &Context, id: BatchId, key: &CreateKey) -> Result<Fact, Failure> {
    let found = find(context, id, key.upload, &key.file_id).await?;
    Ok(found.map_or(Fact::Absent { upload: key.upload }, |batch| Fact::Observed(seen(&batch))))
}

/// The provider's batch of one create: it names our input file, which is unique to the upload, or
/// carries our metadata. Of several, the oldest that has not failed is kept, ours before one that a copy of this
/// database has made; the others are second ones.
pub(crate) async fn find(
    context: &Context,
    batch: BatchId,
    upload: u32,
    file_id: &str,
) -> Result<Option<wire::Batch>, Failure> {
    let mut found = Vec::new();
    let tag = context.store.instance_tag().await?;
    let (id, upload) = (batch.to_string(), upload.to_string());
    outside::each_batch(context, |batch| {
        let says = |key: &str, value: &str| {
            batch.metadata.as_ref().and_then(|metadata| metadata.get(key)).is_some_and(|there| there == value)
        };
        let names_our_file = batch.input_file_id == file_id;
        if names_our_file || (says(BATCH, &id) && says(UPLOAD, &upload)) {
            found.push((names_our_file || says(INSTANCE, &tag), batch));
        }
    })
    .await?;
    found.sort_by_key(|(ours, batch)| (seen(batch).refusal.is_some(), !ours, batch.created_at));
    let mut found = found.into_iter();
    let kept = found.next();
    for (ours, second) in found {
        deal_with_second(context, batch, &seen(&second), ours).await?;
    }
    Ok(kept.map(|(_, batch)| batch))
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
    if row.batch.is_second(&seen) {
        let ours = is_ours(&row, &seen, &context.store.instance_tag().await?);
        deal_with_second(context, id, &seen, ours).await?;
    }
    Ok(false)
}

/// A second batch of the same requests shall stop: it is asked to, unless it has ended, and told of. One that failed its
/// validation never ran, and is none. One that isn't ours is a copy's, whoever pays.
pub(crate) async fn deal_with_second(
    context: &Context,
    id: BatchId,
    seen: &Seen,
    ours: bool,
) -> Result<(), Failure> {
    if seen.refusal.is_some() {
        tracing::debug!(batch.id = %id, second = seen.provider_id, "an upload that failed its validation");
        return Ok(());
    }
    let (provider_id, ended) = (seen.provider_id.as_str(), seen.end.is_some());
    if !ours {
        tracing::warn!(batch.id = %id, provider.id = provider_id, "a copy of this database has submitted it, too");
        return Ok(());
    }
    tracing::error!(batch.id = %id, provider.id = provider_id, ended, "the provider has a second batch");
    if !ended {
        ask_to_stop(context, provider_id).await?;
    }
    let fact = Fact::SpareFound { provider_id: provider_id.to_owned(), ended };
    conclude(context, id, &fact, None, Step::Spare).await?;
    Ok(())
}

/// Whether this database has created it: it carries our tag, or names a file of ours.
pub(crate) fn is_ours(row: &BatchRow, seen: &Seen, tag: &str) -> bool {
    seen.instance.as_deref() == Some(tag) || row.file_id.as_deref() == Some(&seen.input_file_id)
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
