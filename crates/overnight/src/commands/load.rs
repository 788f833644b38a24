//! `overnight load`: issue files into the database, and into the backlog where that is asked for.

use ::source::{Checker, Record};
use serde_json::json;
use store::BacklogTask;

use crate::cli::LoadArgs;
use crate::commands::submit::{Wrong, wrong_records};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::world::Desk;

/// Files stored at a time.
const PART: usize = 250;

pub(crate) async fn run(config: &Config, arguments: &LoadArgs, output: &Output) -> Result<Exit, Trouble> {
    let files = source::expand(&arguments.files)?;
    // Everything is read before anything is stored: a bad file stores nothing.
    let mut checker = Checker::new();
    let mut wrong = Vec::new();
    let mut good = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let checked = source::read(file)
            .and_then(|record| checker.check(&record.custom_id, &record.path, index, &files));
        match checked {
            Ok(()) => good.push(file),
            Err(invalid) => wrong.push(invalid.into()),
        }
    }
    if !wrong.is_empty() && !arguments.skip_invalid {
        return Err(wrong_records(&wrong, "load --skip-invalid leaves them out"));
    }
    let desk = Desk::open_to_write(config, "load").await?;
    let mut added = 0;
    for part in good.chunks(PART) {
        let read = part.iter().map(|file| source::read(file)).collect::<Result<Vec<_>, _>>();
        let records = read
            .map_err(|invalid| Trouble::usage(format!("{} changed while it was being read", invalid.path)))?;
        if let Some(agent) = &arguments.backlog {
            let tasks = records.iter().map(|record| backlog_task(record, agent)).collect();
            added += desk.store.add_backlog(tasks).await?;
        }
        desk.store.load_records(records.into_iter().map(pipeline::record_row).collect()).await?;
    }
    let (loaded, skipped) = (good.len(), wrong.len());
    let document = json!({ "loaded": loaded, "backlog_added": added, "invalid": wrong });
    output.result(&document, || {
        let mut text = format!("{} records loaded", count(u64::try_from(loaded).unwrap_or(u64::MAX)));
        if let Some(agent) = &arguments.backlog {
            text.push_str(&format!(", {} new in the backlog for {agent}", count(added)));
        }
        text
    });
    report(&wrong, output);
    desk.store.close().await?;
    Ok(if skipped > 0 { Exit::JobWithErrors } else { Exit::Success })
}

pub(crate) fn report(wrong: &[Wrong], output: &Output) {
    for wrong in wrong {
        output.note(&format!("left out: {wrong}"));
    }
}

fn backlog_task(record: &Record, agent: &str) -> BacklogTask {
    BacklogTask {
        id: format!("{agent}-{}", record.custom_id),
        repo: Some(format!("{}/{}", record.org, record.repo)),
        agent_type: agent.to_owned(),
        priority: 0,
        payload: record.payload.clone(),
    }
}
