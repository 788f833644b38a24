//! The way out. Messages and dead letters go one at a time on a channel of their own and must arrive in a
//! queue; events go many at once on another and may find nobody interested.
//!
//! One at a time, since the library ties a returned message to whichever confirmation comes next: with
//! several in flight, one that found no queue can look delivered.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Event, PublisherConfirm};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::line::{Line, PULSE};
use super::link::Link;
use super::parcel::{Bundle, Counter, Outcome, Parcel, Question, Registered, Reply};
use super::topology::Part;
use super::{broken, declare};
use crate::QueueError;
use crate::health::State;

/// Least time between two repairs of a topology that has no queue for a lane.
const REPAIR_REST: Duration = Duration::from_secs(10);

const MUST_ARRIVE: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };
const MAY_VANISH: BasicPublishOptions = BasicPublishOptions { mandatory: false, immediate: false };

/// Publishes until the queue is closed.
pub(crate) async fn run(mut line: Line, first: Link, mut counter: Counter) {
    let mut next = Some(first);
    loop {
        let link = match next.take() {
            Some(link) => link,
            None => tokio::select! {
                link = line.again() => match link {
                    Some(link) => link,
                    None => return,
                },
                () = turn_away(&mut counter) => return,
            },
        };
        line.up();
        match session(&line, &link, &mut counter).await {
            Ok(()) => return link.close().await,
            Err(error) => line.down(&error),
        }
    }
}

/// Answers whoever comes while there is no connection. Ends when nobody can come any more.
async fn turn_away(counter: &mut Counter) {
    loop {
        tokio::select! {
            Some(registered) = counter.registered.recv() => answer(registered, Err(QueueError::Away)),
            Some(bundle) = counter.bundles.recv() => {
                let outcomes = vec![Err(QueueError::Away); bundle.parcels.len()];
                answer_all(bundle, outcomes);
            }
            Some(question) = counter.questions.recv() => question.turn_away(),
            else => return,
        }
    }
}

/// Publishes on one connection. Ends well when everything that was handed in is sent and nothing more can
/// come; badly when the connection is of no more use.
async fn session(line: &Line, link: &Link, counter: &mut Counter) -> Outcome {
    let within = line.broker.options.connect_timeout;
    let opening = async { Ok((confirming(link).await?, confirming(link).await?)) };
    let late = Err(QueueError::Timeout { doing: "opening channels", within });
    let (one, many) = timeout(within, opening).await.unwrap_or(late)?;
    let registered = each(line, link, &one, &mut counter.registered);
    let bundles = bundles(line, link, &many, &mut counter.bundles);
    let questions = questions(line, link, &mut counter.questions);
    tokio::select! {
        ended = async { tokio::try_join!(registered, bundles, questions) } => ended.map(|_| ()),
        error = watch(line, link) => Err(error),
    }
}

/// A channel that confirms what it was given.
async fn confirming(link: &Link) -> Result<Channel, QueueError> {
    let channel = link.channel().await?;
    let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
    selected.map_err(|error| broken("asking for confirmations", &error))?;
    Ok(channel)
}

/// Sends parcels that must arrive, one at a time.
async fn each(
    line: &Line,
    link: &Link,
    channel: &Channel,
    counter: &mut mpsc::Receiver<Registered>,
) -> Outcome {
    let mut repaired: Option<Instant> = None;
    while let Some(registered) = taken(line, counter).await {
        let outcome = match blocked(link) {
            Some(error) => Err(error),
            None => send(line, channel, &registered.parcel).await,
        };
        let lost = is_lost(&outcome);
        let unroutable = matches!(outcome, Err(QueueError::Unroutable { .. }));
        answer(registered, outcome);
        if let Some(error) = lost {
            return Err(error);
        }
        if unroutable && repaired.is_none_or(|at| at.elapsed() > REPAIR_REST) {
            repaired = Some(Instant::now());
            repair(line, link).await;
        }
    }
    Ok(())
}

/// The next one; none once the queue is closed and everything that was handed in is taken.
async fn taken<T>(line: &Line, counter: &mut mpsc::Receiver<T>) -> Option<T> {
    tokio::select! {
        biased;
        () = line.broker.stop.cancelled(), if !counter.is_closed() => {
            counter.close();
            counter.recv().await
        }
        next = counter.recv() => next,
    }
}

async fn send(line: &Line, channel: &Channel, parcel: &Parcel) -> Outcome {
    let within = line.broker.options.confirm_timeout;
    let sending = async { publish(channel, parcel, MUST_ARRIVE).await?.await };
    let confirmed = timeout(within, sending).await;
    confirmed.map_or(Err(QueueError::Timeout { doing: "a message", within }), |said| verdict(parcel, said))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that publishes")]
async fn publish(
    channel: &Channel,
    parcel: &Parcel,
    options: BasicPublishOptions,
) -> lapin::Result<PublisherConfirm> {
    let (exchange, key) = (parcel.exchange.clone(), parcel.key.clone());
    channel.basic_publish(exchange, key, options, &parcel.body, parcel.properties.clone()).await
}

/// What a confirmation means. Only one that brings nothing back means that the message is in a queue.
fn verdict(parcel: &Parcel, said: lapin::Result<Confirmation>) -> Outcome {
    match said {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(_))) => {
            let (exchange, key) = (parcel.exchange.to_string(), parcel.key.to_string());
            Err(QueueError::Unroutable { exchange, key })
        }
        Ok(Confirmation::Nack(_)) => Err(QueueError::Full(parcel.key.to_string())),
        Ok(Confirmation::NotRequested) => {
            let reason = "the channel does not confirm".to_owned();
            Err(QueueError::Broken { doing: "publishing", reason })
        }
        Err(error) => Err(broken("publishing", &error)),
    }
}

/// Sends bundles, each at once.
async fn bundles(
    line: &Line,
    link: &Link,
    channel: &Channel,
    counter: &mut mpsc::Receiver<Bundle>,
) -> Outcome {
    while let Some(bundle) = taken(line, counter).await {
        let outcomes = match blocked(link) {
            Some(error) => vec![Err(error); bundle.parcels.len()],
            None => send_all(line, channel, &bundle.parcels).await,
        };
        let lost = outcomes.iter().find_map(is_lost);
        answer_all(bundle, outcomes);
        if let Some(error) = lost {
            return Err(error);
        }
    }
    Ok(())
}

/// Answers what is asked about queues, and makes that of the agent runner.
async fn questions(line: &Line, link: &Link, counter: &mut mpsc::Receiver<Question>) -> Outcome {
    let (names, options) = (&line.broker.names, &line.broker.options);
    while let Some(question) = taken(line, counter).await {
        let lost = match question {
            Question::Keeps(reply) => {
                told(reply, unblocked(link, declare::keeps(link, names, options)).await)
            }
            Question::Keep(reply) => {
                told(reply, unblocked(link, declare::apply_on(link, names, Part::Agent, options)).await)
            }
            Question::Waiting(reply) => {
                told(reply, unblocked(link, declare::waiting(link, names, options)).await)
            }
        };
        if let Some(error) = lost {
            return Err(error);
        }
    }
    Ok(())
}

/// Writes everything, then waits for the confirmations. What follows a failure is not even tried.
async fn send_all(line: &Line, channel: &Channel, parcels: &[Parcel]) -> Vec<Outcome> {
    let within = line.broker.options.confirm_timeout;
    let late = || QueueError::Timeout { doing: "an event", within };
    let (mut confirms, mut failure) = (Vec::with_capacity(parcels.len()), None);
    for parcel in parcels {
        match timeout(within, publish(channel, parcel, MAY_VANISH)).await {
            Ok(Ok(confirm)) => confirms.push((parcel, confirm)),
            Ok(Err(error)) => failure = Some(broken("publishing", &error)),
            Err(_) => failure = Some(late()),
        }
        if failure.is_some() {
            break;
        }
    }
    let mut outcomes = Vec::with_capacity(parcels.len());
    for (parcel, confirm) in confirms {
        // Once one is late, the connection is given up; the others have had as long to come.
        let patience = if failure.is_some() { Duration::ZERO } else { within };
        let said = timeout(patience, confirm).await;
        let outcome = said.map_or_else(|_| Err(late()), |said| verdict(parcel, said));
        failure = failure.or_else(|| is_lost(&outcome));
        outcomes.push(outcome);
    }
    outcomes.resize(parcels.len(), Err(failure.unwrap_or(QueueError::Away)));
    outcomes
}

/// Watches the connection. Ends when it is of no more use.
async fn watch(line: &Line, link: &Link) -> QueueError {
    let options = &line.broker.options;
    let mut events = std::pin::pin!(link.connection().events_listener());
    let (mut pulse, mut look) = (interval(PULSE), interval(options.watch_interval));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.reset();
    let mut blocked_at: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(event) = events.next() => match event {
                Event::ConnectionBlocked(reason) => {
                    blocked_at = Some(Instant::now());
                    line.note(State::Blocked, Some(&QueueError::Blocked(reason)));
                }
                Event::ConnectionUnblocked => {
                    blocked_at = None;
                    line.note(State::Up, None);
                }
                _ => {}
            },
            _ = pulse.tick() => {
                if !link.connection().status().connected() {
                    return QueueError::Away;
                }
                if blocked_at.is_some_and(|at| at.elapsed() > options.blocked_timeout) {
                    return blocked(link).unwrap_or(QueueError::Away);
                }
            }
            // A queue that was deleted takes its bindings along, and events for it vanish in silence.
            _ = look.tick(), if blocked_at.is_none() => {
                if let Err(error) = declare::check_on(link, &line.broker.names, Part::Work, options).await {
                    return error;
                }
            }
        }
    }
}

/// A lane without a queue: its binding was taken away. The rest of the connection is sound.
async fn repair(line: &Line, link: &Link) {
    tracing::warn!("a message found no queue; the topology is declared again");
    if let Err(error) = declare::apply_on(link, &line.broker.names, Part::Work, &line.broker.options).await {
        tracing::warn!(error = %error, "the topology can't be declared");
    }
}

/// While the broker blocks us nothing may be written: what is written comes out when it is over, long
/// after its sender was told that it didn't.
fn blocked(link: &Link) -> Option<QueueError> {
    if !link.connection().status().blocked() {
        return None;
    }
    Some(QueueError::Blocked("memory or disk alarm".to_owned()))
}

/// The error after which a connection is of no more use.
fn is_lost(outcome: &Outcome) -> Option<QueueError> {
    match outcome {
        Err(error @ (QueueError::Timeout { .. } | QueueError::Broken { .. })) => Some(error.clone()),
        _ => None,
    }
}

fn answer(registered: Registered, outcome: Outcome) {
    if registered.reply.send(outcome).is_err() {
        tracing::debug!("whoever sent a message doesn't wait for its outcome");
    }
}

/// Asks, unless the broker blocks the connection and would not even read the question.
async fn unblocked<T>(
    link: &Link,
    asked: impl Future<Output = Result<T, QueueError>>,
) -> Result<T, QueueError> {
    match blocked(link) {
        Some(error) => Err(error),
        None => asked.await,
    }
}

/// Hands an answer over; says what it means for the connection.
fn told<T>(reply: Reply<T>, answer: Result<T, QueueError>) -> Option<QueueError> {
    let lost = is_lost(&answer.as_ref().map(|_| ()).map_err(Clone::clone));
    if reply.send(answer).is_err() {
        tracing::debug!("whoever asked about a queue doesn't wait for the answer");
    }
    lost
}

fn answer_all(bundle: Bundle, outcomes: Vec<Outcome>) {
    if bundle.reply.send(outcomes).is_err() {
        tracing::debug!("whoever sent events doesn't wait for their outcome");
    }
}
