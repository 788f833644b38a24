//! A batch that was just created: its input file is checked, and it either runs or fails.

use wire::{Batch, PURPOSE_BATCH};

use crate::app::App;
use crate::clock;
use crate::error::GatewayError;
use crate::validate::{Verdict, no_such_file, validate};

pub(super) async fn check(app: &App, batch: &Batch) -> Result<(), GatewayError> {
    let input = app.store.file(&batch.input_file_id, clock::now()).await?;
    let verdict = match input.filter(|file| file.purpose == PURPOSE_BATCH) {
        None => Verdict::Bad(vec![no_such_file(&batch.input_file_id)]),
        Some(input) => {
            let file = app.blobs.read(&input.id).await?;
            let read = validate(file, &batch.endpoint).await;
            read.map_err(GatewayError::file("read", &input.id))?
        }
    };
    match verdict {
        Verdict::Good { total, model } => {
            app.store.begin_batch(&batch.id, &model, total, clock::now()).await?;
        }
        Verdict::Bad(errors) => {
            app.store.refuse_batch(&batch.id, errors, clock::now()).await?;
        }
    }
    Ok(())
}
