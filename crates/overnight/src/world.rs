//! Start-up and shutdown, once for all commands: folder, database, gateway, provider, stages — and back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{HoldReason, Lane, Rule, Time, UnknownCreate};
use pipeline::{Context, Engine, Night, PipelineConfig, Provider};
use queue::Queue;
use reception::House;
use store::{Store, StoreOptions};
use url::Url;

use crate::commands::probe;
use crate::config::Config;
use crate::data_folder::{DataFolder, Owned, Taken};
use crate::exit::{Exit, Trouble};

/// Limits of the calls to the provider; a create has its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const RETRIES: u32 = 3;
/// How long an account rests that refuses us.
const ACCOUNT_REST: Duration = Duration::from_secs(300);
/// Rows that the gateway runs at a time.
const SIM_CONCURRENCY: usize = 64;

/// A database to look at, and the right to run the stages if nobody else has it.
pub(crate) struct Desk {
    pub(crate) store: Store,
    stages: Stages,
}

/// Who runs the stages.
enum Stages {
    /// This process may: the data folder is ours.
    Ours { _folder: DataFolder },
    /// Another process, which owns the data folder or the database file.
    Theirs(Taken),
    /// The processes of the fleet; commands state what they want, and look.
    Fleet,
}

impl Desk {
    /// Opens the database; whoever owns the folder brings the schema up, and others demand that it is this build's.
    pub(crate) async fn open(config: &Config, command: &str) -> Result<Self, Trouble> {
        if config.is_fleet() {
            return Self::with(config, Stages::Fleet).await;
        }
        let stages = match DataFolder::take(&config.data_dir, config.database_path().as_deref(), command)? {
            Owned::ByUs(folder) => Stages::Ours { _folder: folder },
            Owned::ByOther(taken) => Stages::Theirs(taken),
        };
        Self::with(config, stages).await
    }

    /// Opens the database for a command that changes it.
    pub(crate) async fn open_to_write(config: &Config, command: &str) -> Result<Self, Trouble> {
        let desk = Self::open(config, command).await?;
        match &desk.stages {
            Stages::Theirs(taken) => Err(taken.trouble()),
            Stages::Ours { .. } | Stages::Fleet => Ok(desk),
        }
    }

    /// Opens the database and brings its schema up, in a fleet as well.
    pub(crate) async fn migrate(config: &Config) -> Result<Self, Trouble> {
        if config.is_fleet() {
            return Ok(Self { store: open_store(config, true).await?, stages: Stages::Fleet });
        }
        Self::open_to_write(config, "migrate").await
    }

    async fn with(config: &Config, stages: Stages) -> Result<Self, Trouble> {
        let is_ours = matches!(stages, Stages::Ours { .. });
        let store = open_store(config, is_ours).await?;
        if !is_ours {
            // Somebody else brings it up; a command that went on would say what its first statement misses.
            store.check_schema().await?;
        }
        Ok(Self { store, stages })
    }

    /// Whether other processes do the work.
    pub(crate) fn is_elsewhere(&self) -> bool {
        !matches!(self.stages, Stages::Ours { .. })
    }
}

/// Opens the database, as it is now.
pub(crate) async fn open_store(config: &Config, migrate: bool) -> Result<Store, Trouble> {
    let file = config.database_path();
    if let Some(folder) =
        file.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            Trouble::config(format!("can't make the folder of the database, {}", folder.display()))
                .why(error.to_string())
        })?;
    }
    let options = StoreOptions { url: config.database_url.clone(), migrate, clock: config.clock };
    Ok(Store::open(&options).await?)
}

/// The running stages with all that they need; in a fleet, what a command needs to state its wish.
pub(crate) struct World {
    pub(crate) context: Context,
    pub(crate) gateway: Option<gateway::Running>,
    pub(crate) desk: Desk,
    engine: Option<Engine>,
}

impl World {
    /// Starts the stages on a desk that is ours. `listen` is where the gateway serves, where somebody
    /// else shall find it; the stages find it anywhere.
    pub(crate) async fn start(config: &Config, desk: Desk, listen_for_others: bool) -> Result<Self, Trouble> {
        match &desk.stages {
            Stages::Theirs(taken) => return Err(taken.trouble()),
            Stages::Fleet => return Self::beside(config, desk),
            Stages::Ours { .. } => {}
        }
        // Nobody else can be at work on a file: whoever had claimed something is dead.
        desk.store.forget_claims().await?;
        desk.store.forget_run_claims().await?;
        let gateway = match config.provider {
            Provider::Sim if config.gateway_url.is_none() => {
                Some(start_gateway(config, listen_for_others).await?)
            }
            Provider::Sim | Provider::OpenAi => None,
        };
        let client = client(config, gateway.as_ref())?;
        reach(config, &client).await?;
        let context = context(config, &desk.store, client, Queue::memory())?;
        warn_of_fence(config, &desk.store).await?;
        pipeline::release_disabled(&context).await?;
        // Whoever starts a process has mended what made submits rest, or wants to know.
        desk.store.wake(config.provider.as_str()).await?;
        pipeline::tidy_spool(&context).await?;
        let engine = Some(Engine::start(&context, &Lane::ALL));
        Ok(Self { context, gateway, engine, desk })
    }

    /// What a command needs to state its wish, without the stages: whoever runs them carries it out.
    pub(crate) fn beside(config: &Config, desk: Desk) -> Result<Self, Trouble> {
        let context = context(config, &desk.store, client(config, None)?, Queue::memory())?;
        Ok(Self { context, gateway: None, engine: None, desk })
    }

    /// The end of a stage or of the relay, should one end by itself.
    pub(crate) async fn ended(&mut self) -> Trouble {
        match &mut self.engine {
            Some(engine) => part_ended("the stages", &engine.ended().await),
            None => std::future::pending().await,
        }
    }

    /// Stops: no new work, what is in hand is finished, the gateway keeps its rows.
    pub(crate) async fn stop(self) -> Result<Desk, Trouble> {
        if let Some(engine) = self.engine {
            engine.stop().await;
        }
        if let Some(gateway) = self.gateway {
            gateway.shutdown().await;
        }
        Ok(self.desk)
    }
}

/// A process of which a part is dead ends: it would look well and do nothing, and one that starts anew works.
pub(crate) fn part_ended(part: &str, why: &str) -> Trouble {
    tracing::error!(part, why, "a part ended by itself; this is a bug, and the process ends");
    Trouble::other(format!("{part} ended by themselves; this is a bug"))
        .why(why)
        .fix("start it again: nothing is lost")
}

/// A fence that nobody has tried is a hope: whoever relies on it against a real provider hears so.
pub(crate) async fn warn_of_fence(config: &Config, store: &Store) -> Result<(), Trouble> {
    let relies = config.provider == Provider::OpenAi && config.unknown == UnknownCreate::Fence;
    if relies && !probe::fence_holds(config, store).await? {
        tracing::warn!(
            "SUBMIT_UNKNOWN=fence, and no probe has shown that this provider doesn't run a batch whose input file is gone: \
             a create in doubt may be paid twice; overnight probe tries it"
        );
    }
    Ok(())
}

pub(crate) fn context(
    config: &Config,
    store: &Store,
    client: openai::Client,
    queue: queue::Queue,
) -> Result<Context, Trouble> {
    Ok(Context::new(store.clone(), client, queue, pipeline_config(config)?))
}

/// Sees that a provider outside answers and takes the key, before anything depends on it.
async fn reach(config: &Config, client: &openai::Client) -> Result<(), Trouble> {
    match config.provider {
        Provider::Sim => Ok(()),
        Provider::OpenAi => {
            pipeline::ping(client).await.map(drop).map_err(|error| unreachable_provider(&error))
        }
    }
}

/// As [`reach`], for a command that is about to store something.
pub(crate) async fn reach_first(config: &Config) -> Result<(), Trouble> {
    match config.provider {
        Provider::Sim => Ok(()),
        // The fleet has the key and the network; this machine may have neither.
        Provider::OpenAi if config.is_fleet() => Ok(()),
        Provider::OpenAi => reach(config, &client(config, None)?).await,
    }
}

/// Asks the provider whether it is there, and does no work.
pub(crate) async fn ping(config: &Config) -> Result<openai::Ping, Trouble> {
    let gateway = match config.provider {
        Provider::Sim => Some(start_gateway(config, false).await?),
        Provider::OpenAi => None,
    };
    let ping = pipeline::ping(&client(config, gateway.as_ref())?).await;
    if let Some(gateway) = gateway {
        gateway.shutdown().await;
    }
    ping.map_err(|error| unreachable_provider(&error))
}

/// What stands between us and the provider.
pub(crate) fn unreachable_provider(error: &openai::CallError) -> Trouble {
    let exit = if error.is_auth() { Exit::Auth } else { Exit::Unreachable };
    let fix = if error.is_auth() { "check OPENAI_API_KEY" } else { "check OPENAI_BASE_URL and the network" };
    Trouble::caused(exit, error).fix(fix)
}

pub(crate) async fn start_gateway(
    config: &Config,
    listen_for_others: bool,
) -> Result<gateway::Running, Trouble> {
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = if listen_for_others { config.gateway_addr } else { anywhere };
    let settings = gateway::Config {
        data_dir: config.data_dir.join("gateway"),
        listen,
        api_key: config.gateway_api_key.clone(),
        sim: config.sim.clone(),
        concurrency: SIM_CONCURRENCY,
        max_file_bytes: wire::MAX_INPUT_BYTES,
    };
    gateway::start(settings).await.map_err(|error| {
        Trouble::caused(Exit::Config, &error)
            .fix(format!("check GATEWAY_ADDR ({listen}) and the data folder"))
    })
}

/// The provider's client: the gateway's where there is one, else the configured server's.
pub(crate) fn client(config: &Config, gateway: Option<&gateway::Running>) -> Result<openai::Client, Trouble> {
    let (base_url, api_key) = match gateway {
        _ if config.provider == Provider::Sim => {
            let url = match gateway {
                Some(gateway) => Url::parse(&gateway.base_url()).map_err(Trouble::other)?,
                None => gateway_url(config)?,
            };
            let key = config
                .gateway_api_key
                .clone()
                .map(openai::ApiKey::new)
                .transpose()
                .map_err(Trouble::config)?;
            (url, key)
        }
        _ => (config.openai_url.clone(), config.key()?),
    };
    openai::Client::new(openai::Config {
        base_url,
        api_key,
        organization: config.openai_org.clone(),
        project: config.openai_project.clone(),
        connect_timeout: CONNECT_TIMEOUT,
        // A create that was sent at the last moment has its answer before its deadline.
        request_timeout: REQUEST_TIMEOUT.min(config.create_within / 2),
        idle_timeout: IDLE_TIMEOUT,
        retries: RETRIES,
    })
    .map_err(Trouble::config)
}

/// Where a gateway in a process of its own is.
fn gateway_url(config: &Config) -> Result<Url, Trouble> {
    match &config.gateway_url {
        Some(url) => Ok(url.clone()),
        None => Url::parse(&format!("http://{}/v1", config.gateway_addr)).map_err(Trouble::config),
    }
}

fn pipeline_config(config: &Config) -> Result<PipelineConfig, Trouble> {
    Ok(PipelineConfig {
        provider: config.provider,
        limits: config.limits,
        poll_interval: config.poll_interval,
        create_within: config.create_within,
        settle: config.settle,
        unknown: config.unknown,
        audit_interval: config.audit_interval,
        account_rest: ACCOUNT_REST,
        rules: config.rules,
        retry_tonight: config.retry_tonight.then_some(rule(config)?),
        enabled: config.enabled,
        lease: config.claim_lease,
        spool: spool(config),
        prices: config.prices.clone(),
        public_url: config.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        inline_result_bytes: config.inline_result_bytes,
    })
}

/// What the clock goes by.
pub(crate) fn night(config: &Config) -> Result<Night, Trouble> {
    Ok(Night {
        rule: rule(config)?,
        auto: config.auto_overnight,
        max_tasks: config.overnight_max_tasks,
        catchup: config.catchup,
        processors: config.processors_dir.clone(),
        provider: config.provider,
        enabled: config.enabled,
        limits: config.limits,
        prices: config.prices.clone(),
    })
}

fn rule(config: &Config) -> Result<Rule, Trouble> {
    Rule::new(config.overnight_hour, config.zone).map_err(Trouble::config)
}

fn spool(config: &Config) -> PathBuf {
    config.data_dir.join("spool")
}

/// The next night.
pub(crate) fn tonight(config: &Config) -> Result<Time, Trouble> {
    rule(config)?.next(config.clock.now()).map(|slot| slot.at).map_err(Trouble::config)
}

/// Why a job that is submitted now waits, and until when.
pub(crate) async fn hold(
    config: &Config,
    store: &Store,
    for_the_night: bool,
) -> Result<Option<(HoldReason, Option<Time>)>, Trouble> {
    let house = house(config)?;
    let night = house.night_of(store, for_the_night).await?;
    house.hold(night, config.clock.now()).map_err(Trouble::config)
}

/// What this installation says about every wish.
pub(crate) fn house(config: &Config) -> Result<House, Trouble> {
    Ok(House {
        provider: config.provider.to_string(),
        limits: config.limits,
        prices: config.prices.clone(),
        enabled: config.enabled,
        night: rule(config)?,
        catchup: config.catchup,
        processors: config.processors_dir.clone(),
    })
}
