//! `overnight serve ROLE`: one part of the night in a process of its own, until somebody stops it.
//!
//! Any number of each role may run; what they share is the database, and the broker tells them what is due. Only
//! a gateway has its data folder, and so the provider that it plays, to itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use domain::Lane;
use pipeline::{Engine, chain};
use serde_json::json;
use store::{Store, StoreError, StoreOptions};
use telemetry::metrics::{BUILD_INFO, Metrics};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, Database};
use crate::broker;
use crate::cli::Role;
use crate::commands::api::Serving;
use crate::commands::up::{self, Clock};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::Output;
use crate::world;

/// Pauses of a start between two tries to open the database: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
/// How long a stop waits for what is in hand. What is not done by then, another process takes over once its
/// lease has run out.
const DRAIN: Duration = Duration::from_secs(25);

pub(crate) async fn run(config: &Config, role: Role, output: &Output) -> Result<Exit, Trouble> {
    if !config.is_fleet() && !matches!(role, Role::Gateway | Role::Api) {
        return Err(Trouble::config(format!("a {} needs a broker", role.as_str()))
            .why("roles in processes of their own are told by messages what is due")
            .fix("set QUEUE_URL to an amqp: URL and DATABASE_URL to a postgres: URL; on one machine, overnight up does it all"));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(Trouble::other)?;
    let metrics = Metrics::install().map_err(Trouble::other)?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "role" => role.as_str()).set(1.0);
    let stop = CancellationToken::new();
    let mut running = match role {
        Role::Gateway => Running::Gateway(Gateway::start(config, metrics, &stop).await?),
        Role::Api => Running::Api(Serving::start(config, metrics, &stop).await?),
        Role::Scheduler | Role::Submitter | Role::Poller => {
            Running::Stages(stages(config, role, metrics, &stop, output).await?)
        }
    };
    announce(config, role, &running, output);
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Trouble::other)?,
        ended = running.ended() => return ended,
    }
    output.note("stopping: what is in hand is finished");
    stop.cancel();
    let drained = tokio::time::timeout(DRAIN, running.stop()).await;
    if drained.is_err() {
        tracing::warn!("not all that was in hand is done; another process takes it over");
    }
    Ok(Exit::Success)
}

/// A role at work.
enum Running {
    Gateway(Gateway),
    Api(Serving),
    Stages(Stages),
}

/// The gateway at work, and where it tells its health.
struct Gateway {
    served: gateway::Running,
    admin: SocketAddr,
}

impl Gateway {
    async fn start(config: &Config, metrics: Metrics, stop: &CancellationToken) -> Result<Self, Trouble> {
        let served = world::start_gateway(config, true).await?;
        let (database, token) = (Database::Served(served.health()), config.admin_token.clone());
        let admin = Admin { role: Role::Gateway, database, queue: None, metrics, gauges: None, token };
        let address = config.admin_addr.unwrap_or_else(|| Role::Gateway.admin_addr());
        let admin = admin.serve(address, stop.clone()).await?;
        Ok(Self { served, admin })
    }
}

/// The stages of a role.
struct Stages {
    store: Store,
    queue: queue::Queue,
    engine: Engine,
    clock: Option<Clock>,
    inbox: Option<JoinHandle<()>>,
    admin: SocketAddr,
}

impl Running {
    /// The end of something that should have gone on; waits for ever where there is none.
    async fn ended(&mut self) -> Result<Exit, Trouble> {
        match self {
            Self::Stages(stages) => stages.ended().await,
            Self::Api(serving) => serving.ended().await,
            Self::Gateway(_) => std::future::pending().await,
        }
    }

    async fn stop(self) {
        match self {
            Self::Gateway(gateway) => gateway.served.shutdown().await,
            Self::Api(serving) => serving.stop().await,
            Self::Stages(stages) => {
                if let Some(clock) = stages.clock
                    && let Err(trouble) = up::clock_stopped(clock.await)
                {
                    tracing::warn!(error = trouble.what, "the clock did not stop in order");
                }
                if let Some(inbox) = stages.inbox
                    && inbox.await.is_err()
                {
                    tracing::warn!("the inbox did not stop in order");
                }
                stages.engine.stop().await;
                stages.queue.close().await;
                if let Err(error) = stages.store.close().await {
                    tracing::warn!(error = %error, "the database was not closed in order");
                }
            }
        }
    }
}

impl Stages {
    /// How a part ended, should one end by itself.
    async fn ended(&mut self) -> Result<Exit, Trouble> {
        tokio::select! {
            ended = end_of(&mut self.clock) => up::clock_stopped(ended),
            ended = end_of(&mut self.inbox) => {
                let why = ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
                Err(world::part_ended("commands from outside", &why))
            }
            why = self.engine.ended() => Err(world::part_ended("the stages", &why)),
        }
    }
}

/// Waits for the end of a task; for ever where there is none.
async fn end_of<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn stages(
    config: &Config,
    role: Role,
    metrics: Metrics,
    stop: &CancellationToken,
    output: &Output,
) -> Result<Stages, Trouble> {
    let store = open_store(config).await?;
    let queue = broker::connect(config, role.as_str(), role.lanes(), role == Role::Scheduler).await?;
    let context = world::context(config, &store, world::client(config, None)?, queue.clone())?;
    match role {
        Role::Submitter => {
            world::warn_of_fence(config, &store).await?;
            pipeline::release_disabled(&context).await?;
            store.wake(config.provider.as_str()).await?;
        }
        Role::Poller => pipeline::tidy_spool(&context).await?,
        Role::Scheduler | Role::Gateway | Role::Api => {}
    }
    let engine = Engine::start(&context, role.lanes());
    let clock = match role {
        Role::Scheduler => Some(up::start_clock(config, &context, stop, output)?),
        Role::Submitter | Role::Poller | Role::Gateway | Role::Api => None,
    };
    let inbox = match queue.inbox() {
        Some(inbox) => {
            let (house, stop) = (world::house(config)?, stop.clone());
            Some(tokio::spawn(pipeline::read_inbox(store.clone(), house, inbox, stop)))
        }
        None => None,
    };
    let admin = Admin {
        role,
        database: Database::Shared(store.clone()),
        queue: Some(queue.clone()),
        metrics,
        gauges: (role == Role::Scheduler).then(|| store.clone()),
        token: config.admin_token.clone(),
    };
    let address = config.admin_addr.unwrap_or_else(|| role.admin_addr());
    let admin = admin.serve(address, stop.clone()).await?;
    Ok(Stages { store, queue, engine, clock, inbox, admin })
}

/// Opens the database, waiting as long as the configuration says for one that is still starting. A wrong schema is
/// not waited for.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Trouble> {
    let options = StoreOptions { url: config.database_url.clone(), migrate: false, clock: config.clock };
    let (started, (mut pause, longest)) = (Instant::now(), PAUSES);
    let store = loop {
        let error = match Store::open(&options).await {
            Ok(store) => break store,
            Err(error) => error,
        };
        let left = config.boot.saturating_sub(started.elapsed());
        if left.is_zero() || !matches!(error, StoreError::Open { .. }) {
            return Err(error.into());
        }
        tracing::warn!(error = %chain(&error), "the database isn't there yet");
        tokio::time::sleep(pause.min(left)).await;
        pause = longest.min(pause * 2);
    };
    store.check_schema().await?;
    Ok(store)
}

fn announce(config: &Config, role: Role, running: &Running, output: &Output) {
    let url = |address: SocketAddr| Some(format!("http://{address}"));
    let (gateway, api, admin) = match running {
        Running::Gateway(gateway) => (Some(gateway.served.base_url()), None, url(gateway.admin)),
        Running::Api(serving) => (None, url(serving.address), url(serving.admin)),
        Running::Stages(stages) => (None, None, url(stages.admin)),
    };
    let document = json!({
        "role": role.as_str(),
        "provider": config.provider.as_str(),
        "gateway": gateway,
        "api": api,
        "admin": admin,
    });
    output.result(&document, || {
        let mut text = format!("overnight {} is up with the provider {}", role.as_str(), config.provider);
        gateway.iter().for_each(|url| text.push_str(&format!("\n  gateway  {url}")));
        api.iter().for_each(|url| text.push_str(&format!("\n  api      {url}/api/batch")));
        admin
            .iter()
            .for_each(|url| text.push_str(&format!("\n  admin    {url} (/livez, /readyz, /metrics)")));
        text
    });
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Submitter => "submitter",
            Self::Poller => "poller",
            Self::Gateway => "gateway",
            Self::Api => "api",
        }
    }

    /// The lanes that its workers serve.
    fn lanes(self) -> &'static [Lane] {
        match self {
            Self::Submitter => &[Lane::Plan, Lane::Submit],
            Self::Poller => &[Lane::Poll, Lane::Collect, Lane::Settle],
            Self::Scheduler | Self::Gateway | Self::Api => &[],
        }
    }

    /// Where its admin port is, unless somebody says otherwise: one of its own, so that one of each role fits
    /// on a machine.
    pub(crate) fn admin_addr(self) -> SocketAddr {
        let port = match self {
            Self::Scheduler => 9091,
            Self::Submitter => 9092,
            Self::Poller => 9093,
            Self::Gateway => 9094,
            Self::Api => 9090,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}
