//! Makes, checks and removes the topology at a broker. Checking needs no rights and changes nothing; how a queue was
//! made shows only to whoever may declare it.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};
use tokio::time::timeout;

use super::address::Address;
use super::link::Link;
use super::topology::{Exchange, Names, Part, Queue};
use super::{broken, short};
use crate::health::Way;
use crate::{Options, QueueError};

const EXCHANGE: ExchangeDeclareOptions = ExchangeDeclareOptions {
    passive: false,
    durable: true,
    auto_delete: false,
    internal: false,
    nowait: false,
};

/// Makes every exchange, queue and binding at the broker at `url` whose name starts with `prefix`. What
/// exists as it should be is left alone.
///
/// # Errors
/// A broker that doesn't answer or doesn't permit it; an exchange or a queue that exists and is made
/// otherwise, with its name.
pub async fn apply(url: &str, prefix: &str) -> Result<(), QueueError> {
    let (link, names, options) = connect(url, prefix).await?;
    let applied = apply_on(&link, &names, Part::All, &options).await;
    link.close().await;
    applied
}

/// Whether every exchange and queue is there, and made as it should be, as far as the user may declare it. Bindings
/// can't be seen; a missing one shows when a message is sent.
///
/// # Errors
/// A broker that doesn't answer; the first exchange or queue that is missing or made otherwise.
pub async fn check(url: &str, prefix: &str) -> Result<(), QueueError> {
    let (link, names, options) = connect(url, prefix).await?;
    let checked = compare_on(&link, &names, Part::All, &options).await;
    link.close().await;
    checked
}

/// Whether the queue is there that keeps events for the agent runner. Where it isn't, events that were
/// published may have been lost with it.
///
/// # Errors
/// A broker that doesn't answer.
pub async fn keeps_events(url: &str, prefix: &str) -> Result<bool, QueueError> {
    let (link, names, options) = connect(url, prefix).await?;
    let kept = keeps(&link, &names, &options).await;
    link.close().await;
    kept
}

pub(crate) async fn keeps(link: &Link, names: &Names, options: &Options) -> Result<bool, QueueError> {
    match check_on(link, names, Part::Agent, options).await {
        Ok(()) => Ok(true),
        Err(QueueError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Messages that nobody holds, by queue without prefix. A queue that is missing is left out.
pub(crate) async fn waiting(
    link: &Link,
    names: &Names,
    options: &Options,
) -> Result<Vec<(&'static str, u32)>, QueueError> {
    let within = options.connect_timeout;
    let late = QueueError::Timeout { doing: "counting messages", within };
    let count = async {
        let mut found = Vec::new();
        for (word, queue) in names.outside() {
            // On a channel each: the broker closes it where the queue is missing.
            match depth(&link.channel().await?, &queue).await {
                Ok(count) => found.push((word, count)),
                Err(QueueError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    };
    timeout(within, count).await.unwrap_or(Err(late))
}

/// Removes every exchange and queue, with all messages in them.
///
/// # Errors
/// A broker that doesn't answer or doesn't permit it.
pub async fn delete(url: &str, prefix: &str) -> Result<(), QueueError> {
    let (link, names, options) = connect(url, prefix).await?;
    let deleted = bounded(&options, async { delete_all(&link.channel().await?, &names).await }).await;
    link.close().await;
    deleted
}

async fn connect(url: &str, prefix: &str) -> Result<(Link, Names, Options), QueueError> {
    let options = Options { name: "overnight topology".to_owned(), ..Options::default() };
    let names = Names::new(prefix)?;
    let link = Link::open(&Address::parse(url, &options)?, &options, Way::Publish).await?;
    Ok((link, names, options))
}

/// Makes what is missing, on a channel of its own: the broker closes it at the first contradiction.
pub(crate) async fn apply_on(
    link: &Link,
    names: &Names,
    part: Part,
    options: &Options,
) -> Result<(), QueueError> {
    bounded(options, async { apply_all(&link.channel().await?, names, part).await }).await
}

/// Looks for all of a part, on a channel of its own.
pub(crate) async fn check_on(
    link: &Link,
    names: &Names,
    part: Part,
    options: &Options,
) -> Result<(), QueueError> {
    bounded(options, async { check_all(&link.channel().await?, names, part).await }).await
}

/// Looks for all of a part, and whether it is made as it should be. A look sees no arguments: the broker compares them
/// only where what is there is declared again. So what is missing is found first, and is not made here.
pub(crate) async fn compare_on(
    link: &Link,
    names: &Names,
    part: Part,
    options: &Options,
) -> Result<(), QueueError> {
    check_on(link, names, part, options).await?;
    bounded(options, compare_all(link, names, part)).await
}

/// On a channel each: the broker closes it where the user may not declare, who then can't compare.
async fn compare_all(link: &Link, names: &Names, part: Part) -> Result<(), QueueError> {
    for exchange in names.exchanges() {
        if_allowed(declare_exchange(&link.channel().await?, exchange).await)?;
    }
    for queue in names.queues(part) {
        if_allowed(declare_queue(&link.channel().await?, queue).await)?;
    }
    Ok(())
}

fn if_allowed(declared: Result<(), QueueError>) -> Result<(), QueueError> {
    match declared {
        Err(QueueError::Forbidden { what, .. }) => {
            tracing::debug!(what, "how it is made can't be seen: the user may not declare it");
            Ok(())
        }
        other => other,
    }
}

async fn declare_exchange(channel: &Channel, exchange: Exchange) -> Result<(), QueueError> {
    let declared =
        channel.exchange_declare(short(&exchange.name)?, exchange.kind, EXCHANGE, FieldTable::default());
    declared.await.map_err(|error| said("exchange", &exchange.name, &error))
}

async fn declare_queue(channel: &Channel, queue: Queue) -> Result<(), QueueError> {
    let declared =
        channel.queue_declare(short(&queue.name)?, QueueDeclareOptions::durable(), queue.arguments);
    declared.await.map(drop).map_err(|error| said("queue", &queue.name, &error))
}

async fn apply_all(channel: &Channel, names: &Names, part: Part) -> Result<(), QueueError> {
    for exchange in names.exchanges() {
        declare_exchange(channel, exchange).await?;
    }
    for queue in names.queues(part) {
        declare_queue(channel, queue).await?;
    }
    for binding in names.bindings(part) {
        let (queue, exchange) = (short(&binding.queue)?, short(&binding.exchange)?);
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue, exchange, short(&binding.key)?, options, FieldTable::default());
        bound.await.map_err(|error| said("binding of queue", &binding.queue, &error))?;
    }
    Ok(())
}

async fn check_all(channel: &Channel, names: &Names, part: Part) -> Result<(), QueueError> {
    for exchange in names.exchanges() {
        let options = ExchangeDeclareOptions { passive: true, ..EXCHANGE };
        let found =
            channel.exchange_declare(short(&exchange.name)?, exchange.kind, options, FieldTable::default());
        found.await.map_err(|error| said("exchange", &exchange.name, &error))?;
    }
    for queue in names.queues(part) {
        depth(channel, &queue.name).await?;
    }
    Ok(())
}

/// Messages of a queue that nobody holds. Right after a restart of the broker it may be too small.
pub(crate) async fn depth(channel: &Channel, queue: &str) -> Result<u32, QueueError> {
    let options = QueueDeclareOptions::durable().passive();
    let found = channel.queue_declare(short(queue)?, options, FieldTable::default()).await;
    found.map(|queue| queue.message_count()).map_err(|error| said("queue", queue, &error))
}

#[expect(clippy::disallowed_methods, reason = "a person has said so, and can say it again")]
async fn delete_all(channel: &Channel, names: &Names) -> Result<(), QueueError> {
    for queue in names.queues(Part::All) {
        let deleted = channel.queue_delete(short(&queue.name)?, QueueDeleteOptions::default());
        deleted.await.map_err(|error| said("queue", &queue.name, &error))?;
    }
    for exchange in names.exchanges() {
        let deleted = channel.exchange_delete(short(&exchange.name)?, ExchangeDeleteOptions::default());
        deleted.await.map_err(|error| said("exchange", &exchange.name, &error))?;
    }
    Ok(())
}

async fn bounded(
    options: &Options,
    work: impl Future<Output = Result<(), QueueError>>,
) -> Result<(), QueueError> {
    let within = options.connect_timeout;
    let late = QueueError::Timeout { doing: "the topology", within };
    timeout(within, work).await.unwrap_or(Err(late))
}

/// What the broker's answer means.
fn said(kind: &str, name: &str, error: &lapin::Error) -> QueueError {
    let ErrorKind::ProtocolError(said) = error.kind() else { return broken("a declaration", error) };
    let (what, reason) = (format!("{kind} {name}"), said.get_message().to_string());
    match said.get_id() {
        403 => QueueError::Forbidden { what: format!("access to {what}"), reason },
        404 => QueueError::Missing { what },
        // 405: it belongs to one connection alone, which ours never do.
        405 | 406 => QueueError::Differs { what, reason },
        _ => broken("a declaration", error),
    }
}
