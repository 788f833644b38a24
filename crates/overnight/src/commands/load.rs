//! `overnight load`: issue files into the database, and into the backlog where that is asked for.

use ::source::{Checker, Record};
use serde_json::json;
use store::BacklogTask;

use crate::cli::LoadArgs;
use crate::commands::wrong::{self, Wrong};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count, counted, len};
use crate::world::Desk;

/// Files stored at a time.
const PART: usize = 250;

pub(crate) async fn run(config: &Config, arguments: &LoadArgs, output: &Output) -> Result<Exit, Trouble> {
    let files = source::expand(&arguments.files)?;
    // Everything is read before anything is stored: a bad file stores nothing.
    let mut checker = Checker::new();
    let mut wrong: Vec<Wrong> = Vec::new();
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
        return Err(wrong::refused(&wrong, "load --skip-invalid leaves them out"));
    }
    if good.is_empty() {
        return Err(wrong::none_usable(&wrong));
    }
    let stranger = arguments.backlog.as_deref().and_then(|agent| stranger(config, agent));
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
        desk.store.load_records(records.into_iter().map(reception::record_row).collect()).await?;
    }
    let document =
        json!({ "loaded": good.len(), "backlog_added": added, "invalid": wrong, "warning": stranger });
    output.result(&document, || {
        let mut text = format!("{} loaded", counted(len(&good), "record", "records"));
        if let Some(agent) = &arguments.backlog {
            text.push_str(&format!(", {} new in the backlog for {agent}", count(added)));
        }
        text
    });
    wrong::report(&wrong, output);
    stranger.iter().for_each(|warning| output.note(&format!("warning: {warning}")));
    desk.store.close().await?;
    Ok(if !wrong.is_empty() { Exit::JobWithErrors } else { Exit::Success })
}

/// What is odd about an agent that no processor is named after. The platform may know it, and a processor can
/// still be written; a night before that leaves its tasks.
fn stranger(config: &Config, agent: &str) -> Option<String> {
    let known = processor::known(Some(&config.processors_dir));
    if known.iter().any(|name| name == agent) {
        return None;
    }
    let nearest = known.iter().min_by_key(|name| strsim::damerau_levenshtein(agent, name))?;
    Some(format!(
        "no processor is called {agent}, so these tasks stay pending until there is one; the nearest name is {nearest}"
    ))
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
