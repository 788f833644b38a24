//! Start-up and shutdown, once for all commands: folder, database, gateway, provider, stages — and back.

use std::path::PathBuf;
use std::time::Duration;

use domain::{Clock, HoldReason, Time, next_night};
use pipeline::{Context, Engine, PipelineConfig, Provider};
use store::{Store, StoreOptions};
use url::Url;

use crate::config::Config;
use crate::data_folder::{DataFolder, Owned, taken};
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

/// A database to look at, and the right to change it if nobody else has it.
pub(crate) struct Desk {
    pub(crate) store: Store,
    folder: Result<DataFolder, String>,
}

impl Desk {
    /// Opens the database; whoever owns the folder brings the schema up.
    pub(crate) async fn open(config: &Config, command: &str) -> Result<Self, Trouble> {
        let folder = match DataFolder::take(&config.data_dir, command)? {
            Owned::ByUs(folder) => Ok(folder),
            Owned::ByOther(owner) => Err(owner),
        };
        Self::with(config, folder).await
    }

    /// Opens the database for a command that changes it.
    pub(crate) async fn open_to_write(config: &Config, command: &str) -> Result<Self, Trouble> {
        match DataFolder::take(&config.data_dir, command)? {
            Owned::ByUs(folder) => Self::with(config, Ok(folder)).await,
            Owned::ByOther(owner) => Err(taken(&config.data_dir, &owner)),
        }
    }

    async fn with(config: &Config, folder: Result<DataFolder, String>) -> Result<Self, Trouble> {
        let store = open_store(config, folder.is_ok()).await?;
        Ok(Self { store, folder })
    }

    /// Whether another process owns the folder and does the work.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.folder.is_err()
    }
}

async fn open_store(config: &Config, migrate: bool) -> Result<Store, Trouble> {
    if let Some(folder) =
        config.database_path().and_then(|path| path.parent()).filter(|f| !f.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            Trouble::config(format!("can't make the folder of the database, {}", folder.display()))
                .why(error.to_string())
        })?;
    }
    let options = StoreOptions { url: config.database_url.clone(), migrate, clock: Clock::default() };
    Ok(Store::open(&options).await?)
}

/// The running stages with all that they need.
pub(crate) struct World {
    pub(crate) context: Context,
    pub(crate) gateway: Option<gateway::Running>,
    pub(crate) desk: Desk,
    engine: Engine,
}

impl World {
    /// Starts the stages on a desk that is ours. `listen` is where the gateway serves, where somebody
    /// else shall find it; the stages find it anywhere.
    pub(crate) async fn start(config: &Config, desk: Desk, listen_for_others: bool) -> Result<Self, Trouble> {
        if let Err(owner) = &desk.folder {
            return Err(taken(&config.data_dir, owner));
        }
        // Nobody else can be at work: whoever had claimed something is dead.
        desk.store.forget_claims().await?;
        let gateway = match config.provider {
            Provider::Sim => Some(start_gateway(config, listen_for_others).await?),
            Provider::OpenAi => None,
        };
        let client = client(config, gateway.as_ref())?;
        reach(config, &client).await?;
        let context =
            Context::new(desk.store.clone(), client, queue::Queue::memory(), pipeline_config(config));
        pipeline::release_disabled(&context).await?;
        // Whoever starts a process has mended what made submits rest, or wants to know.
        desk.store.wake_submits(config.provider.as_str()).await?;
        pipeline::tidy_spool(&context).await?;
        let engine = Engine::start(&context);
        Ok(Self { context, gateway, engine, desk })
    }

    /// Stops: no new work, what is in hand is finished, the gateway keeps its rows.
    pub(crate) async fn stop(self) -> Result<Desk, Trouble> {
        self.engine.stop().await;
        if let Some(gateway) = self.gateway {
            gateway.shutdown().await;
        }
        Ok(self.desk)
    }
}

/// Sees that a provider outside answers and takes the key, before anything depends on it.
async fn reach(config: &Config, client: &openai::Client) -> Result<(), Trouble> {
    match config.provider {
        Provider::Sim => Ok(()),
        Provider::OpenAi => client.ping().await.map(drop).map_err(|error| unreachable_provider(&error)),
    }
}

/// As [`reach`], for a command that is about to store something.
pub(crate) async fn reach_first(config: &Config) -> Result<(), Trouble> {
    match config.provider {
        Provider::Sim => Ok(()),
        Provider::OpenAi => reach(config, &client(config, None)?).await,
    }
}

/// Asks the provider whether it is there, and does no work.
pub(crate) async fn ping(config: &Config) -> Result<openai::Ping, Trouble> {
    let gateway = match config.provider {
        Provider::Sim => Some(start_gateway(config, false).await?),
        Provider::OpenAi => None,
    };
    let ping = client(config, gateway.as_ref())?.ping().await;
    if let Some(gateway) = gateway {
        gateway.shutdown().await;
    }
    ping.map_err(|error| unreachable_provider(&error))
}

/// What stands between us and the provider.
fn unreachable_provider(error: &openai::CallError) -> Trouble {
    let exit = if error.is_auth() { Exit::Auth } else { Exit::Unreachable };
    let fix = if error.is_auth() { "check OPENAI_API_KEY" } else { "check OPENAI_BASE_URL and the network" };
    Trouble::caused(exit, error).fix(fix)
}

async fn start_gateway(config: &Config, listen_for_others: bool) -> Result<gateway::Running, Trouble> {
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
        Some(gateway) => {
            let url = Url::parse(&gateway.base_url()).map_err(Trouble::other)?;
            let key = config
                .gateway_api_key
                .clone()
                .map(openai::ApiKey::new)
                .transpose()
                .map_err(Trouble::config)?;
            (url, key)
        }
        None => (config.openai_url.clone(), config.openai_key.clone()),
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

fn pipeline_config(config: &Config) -> PipelineConfig {
    PipelineConfig {
        provider: config.provider,
        limits: config.limits,
        poll_interval: config.poll_interval,
        create_within: config.create_within,
        settle: config.settle,
        unknown: config.unknown,
        account_rest: ACCOUNT_REST,
        rules: config.rules,
        retry_tonight: config.retry_tonight.then_some((config.overnight_hour, config.zone)),
        enabled: config.enabled,
        spool: spool(config),
        prices: config.prices.clone(),
    }
}

fn spool(config: &Config) -> PathBuf {
    config.data_dir.join("spool")
}

/// The next night.
pub(crate) fn tonight(config: &Config) -> Result<Time, Trouble> {
    next_night(config.overnight_hour, config.zone, Clock::default().now()).map_err(Trouble::config)
}

/// Why a job that is submitted now waits, and until when.
pub(crate) fn hold(
    config: &Config,
    for_the_night: bool,
) -> Result<Option<(HoldReason, Option<Time>)>, Trouble> {
    Ok(match (config.enabled, for_the_night) {
        (false, _) => Some((HoldReason::BatchApiDisabled, None)),
        (true, true) => Some((HoldReason::Overnight, Some(tonight(config)?))),
        (true, false) => None,
    })
}
