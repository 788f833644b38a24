//! What every stage is given: the store, the provider, the rules and the clock.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, JobPolicy, Limits, Policy, PriceTable, Rule, SettleWindow, Time, UnknownCreate};
use queue::Queue;
use reception::night_on_record;
use store::{SettleRules, Store, StoreError};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::audit::Gate;
use crate::uploads::Uploads;

/// Who runs the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The gateway's simulated upstream: nothing leaves the machine, nothing costs anything.
    Sim,
    /// OpenAI, or a server that speaks its API.
    OpenAi,
}

impl Provider {
    /// The word in the database, the configuration and the CLI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::OpenAi => "openai",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A provider that isn't one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a provider; take sim or openai")]
pub struct NotAProvider(String);

impl FromStr for Provider {
    type Err = NotAProvider;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sim" => Ok(Self::Sim),
            "openai" => Ok(Self::OpenAi),
            other => Err(NotAProvider(other.to_owned())),
        }
    }
}

/// What steers the stages.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Who runs the batches.
    pub provider: Provider,
    /// What a batch may hold.
    pub limits: Limits,
    /// Time between two looks at an open batch.
    pub poll_interval: Duration,
    /// How long a create may take before its outcome counts as unknown.
    pub create_within: Duration,
    /// How long a batch must be missing before that counts.
    pub settle: SettleWindow,
    /// What to do with a create whose outcome stays unknown.
    pub unknown: UnknownCreate,
    /// Time between two audits of what the provider has.
    pub audit_interval: Duration,
    /// How long an account rests that is refused.
    pub account_rest: Duration,
    /// Automatic attempts per task, and whether lines that may have been billed go out again.
    pub rules: SettleRules,
    /// The night that tasks wait for which go out again, where nobody has put one on record; none: they go at once.
    pub retry_tonight: Option<Rule>,
    /// Whether batches may be created at all.
    pub enabled: bool,
    /// How long a claim on an order holds unless it is renewed.
    pub lease: Duration,
    /// Where result files are put while they are read.
    pub spool: PathBuf,
    /// Prices.
    pub prices: PriceTable,
    /// Where people and programs reach this installation, without a slash at the end.
    pub public_url: Option<String>,
    /// Answers up to this size travel inside their events; 0: none does.
    pub inline_result_bytes: u64,
}

/// What every stage is given.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// The provider.
    pub openai: openai::Client,
    /// Messages.
    pub queue: Queue,
    /// The rules.
    pub config: Arc<PipelineConfig>,
    /// Rung when something may be due earlier than the relay thinks.
    pub(crate) bell: Arc<Notify>,
    /// Whether batches may be created, and when that is looked at again.
    pub(crate) gate: Arc<Mutex<Gate>>,
    /// What was seen of the account's input files.
    pub(crate) uploads: Arc<Mutex<Uploads>>,
    /// Cancelled once the stages are asked to stop.
    pub(crate) stop: CancellationToken,
}

/// How long a create rests that never left, or that the provider was too busy for.
const CREATE_REST: Duration = Duration::from_secs(10);

/// How long until all open batches are looked at: at the multiples of `interval`, so that whatever the jobs, what stands
/// together in the provider's list is due together, and a page of it answers a hundred looks. No batch is looked at
/// twice within a tenth of the interval.
fn until_next_look(now: Time, interval: Duration) -> Duration {
    let since = Duration::from_micros(u64::try_from(now.timestamp_micros()).unwrap_or_default());
    let past = Duration::from_nanos(
        u64::try_from(since.as_nanos() % interval.as_nanos().max(1)).unwrap_or_default(),
    );
    let rest = interval.saturating_sub(past);
    if rest < interval / 10 { rest + interval } else { rest }
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, openai: openai::Client, queue: Queue, config: PipelineConfig) -> Self {
        let (bell, gate) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Gate::default())));
        let uploads = Arc::new(Mutex::new(Uploads::default()));
        let stop = CancellationToken::new();
        Self { store, openai, queue, config: Arc::new(config), bell, gate, uploads, stop }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.store.clock()
    }

    /// The rules of batches.
    pub(crate) fn batch_policy(&self) -> Policy {
        Policy {
            poll_interval: until_next_look(self.clock().now(), self.config.poll_interval),
            create_within: self.config.create_within,
            settle: self.config.settle,
            unknown: self.config.unknown,
            account_rest: self.config.account_rest,
            create_rest: CREATE_REST.min(self.config.account_rest),
        }
    }

    /// The rules of jobs.
    pub(crate) async fn job_policy(&self) -> Result<JobPolicy, StoreError> {
        let Some(own) = self.config.retry_tonight else { return Ok(JobPolicy::default()) };
        let night = night_on_record(&self.store, own).await?;
        // A rule that finds no night is a bug; at worst tasks go at once.
        let retry_at = night.next(self.clock().now()).ok().map(|slot| slot.at);
        Ok(JobPolicy { retry_at, ..JobPolicy::default() })
    }

    /// Rings the relay's bell: an order was placed.
    pub fn ring(&self) {
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_batches_are_looked_at_together() {
        let minute = Duration::from_secs(60);
        for (now, seconds) in
            [(600_000, 60), (600_001, 60), (615_000, 45), (654_000, 6), (654_001, 66), (659_999, 61)]
        {
            let at = Time::from_timestamp_millis(now).unwrap_or_default();
            let until = until_next_look(at, minute).as_millis();
            assert_eq!(until.div_ceil(1_000), seconds, "{now}");
            assert_eq!((u128::from(now.unsigned_abs()) + until) % 60_000, 0, "{now}");
        }
    }
}
