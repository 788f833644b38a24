//! What became of a create: asked of the provider, never guessed.

use domain::{BatchId, CreateKey, Fact};
use wire::BatchStatus;

use crate::context::Context;
use crate::failure::Failure;
use crate::seen::seen;
use crate::submit::{BATCH, UPLOAD};

/// Looks for the batch in a complete walk of the provider's list.
pub(crate) async fn look(context: &Context, id: BatchId, key: &CreateKey) -> Result<Fact, Failure> {
    let found = find(context, id, key.upload, &key.file_id).await?;
    Ok(found.map_or(Fact::Absent, |batch| Fact::Observed(seen(&batch))))
}

/// The provider's batch of one create: it names our input file, which is unique to the upload, or
/// carries our metadata. Of several, the oldest that has not failed is kept and the others are cancelled,
/// since each of them names what only we have.
pub(crate) async fn find(
    context: &Context,
    id: BatchId,
    upload: u32,
    file_id: &str,
) -> Result<Option<wire::Batch>, Failure> {
    let mut found = Vec::new();
    let (id, upload) = (id.to_string(), upload.to_string());
    context
        .openai
        .each_batch(|batch| {
            let says = |key: &str, value: &str| {
                batch
                    .metadata
                    .as_ref()
                    .and_then(|metadata| metadata.get(key))
                    .is_some_and(|there| there == value)
            };
            if batch.input_file_id == file_id || (says(BATCH, &id) && says(UPLOAD, &upload)) {
                found.push(batch);
            }
        })
        .await?;
    found.sort_by_key(|batch| (batch.status == BatchStatus::Failed, batch.created_at));
    let mut found = found.into_iter();
    let kept = found.next();
    for spare in found.filter(|batch| !batch.status.is_terminal()) {
        tracing::error!(batch.id = %id, provider.id = spare.id, "the provider has a second batch; it is cancelled");
        context.openai.cancel_batch(&spare.id).await?;
    }
    Ok(kept)
}

/// Deletes the input file, so that a create which is still on its way can't run.
pub(crate) async fn fence(context: &Context, key: &CreateKey) -> Result<Fact, Failure> {
    match context.openai.delete_file(&key.file_id).await {
        Ok(answer) if answer.deleted => Ok(Fact::FenceSet),
        Ok(_) => Ok(Fact::FenceRefused),
        Err(error) if error.is_not_found() => Ok(Fact::FenceSet),
        Err(error) if error.class() == openai::Class::Refused && !error.is_auth() => Ok(Fact::FenceRefused),
        Err(error) => Err(error.into()),
    }
}
