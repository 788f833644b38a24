//! The machine: takes a message, claims its order, runs the stage, gives the claim back. It knows no
//! stage's work.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{Claimed, Command, Fact, Lane, Time, failure_backoff};
use store::Release;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::failure::Failure;
use crate::{collect, plan, poll, seen, settle, submit};

/// How long a claim holds. A worker that dies is missed this long.
const LEASE: Duration = Duration::from_secs(60);
/// How often a claim is renewed while its handler runs: three chances before it runs out.
const RENEW: Duration = Duration::from_secs(15);
/// How often a handler may fail on one entity before it is parked. With the pauses between, about a
/// minute and a half; outages don't count.
const PATIENCE: u32 = 8;

/// What a handler did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It committed; the commit has answered the order.
    Answered,
    /// The state doesn't wait for this command.
    Nothing,
    /// Not yet.
    Later(Time),
}

impl Handled {
    /// A commit answers the order; a fact that changed nothing doesn't.
    pub(crate) fn if_changed(changed: bool) -> Self {
        if changed { Self::Answered } else { Self::Nothing }
    }
}

/// Works on a lane until `stop`; what is in hand is finished.
pub(crate) async fn work(context: Context, lane: Lane, stop: CancellationToken) {
    loop {
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            message = context.queue.receive(lane) => message,
        };
        match context.store.claim(message.command, message.seq, LEASE).await {
            Ok(Some(claimed)) => one(&context, claimed).await,
            // Answered, nudged or claimed since it was sent.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(lane = %lane, error = %chain(&error), "claim failed; the order is sent again");
            }
        }
        context.ring();
    }
}

async fn one(context: &Context, claimed: Claimed) {
    // A task of its own: a panic ends the handler and not the worker, and nothing is dropped half-way.
    let (inside, renewing) = (context.clone(), keep_claim(context.clone(), claimed));
    let result = tokio::spawn(async move { handle(&inside, claimed).await }).await;
    renewing.cancel();
    let result =
        result.unwrap_or_else(|_| Err(Failure::Fault("the handler panicked; this is a bug".to_owned())));
    if let Err(error) = give_back(context, claimed, result).await {
        tracing::warn!(error = %chain(&error), "claim could not be given back; its lease runs out");
    }
}

async fn handle(context: &Context, claimed: Claimed) -> Result<Handled, Failure> {
    match claimed.command {
        Command::Plan(job) => plan::handle(context, claimed, job).await,
        Command::Submit(batch) => submit::handle(context, claimed, batch).await,
        Command::Poll(batch) => poll::handle(context, claimed, batch).await,
        Command::Collect(batch) => collect::handle(context, claimed, batch).await,
        Command::Settle(job) => settle::handle(context, claimed, job).await,
    }
}

/// Renews a claim while its handler runs.
fn keep_claim(context: Context, claimed: Claimed) -> CancellationToken {
    let done = CancellationToken::new();
    let stop = done.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(RENEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match context.store.renew(&claimed, LEASE).await {
                Ok(true) => {}
                // Somebody else has it; the commit's version check decides between us.
                Ok(false) => return,
                Err(error) => tracing::warn!(error = %chain(&error), "claim not renewed"),
            }
        }
    });
    done
}

async fn give_back(
    context: &Context,
    claimed: Claimed,
    result: Result<Handled, Failure>,
) -> Result<(), Failure> {
    let now = context.clock().now();
    let failure = match result {
        Ok(Handled::Answered) => return Ok(()),
        Ok(Handled::Nothing) => return Ok(context.store.release(&claimed, Release::Done).await?),
        Ok(Handled::Later(due)) => return Ok(context.store.release(&claimed, Release::Later(due)).await?),
        Err(failure) => failure,
    };
    let (lane, entity) = (claimed.command.lane(), claimed.command.entity());
    let text = chain(&failure);
    let outage = failure.is_outage();
    let times = 1 + if outage { claimed.outages } else { claimed.failures };
    tracing::warn!(lane = %lane, entity = %entity, outage, times, error = %text, "stage failed");
    if !outage && times >= PATIENCE && gave_up(context, claimed, &text).await? {
        return Ok(());
    }
    let pause = failure.retry_after().unwrap_or_default().max(failure_backoff(times));
    let due = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    if times > 1 {
        // Once may be a hiccup; from the second time on whoever waits for the job hears why.
        context.store.note_job_of(entity, &text).await?;
    }
    let release = if outage { Release::Outage(due, text) } else { Release::Failed(due, text) };
    Ok(context.store.release(&claimed, release).await?)
}

/// Parks a batch that keeps failing; a job keeps trying, since nothing of it can be lost.
async fn gave_up(context: &Context, claimed: Claimed, why: &str) -> Result<bool, Failure> {
    match claimed.command {
        Command::Submit(batch) | Command::Poll(batch) | Command::Collect(batch) => {
            let fact = Fact::GaveUp { why: why.to_owned() };
            seen::conclude(context, batch, &fact, Some(claimed), "gave_up").await
        }
        Command::Plan(_) | Command::Settle(_) => Ok(false),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
