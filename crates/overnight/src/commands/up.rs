//! `overnight up`: everything in one process, until somebody stops it.

use pipeline::{Context, Said, TickerError};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, count};
use crate::world::{Desk, World, night};

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    if config.is_fleet() {
        return Err(Trouble::config("up runs everything in one process, and QUEUE_URL names a broker").fix(
            "run the roles: overnight serve scheduler, submitter, poller and gateway; or leave QUEUE_URL out",
        ));
    }
    // A key that is missed makes no data folder.
    config.key()?;
    // Listened for before anything begins: whoever reads that it is up may ask it to stop at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(Trouble::other)?;
    let desk = Desk::open(config, "up").await?;
    let mut world = World::start(config, desk, true).await?;
    let gateway = world.gateway.as_ref().map(gateway::Running::base_url);
    let document =
        json!({ "data_dir": config.data_dir, "provider": config.provider.as_str(), "gateway": gateway });
    output.result(&document, || {
        let mut text = format!(
            "overnight is up with the provider {}, data in {}",
            config.provider,
            config.data_dir.display()
        );
        if let Some(gateway) = &gateway {
            text.push_str(&format!(
                "\n  gateway  {gateway} (OpenAI's Files and Batches API, simulated model)"
            ));
        }
        text.push_str("\n  stop     Ctrl-C");
        text
    });
    let stop = CancellationToken::new();
    let mut clock = start_clock(config, &world.context, &stop, output)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        ended = &mut clock => return clock_stopped(ended),
        trouble = world.ended() => return Err(trouble),
    }
    output.note("stopping: what is in hand is finished");
    stop.cancel();
    // Both at once: while the clock finishes a night, nothing new is begun.
    let (ended, desk) = tokio::join!(clock, world.stop());
    desk?.store.close().await?;
    clock_stopped(ended)
}

/// The clock at work.
pub(crate) type Clock = JoinHandle<Result<(), TickerError>>;

/// The clock: at each night the backlog becomes jobs.
pub(crate) fn start_clock(
    config: &Config,
    context: &Context,
    stop: &CancellationToken,
    output: &Output,
) -> Result<Clock, Trouble> {
    let (night, context, output) = (night(config)?, context.clone(), output.clone());
    let said = {
        let context = context.clone();
        move |said| {
            tell(&said, &output);
            context.ring();
        }
    };
    Ok(tokio::spawn(pipeline::keep_time(context.store, night, stop.clone(), said)))
}

pub(crate) fn clock_stopped(ended: Result<Result<(), TickerError>, JoinError>) -> Result<Exit, Trouble> {
    match ended {
        Ok(Ok(())) => Ok(Exit::Success),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Trouble::other("the clock panicked; this is a bug")),
    }
}

fn tell(said: &Said, output: &Output) {
    match said {
        Said::Trouble(why) => output.note(&format!("the clock: {why}; it tries again")),
        Said::Ran(ran) => {
            ran.notes.iter().for_each(|note| output.note(note));
            let run = &ran.run;
            let (name, date, jobs) = (&run.schedule, run.slot_date, count(run.jobs));
            let (tasks, left) = (count(run.tasks), count(run.left));
            output.note(&format!("{name}, night of {date}: {jobs} jobs, {tasks} tasks, {left} left"));
        }
    }
}
