//! `overnight batch submit` and `retry`: a wish, sent to a server.

use api_types::{CreateJob, Created, Record, Weighed};
use source::Checker;
use uuid::Uuid;

use super::{WAIT, document, wait};
use crate::cli::{RetryArgs, SubmitArgs};
use crate::commands::submit::{asked, leave_out, not_a_retry};
use crate::commands::wrong::{self, Wrong};
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::server::Server;

pub(super) async fn submit(
    server: &Server,
    arguments: &SubmitArgs,
    output: &Output,
) -> Result<Exit, Trouble> {
    not_a_retry(&arguments.kind)?;
    let key = arguments.idempotency_key.as_deref();
    if !arguments.task_ids.is_empty() {
        return create(server, &asked(arguments), key, arguments.wait, output).await;
    }
    let (records, wrong) = read(&arguments.files)?;
    if records.is_empty() {
        return Err(wrong::none_usable(&wrong));
    }
    leave_out(&wrong, arguments.skip_invalid, output)?;
    let wish = CreateJob { records: Some(records), ..asked(arguments) };
    let exit = create(server, &wish, key, arguments.wait, output).await?;
    Ok(if exit == Exit::Success && !wrong.is_empty() { Exit::JobWithErrors } else { exit })
}

pub(super) async fn retry(server: &Server, arguments: &RetryArgs, output: &Output) -> Result<Exit, Trouble> {
    let key = arguments.idempotency_key.as_deref();
    create(server, &crate::commands::retry::asked(arguments), key, arguments.wait, output).await
}

/// What is in the files, and what of them can't be used.
fn read(globs: &[String]) -> Result<(Vec<Record>, Vec<Wrong>), Trouble> {
    let files = source::expand(globs)?;
    let (mut checker, mut records, mut wrong) = (Checker::new(), Vec::new(), Vec::new());
    for (index, file) in files.iter().enumerate() {
        let checked = source::read(file).and_then(|record| {
            checker.check(&record.custom_id, &record.path, index, &files).map(|()| record)
        });
        match checked {
            Ok(record) => {
                let data = serde_json::from_str(&record.payload).map_err(Trouble::other)?;
                records.push(Record { key: None, data });
            }
            Err(invalid) => wrong.push(invalid.into()),
        }
    }
    Ok((records, wrong))
}

/// A wish is brought again where its answer was lost, under a key that makes it one job.
async fn create(
    server: &Server,
    wish: &CreateJob,
    key: Option<&str>,
    wait_for: bool,
    output: &Output,
) -> Result<Exit, Trouble> {
    const PATH: &str = "/api/batch/create";
    if wish.dry_run {
        let weighed: Weighed = server.post(PATH, Some(wish)).await?;
        let (records, model) = (count(weighed.records), weighed.model.clone());
        output.result(&document(&weighed)?, || {
            format!("{records} to submit, model {model}\nNothing was stored or sent.")
        });
        return Ok(Exit::Success);
    }
    let key = key.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let created: Created = server.post_once(PATH, wish, &key).await?;
    let Some(id) = created.job_id.clone() else {
        output.result(&document(&created)?, || {
            "nothing to submit: all of it is answered or on its way".to_owned()
        });
        return Ok(Exit::Success);
    };
    if wait_for {
        return wait(server, &id, WAIT, output).await;
    }
    let tasks = count(created.submitted);
    output.result(&document(&created)?, || {
        format!("job {id} accepted: {tasks} tasks\n  follow   overnight batch wait {id}")
    });
    Ok(Exit::Success)
}
