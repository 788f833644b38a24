//! Rest: where one look hears that the account asks too often (429), all processes leave the provider's batches alone
//! for a while. It holds no submit back: a create has rests of its own.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{Claimed, LONGEST_REST, Lane, failure_backoff, rest_asked};
use store::StoreError;
use telemetry::metrics::ORDERS_HANDLED;

use crate::context::Context;
use crate::worker::chain;

/// What the rest is called in the database: an account's, whoever looks.
fn name(context: &Context) -> String {
    format!("rest/{}", context.config.provider)
}

/// How long the looks still rest; none: they don't.
pub(crate) async fn left(context: &Context) -> Result<Option<Duration>, StoreError> {
    context.store.rest_left(&name(context)).await
}

/// Begins a rest where looks were refused for being too many.
pub(crate) async fn heed(context: &Context, claims: &[Claimed], error: &openai::CallError) {
    if !error.is_too_often() || !are_looks(claims) {
        return;
    }
    let times = 1 + claims.iter().map(|claimed| claimed.outages).max().unwrap_or_default();
    let pause = rest_asked(error.retry_after()).max(failure_backoff(times)).max(context.config.poll_interval);
    let pause = pause.min(LONGEST_REST);
    tracing::warn!(seconds = pause.as_secs(), "the provider is asked too often; all looks rest");
    if let Err(error) = context.store.rest(&name(context), pause).await {
        tracing::warn!(error = %chain(&error), "that looks rest can't be put on record");
    }
}

/// Puts looks back until the rest is over. False: there is none, and they may be made.
pub(crate) async fn put_back(context: &Context, claims: &[Claimed]) -> bool {
    if !are_looks(claims) {
        return false;
    }
    let left = match left(context).await {
        Ok(Some(left)) => left,
        Ok(None) => return false,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "whether looks rest can't be read");
            return false;
        }
    };
    let due = context.clock().now() + TimeDelta::from_std(left.min(LONGEST_REST)).unwrap_or_default();
    if let Err(error) = context.store.look_again(claims, due).await {
        tracing::warn!(error = %chain(&error), "looks can't be put back; their leases run out");
    }
    let looks = u64::try_from(claims.len()).unwrap_or(u64::MAX);
    metrics::counter!(ORDERS_HANDLED, "lane" => Lane::Poll.as_str(), "outcome" => "later").increment(looks);
    true
}

/// Claims of one message are of one lane.
fn are_looks(claims: &[Claimed]) -> bool {
    claims.first().is_some_and(|claimed| claimed.command.lane() == Lane::Poll)
}
