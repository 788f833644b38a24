//! The machine: takes a message, claims its order, runs the stage, gives the claim back. It knows no
//! stage's work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::TimeDelta;
use crash::Step;
use domain::{Claimed, Command, Fact, Lane, Time, failure_backoff, rest_asked};
use queue::Message;
use store::Release;
use telemetry::metrics::{MESSAGE_SECONDS, MESSAGES_CONSUMED, ORDERS_HANDLED};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::context::Context;
use crate::failure::{Failure, is_outage};
use crate::outside;
use crate::{collect, plan, poll, rest, seen, settle, submit};

/// How often a claim is renewed in the time that it holds: three chances before it runs out.
const RENEWALS: u32 = 4;
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
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            delivery = context.queue.receive(lane) => delivery,
        };
        let claimed = claim(&context, &delivery.message).await;
        // The claim is ours: from here on the database knows, and the broker needn't.
        outside::acknowledge(delivery).await;
        together(&context, lane, claimed).await;
        context.ring();
    }
}

/// Claims what a message names, as far as it was not answered, nudged or claimed since it was sent.
async fn claim(context: &Context, message: &Message) -> Vec<Claimed> {
    let orders: Vec<_> = message.orders.iter().map(|order| (order.entity, order.seq)).collect();
    context.store.claim_all(message.lane, &orders, context.config.lease).await.unwrap_or_else(|error| {
        tracing::warn!(lane = %message.lane, error = %chain(&error), "claim failed; what was sent is sent again");
        Vec::new()
    })
}

/// Handles claims that came in one message, one after the other.
async fn together(context: &Context, lane: Lane, all: Vec<Claimed>) {
    let (outcome, started) = (if all.is_empty() { "stale" } else { "claimed" }, Instant::now());
    metrics::counter!(MESSAGES_CONSUMED, "queue" => lane.as_str(), "outcome" => outcome).increment(1);
    let kept = Kept::new(context, &all);
    if !rest::put_back(context, &all).await {
        handle_all(context, all, &kept).await;
    }
    metrics::histogram!(MESSAGE_SECONDS, "queue" => lane.as_str()).record(started.elapsed());
}

async fn handle_all(context: &Context, all: Vec<Claimed>, kept: &Kept) {
    match poll::list(context, &all).await {
        // Away, or too busy: each look would hear the same, and make it worse.
        Err(Failure::Provider(error)) if is_outage(&error) => {
            rest::heed(context, &all, &error).await;
            for claimed in all {
                finish(context, claimed, Err(Failure::Provider(error.clone())), &span(&claimed)).await;
            }
        }
        listed => {
            // Where the list can't be had, each is looked at by itself, and fails or not by itself.
            let listed = listed.unwrap_or_else(|error| {
                tracing::warn!(error = %chain(&error), "the provider's list can't be had");
                poll::Listed::default()
            });
            let left = poll::look_again(context, all, &listed).await;
            kept.only(&left);
            let listed = Arc::new(listed);
            let mut left = left.into_iter();
            while let Some(claimed) = left.next() {
                one(context, claimed, Arc::clone(&listed)).await;
                kept.without(claimed);
                // One look may have heard, here or elsewhere, that there were too many.
                if rest::put_back(context, left.as_slice()).await {
                    break;
                }
            }
        }
    }
}

async fn one(context: &Context, claimed: Claimed, listed: Arc<poll::Listed>) {
    // A task of its own: a panic ends the handler and not the worker, and nothing is dropped half-way.
    let (inside, span) = (context.clone(), span(&claimed));
    let handled = async move { handle(&inside, claimed, &listed).await };
    let result = tokio::spawn(handled.instrument(span.clone())).await;
    let result =
        result.unwrap_or_else(|_| Err(Failure::Fault("the handler panicked; this is a bug".to_owned())));
    if let Err(Failure::Provider(error)) = &result {
        rest::heed(context, &[claimed], error).await;
    }
    finish(context, claimed, result, &span).await;
}

/// Gives a claim back, with what came of it.
async fn finish(context: &Context, claimed: Claimed, result: Result<Handled, Failure>, span: &Span) {
    let given_back = give_back(context, claimed, result).instrument(span.clone()).await;
    if let Err(error) = given_back {
        tracing::warn!(parent: span, error = %chain(&error), "claim could not be given back; its lease runs out");
    }
}

/// The span of a claim, behind its job's acceptance: what is logged in it says which job, batch and trace.
fn span(claimed: &Claimed) -> Span {
    let lane = claimed.command.lane().as_str();
    let trace_id = claimed.trace.trace_id();
    let span = tracing::error_span!(
        "order", otel.name = lane, otel.kind = "consumer", otel.status_code = Empty, job.id = %claimed.job,
        batch.id = Empty, trace_id
    );
    if let Command::Submit(batch) | Command::Poll(batch) | Command::Collect(batch) = claimed.command {
        span.record("batch.id", tracing::field::display(batch));
    }
    telemetry::trace::follow(&span, &claimed.trace.to_string());
    span
}

async fn handle(context: &Context, claimed: Claimed, listed: &poll::Listed) -> Result<Handled, Failure> {
    match claimed.command {
        Command::Plan(job) => plan::handle(context, claimed, job).await,
        Command::Submit(batch) => submit::handle(context, claimed, batch).await,
        Command::Poll(batch) => poll::handle(context, claimed, batch, listed).await,
        Command::Collect(batch) => collect::handle(context, claimed, batch).await,
        Command::Settle(job) => settle::handle(context, claimed, job).await,
    }
}

/// Claims that are renewed, with one statement for all of them, until they are answered.
struct Kept {
    claims: Arc<Mutex<Vec<Claimed>>>,
    _until: DropGuard,
}

impl Kept {
    fn new(context: &Context, all: &[Claimed]) -> Self {
        let (claims, done) = (Arc::new(Mutex::new(all.to_vec())), CancellationToken::new());
        tokio::spawn(renew(context.clone(), Arc::clone(&claims), done.clone()));
        Self { claims, _until: done.drop_guard() }
    }

    fn only(&self, left: &[Claimed]) {
        *lock(&self.claims) = left.to_vec();
    }

    fn without(&self, answered: Claimed) {
        lock(&self.claims).retain(|claimed| *claimed != answered);
    }
}

/// A list is whole whenever nobody holds it.
fn lock(claims: &Mutex<Vec<Claimed>>) -> MutexGuard<'_, Vec<Claimed>> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn renew(context: Context, claims: Arc<Mutex<Vec<Claimed>>>, done: CancellationToken) {
    let mut ticks = tokio::time::interval(context.config.lease / RENEWALS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let held = lock(&claims).clone();
        if held.is_empty() {
            continue;
        }
        // What somebody else has claimed meanwhile isn't renewed; the commit's version check decides between us.
        if let Err(error) = context.store.renew_all(&held, context.config.lease).await {
            tracing::warn!(error = %chain(&error), "claims not renewed");
        }
    }
}

async fn give_back(
    context: &Context,
    claimed: Claimed,
    result: Result<Handled, Failure>,
) -> Result<(), Failure> {
    let now = context.clock().now();
    let (lane, entity) = (claimed.command.lane(), claimed.command.entity());
    metrics::counter!(ORDERS_HANDLED, "lane" => lane.as_str(), "outcome" => outcome(&result)).increment(1);
    let failure = match result {
        Ok(Handled::Answered) => return Ok(()),
        Ok(Handled::Nothing) => return Ok(context.store.release(&claimed, Release::Done).await?),
        Ok(Handled::Later(due)) => return Ok(context.store.release(&claimed, Release::Later(due)).await?),
        Err(failure) => failure,
    };
    Span::current().record("otel.status_code", "ERROR");
    let text = chain(&failure);
    let outage = failure.is_outage();
    let times = 1 + if outage { claimed.outages } else { claimed.failures };
    tracing::warn!(lane = %lane, entity = %entity, outage, times, error = %text, "stage failed");
    if !outage && times >= PATIENCE && gave_up(context, claimed, &text).await? {
        return Ok(());
    }
    let pause = rest_asked(failure.retry_after()).max(failure_backoff(times));
    let due = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    if times > 1 {
        // Once may be a hiccup; from the second time on whoever waits for the job hears why.
        match claimed.command {
            Command::Plan(job) | Command::Settle(job) => context.store.note_job(job, &text).await?,
            Command::Submit(batch) | Command::Poll(batch) | Command::Collect(batch) => {
                context.store.note_batch(batch, &text).await?;
            }
        }
    }
    let release = if outage { Release::Outage(due, text) } else { Release::Failed(due, text) };
    Ok(context.store.release(&claimed, release).await?)
}

/// The word of a result in the metrics.
fn outcome(result: &Result<Handled, Failure>) -> &'static str {
    match result {
        Ok(Handled::Answered) => "answered",
        Ok(Handled::Nothing) => "nothing",
        Ok(Handled::Later(_)) => "later",
        Err(failure) if failure.is_outage() => "outage",
        Err(_) => "failed",
    }
}

/// Parks a batch that keeps failing; a job keeps trying, since nothing of it can be lost.
async fn gave_up(context: &Context, claimed: Claimed, why: &str) -> Result<bool, Failure> {
    match claimed.command {
        Command::Submit(batch) | Command::Poll(batch) | Command::Collect(batch) => {
            let fact = Fact::GaveUp { lane: claimed.command.lane(), why: why.to_owned() };
            seen::conclude(context, batch, &fact, Some(claimed), Step::GaveUp).await
        }
        Command::Plan(_) | Command::Settle(_) => Ok(false),
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
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
