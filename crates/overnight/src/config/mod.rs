//! The configuration: read in layers, checked as a whole, refused with the way out.

#[cfg(test)]
mod fuzz;
mod layers;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use api::HookSecret;
use chrono_tz::Tz;
use domain::{Clock, Limits, PriceFile, PriceTable, SettleWindow, UnknownCreate};
use openai::{ApiKey, is_here};
use pipeline::Provider;
use store::SettleRules;
use telemetry::LogFormat;
use url::Url;

use crate::cli::Global;
use crate::exit::Trouble;
pub(crate) use layers::{Origin, Values};
use settings::name;
pub(crate) use settings::{SETTINGS, Setting};

/// The built-in price table.
const PRICES: &str = include_str!("../../prices.toml");

/// Largest answer inside an event: a page of events stays below what a broker likes.
const MOST_INLINE: u64 = 65_536;
/// The queue inside the process.
const MEMORY: &str = "memory:";
const BROKERS: [&str; 2] = ["amqp://", "amqps://"];
const DATABASES: [&str; 3] = ["sqlite:", "postgres://", "postgresql://"];

/// The configuration in force.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) enabled: bool,
    pub(crate) auto_overnight: bool,
    pub(crate) overnight_hour: u8,
    pub(crate) zone: Tz,
    pub(crate) limits: Limits,
    pub(crate) poll_interval: Duration,
    pub(crate) rules: SettleRules,
    pub(crate) retry_tonight: bool,
    pub(crate) overnight_max_tasks: u64,
    pub(crate) catchup: Duration,
    pub(crate) prices: PriceTable,
    pub(crate) unknown: UnknownCreate,
    pub(crate) create_within: Duration,
    pub(crate) settle: SettleWindow,
    pub(crate) audit_interval: Duration,
    pub(crate) provider: Provider,
    pub(crate) data_dir: PathBuf,
    pub(crate) processors_dir: PathBuf,
    pub(crate) database_url: String,
    pub(crate) queue_url: String,
    pub(crate) queue_prefix: String,
    pub(crate) claim_lease: Duration,
    /// How long a start waits for a database or a broker.
    pub(crate) boot: Duration,
    pub(crate) admin_addr: Option<SocketAddr>,
    pub(crate) admin_token: Option<String>,
    pub(crate) public_url: Option<Url>,
    pub(crate) inline_result_bytes: u64,
    pub(crate) gateway_url: Option<Url>,
    pub(crate) http_addr: SocketAddr,
    pub(crate) server_url: Option<Url>,
    pub(crate) server_token: Option<String>,
    pub(crate) gateway_addr: SocketAddr,
    pub(crate) gateway_api_key: Option<String>,
    pub(crate) sim: gateway::SimConfig,
    pub(crate) openai_url: Url,
    openai_key: Option<ApiKey>,
    pub(crate) hook_secret: Option<HookSecret>,
    pub(crate) openai_org: Option<String>,
    pub(crate) openai_project: Option<String>,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    /// Where traces are exported to.
    pub(crate) collector: Option<Url>,
    pub(crate) clock: Clock,
    pub(crate) crash: Option<String>,
    /// Where passed crash points are written, for tests.
    pub(crate) crash_log: Option<PathBuf>,
}

/// What the check of a configuration found.
pub(crate) struct Checked {
    pub(crate) values: Values,
    pub(crate) config: Option<Config>,
    pub(crate) errors: Vec<Trouble>,
    /// Only commands that talk to the provider miss it.
    pub(crate) missing_key: Option<Trouble>,
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// The configuration of this process, or the first thing that is wrong with it.
    pub(crate) fn load(global: &Global) -> Result<Self, Trouble> {
        let checked = Self::check(global);
        let mut errors = checked.errors;
        let more = errors.len().saturating_sub(1);
        if !errors.is_empty() {
            let first = errors.remove(0);
            let note = format!("{more} more: overnight config check");
            return Err(if more > 0 { first.why(note) } else { first });
        }
        checked.config.ok_or_else(|| Trouble::config("the configuration can't be read"))
    }

    /// Everything that is wrong with the configuration, at once.
    pub(crate) fn check(global: &Global) -> Checked {
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let (values, mut errors) = layers::read(global, &environment);
        let mut reader = Reader { values: &values, errors: Vec::new() };
        let config = reader.config(&environment);
        errors.append(&mut reader.errors);
        let warnings = config.as_ref().map(Self::warnings).unwrap_or_default();
        let provider = values.get(name::OVERNIGHT_PROVIDER).map(|value| value.text.as_str());
        let is_missing =
            provider == Some(Provider::OpenAi.as_str()) && !values.contains_key(name::OPENAI_API_KEY);
        let missing_key = is_missing.then(missing_key);
        Checked { values, config, errors, missing_key, warnings }
    }

    /// What is in force of a setting that nobody has set, where it has no fixed default.
    pub(crate) fn in_force(&self, setting: &str) -> Option<String> {
        let millis = |time: Duration| time.as_millis().to_string();
        Some(match setting {
            name::BATCH_POLL_INTERVAL_MS => millis(self.poll_interval),
            name::BATCH_TIMEZONE => self.zone.to_string(),
            name::SUBMIT_UNKNOWN => match self.unknown {
                UnknownCreate::Park => "park".to_owned(),
                UnknownCreate::Fence => "fence".to_owned(),
            },
            name::SUBMIT_TIMEOUT_MS => millis(self.create_within),
            name::SUBMIT_SETTLE_MS => millis(self.settle.over),
            name::BATCH_PRICES_FILE => format!("built in, of {}", self.prices.date),
            name::DATABASE_URL => self.database_url.clone(),
            name::LOG_FORMAT => match self.log_format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            _ => return None,
        })
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.provider == Provider::OpenAi && self.poll_interval < Duration::from_secs(10) {
            warnings.push(
                "BATCH_POLL_INTERVAL_MS: below 10000 is unkind to the provider's rate limits".to_owned(),
            );
        }
        if self.provider == Provider::OpenAi && self.unknown == UnknownCreate::Fence {
            warnings.push(
                "SUBMIT_UNKNOWN=fence: it pays once only where the provider doesn't run a batch whose input file is \
                 gone; overnight probe tries that"
                    .to_owned(),
            );
        }
        if !self.clock.offset().is_zero() {
            let seconds = self.clock.offset().num_seconds();
            warnings
                .push(format!("OVERNIGHT_CLOCK_OFFSET: the clock runs {seconds} s ahead; for tests only"));
        }
        warnings
    }

    /// The key of the provider, for whoever is about to talk to it; only the simulated one needs none.
    pub(crate) fn key(&self) -> Result<Option<ApiKey>, Trouble> {
        if self.provider == Provider::OpenAi && self.openai_key.is_none() {
            return Err(missing_key());
        }
        Ok(self.openai_key.clone())
    }

    /// Whether processes of their own run the stages, told by a broker.
    pub(crate) fn is_fleet(&self) -> bool {
        self.queue_url != MEMORY
    }

    /// The database's file, where it is one.
    pub(crate) fn database_path(&self) -> Option<PathBuf> {
        store::sqlite_file(&self.database_url)
    }
}

fn missing_key() -> Trouble {
    Trouble::config("the provider openai needs OPENAI_API_KEY")
        .fix("set OPENAI_API_KEY or OPENAI_API_KEY_FILE, or take --provider sim")
}

/// Reads typed values and gathers what is wrong.
struct Reader<'a> {
    values: &'a Values,
    errors: Vec<Trouble>,
}

impl Reader<'_> {
    fn config(&mut self, environment: &BTreeMap<String, String>) -> Option<Config> {
        let provider: Option<Provider> = self.parsed(name::OVERNIGHT_PROVIDER);
        let simulated = provider == Some(Provider::Sim);
        // Against a simulated provider waiting is waste.
        let or = |real: u64, quick: u64| if simulated { quick } else { real };
        let poll_from = or(1_000, 10);
        let poll_ms = self.number_or(name::BATCH_POLL_INTERVAL_MS, poll_from, 3_600_000, or(60_000, 1_000));
        let timeout_ms = self.number_or(name::SUBMIT_TIMEOUT_MS, 100, 600_000, or(90_000, 5_000));
        let settle_ms = self.number_or(name::SUBMIT_SETTLE_MS, 0, 86_400_000, or(900_000, 1_000));
        let audit_ms = self.number(name::AUDIT_INTERVAL_MS, 1_000, 604_800_000);
        let unknown = self.unknown(simulated);
        let max_requests = self.number(name::BATCH_MAX_REQUESTS, 1, u64::from(wire::MAX_REQUESTS));
        let max_bytes = self.number(name::BATCH_MAX_FILE_BYTES, 1, wire::MAX_INPUT_BYTES);
        let attempts = self.number(name::BATCH_TASK_MAX_ATTEMPTS, 1, 10);
        let hour = self.number(name::BATCH_OVERNIGHT_HOUR, 0, 23);
        let data_dir = PathBuf::from(self.text(name::OVERNIGHT_DATA_DIR)?);
        // Everything is read before anything is missed, so that a person is told all that is wrong at once.
        let enabled = self.parsed(name::ENABLE_BATCH_API);
        let auto_overnight = self.parsed(name::BATCH_AUTO_OVERNIGHT);
        let zone = self.zone(environment);
        let overnight_max_tasks = self.number(name::BATCH_OVERNIGHT_MAX_TASKS, 1, 1_000_000);
        let catchup = self.number(name::BATCH_CATCHUP_MINUTES, 0, 100_000);
        let prices = self.prices();
        let database_url = self.database_url(&data_dir);
        let queue_url = self.queue_url();
        let queue_prefix = self.text(name::QUEUE_PREFIX);
        let claim_lease_ms = self.number(name::CLAIM_LEASE_MS, 1_000, 600_000);
        let boot_ms = self.number(name::BOOT_TIMEOUT_MS, 1_000, 600_000);
        let admin_addr = self.optional(name::ADMIN_ADDR);
        let public_url = self.optional(name::PUBLIC_URL);
        let inline_result_bytes = self.number(name::EVENTS_INLINE_RESULT_MAX_BYTES, 0, MOST_INLINE);
        let gateway_url = self.optional(name::GATEWAY_URL);
        let http_addr = self.parsed(name::HTTP_ADDR);
        let server_url = self.optional(name::OVERNIGHT_URL);
        let gateway_addr = self.parsed(name::GATEWAY_ADDR);
        let sim = self.parsed_or(name::OVERNIGHT_SIM, gateway::SimConfig::default());
        let openai_url = self.parsed(name::OPENAI_BASE_URL);
        let openai_key = self.openai_key(simulated);
        let hook_secret = self.optional(name::OPENAI_WEBHOOK_SECRET);
        let log_filter = self.text(name::LOG_LEVEL);
        let log_format = self.log_format();
        let collector = self.collector();
        let clock = self.parsed(name::OVERNIGHT_CLOCK_OFFSET);
        let (crash, crash_log) = (self.crash(), self.crash_log());
        let retry = self.choice(name::BATCH_RETRY, &["now", "tonight"]);
        let retry_paid: Option<bool> = self.parsed(name::BATCH_RETRY_PAID);
        let config = Config {
            enabled: enabled?,
            auto_overnight: auto_overnight?,
            overnight_hour: u8::try_from(hour?).ok()?,
            zone: zone?,
            limits: Limits { max_requests: u32::try_from(max_requests?).ok()?, max_bytes: max_bytes? },
            poll_interval: Duration::from_millis(poll_ms?),
            rules: SettleRules { max_attempts: u32::try_from(attempts?).ok()?, retry_paid: retry_paid? },
            retry_tonight: retry? == "tonight",
            overnight_max_tasks: overnight_max_tasks?,
            catchup: Duration::from_secs(catchup? * 60),
            prices: prices?,
            unknown: unknown?,
            create_within: Duration::from_millis(timeout_ms?),
            settle: SettleWindow { looks: 3, over: Duration::from_millis(settle_ms?) },
            audit_interval: Duration::from_millis(audit_ms?),
            provider: provider?,
            database_url: database_url?,
            queue_url: queue_url?,
            queue_prefix: queue_prefix?,
            claim_lease: Duration::from_millis(claim_lease_ms?),
            boot: Duration::from_millis(boot_ms?),
            admin_addr: admin_addr?,
            admin_token: self.text(name::ADMIN_TOKEN),
            public_url: public_url?,
            inline_result_bytes: inline_result_bytes?,
            gateway_url: gateway_url?,
            processors_dir: PathBuf::from(self.text(name::OVERNIGHT_PROCESSORS_DIR)?),
            http_addr: http_addr?,
            server_url: server_url?,
            server_token: self.text(name::OVERNIGHT_TOKEN),
            gateway_addr: gateway_addr?,
            gateway_api_key: self.text(name::GATEWAY_API_KEY),
            sim: sim?,
            openai_url: openai_url?,
            openai_key: openai_key?,
            hook_secret: hook_secret?,
            openai_org: self.text(name::OPENAI_ORG_ID),
            openai_project: self.text(name::OPENAI_PROJECT_ID),
            log_filter: log_filter?,
            log_format: log_format?,
            collector: collector?,
            clock: clock?,
            crash: crash?,
            crash_log: crash_log?,
            data_dir,
        };
        self.beyond_loopback(&config);
        if config.is_fleet() && config.database_url.starts_with("sqlite:") {
            self.wrong(
                name::QUEUE_URL,
                "several processes share the database: set DATABASE_URL to a postgres: URL",
            );
        }
        self.errors.is_empty().then_some(config)
    }

    fn queue_url(&mut self) -> Option<String> {
        let url = self.text(name::QUEUE_URL)?;
        if url == MEMORY || BROKERS.iter().any(|scheme| url.starts_with(scheme)) {
            return Some(url);
        }
        self.wrong(name::QUEUE_URL, "take memory: or an amqp: or amqps: URL");
        None
    }

    fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|value| value.text.clone())
    }

    /// What is wrong with a value, with its origin; a secret's value is not repeated.
    fn wrong(&mut self, name: &'static str, why: impl ToString) {
        let Some(value) = self.values.get(name) else { return };
        let secret = SETTINGS.iter().any(|setting| setting.name == name && setting.secret);
        let shown = if secret { "…" } else { value.text.as_str() };
        let trouble = Trouble::config(format!("{name}={shown} can't be used")).why(why.to_string());
        self.errors.push(trouble.why(format!("it comes from: {}", value.origin)));
    }

    fn parsed<T>(&mut self, name: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.text(name)?;
        text.parse().map_err(|error: T::Err| self.wrong(name, error)).ok()
    }

    fn parsed_or<T>(&mut self, name: &'static str, default: T) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if self.values.contains_key(name) { self.parsed(name) } else { Some(default) }
    }

    /// A value that may be unset.
    fn optional<T>(&mut self, name: &'static str) -> Option<Option<T>>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if self.values.contains_key(name) { self.parsed(name).map(Some) } else { Some(None) }
    }

    fn number(&mut self, name: &'static str, from: u64, to: u64) -> Option<u64> {
        let number = self.text(name)?.parse().ok().filter(|number| (from..=to).contains(number));
        if number.is_none() {
            self.wrong(name, format!("take a whole number from {from} to {to}"));
        }
        number
    }

    fn number_or(&mut self, name: &'static str, from: u64, to: u64, default: u64) -> Option<u64> {
        if self.values.contains_key(name) { self.number(name, from, to) } else { Some(default) }
    }

    fn choice(&mut self, name: &'static str, choices: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if choices.contains(&text.as_str()) {
            return Some(text);
        }
        self.wrong(name, format!("take {}", choices.join(" or ")));
        None
    }

    fn unknown(&mut self, sim: bool) -> Option<UnknownCreate> {
        if !self.values.contains_key(name::SUBMIT_UNKNOWN) {
            return Some(if sim { UnknownCreate::Fence } else { UnknownCreate::Park });
        }
        let choice = self.choice(name::SUBMIT_UNKNOWN, &["park", "fence"])?;
        Some(if choice == "park" { UnknownCreate::Park } else { UnknownCreate::Fence })
    }

    fn zone(&mut self, environment: &BTreeMap<String, String>) -> Option<Tz> {
        if self.values.contains_key(name::BATCH_TIMEZONE) {
            let zone = self.text(name::BATCH_TIMEZONE)?.parse().ok();
            if zone.is_none() {
                self.wrong(name::BATCH_TIMEZONE, "take an IANA name, such as Europe/Berlin or UTC");
            }
            return zone;
        }
        let system = environment.get("TZ").filter(|zone| !zone.is_empty()).cloned();
        let zone = system.or_else(|| iana_time_zone::get_timezone().ok()).unwrap_or_else(|| "UTC".to_owned());
        let parsed = zone.trim_start_matches(':').parse();
        if parsed.is_err() {
            let trouble = Trouble::config(format!("the system's time zone {zone:?} is not an IANA name"));
            self.errors.push(trouble.fix("set BATCH_TIMEZONE, such as Europe/Berlin"));
        }
        parsed.ok()
    }

    fn prices(&mut self) -> Option<PriceTable> {
        let path = self.text(name::BATCH_PRICES_FILE);
        let text = match &path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| error.to_string()),
            None => Ok(PRICES.to_owned()),
        };
        let parsed =
            text.and_then(|text| toml::from_str::<PriceFile>(&text).map_err(|error| error.to_string()));
        let table = parsed.and_then(|file| PriceTable::new(&file).map_err(|error| error.to_string()));
        table.map_err(|error| self.wrong(name::BATCH_PRICES_FILE, error)).ok()
    }

    fn database_url(&mut self, data_dir: &Path) -> Option<String> {
        let Some(url) = self.text(name::DATABASE_URL) else {
            return Some(format!("sqlite://{}?mode=rwc", data_dir.join("overnight.db").display()));
        };
        if DATABASES.iter().any(|scheme| url.starts_with(scheme)) {
            return Some(url);
        }
        // The scheme is no secret; what follows it may be.
        let found = match url.split_once(':') {
            Some((scheme, _)) => format!("a URL of {scheme:?}"),
            None => "no URL".to_owned(),
        };
        let must = DATABASES.join(" or ");
        self.wrong(name::DATABASE_URL, format!("it is {found}; take one that begins with {must}"));
        None
    }

    /// The key is read only where it can be needed, and missed only where it is: [`Config::key`].
    fn openai_key(&mut self, sim: bool) -> Option<Option<ApiKey>> {
        let Some(text) = self.text(name::OPENAI_API_KEY).filter(|_| !sim) else { return Some(None) };
        ApiKey::new(text).map(Some).map_err(|error| self.wrong(name::OPENAI_API_KEY, error)).ok()
    }

    fn log_format(&mut self) -> Option<LogFormat> {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let default = if terminal { LogFormat::Text } else { LogFormat::Json };
        self.parsed_or(name::LOG_FORMAT, default)
    }

    fn collector(&mut self) -> Option<Option<Url>> {
        let Some(text) = self.text(name::OTEL_EXPORTER_OTLP_ENDPOINT) else { return Some(None) };
        let url =
            Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.wrong(name::OTEL_EXPORTER_OTLP_ENDPOINT, "not an http or https address");
        }
        url.map(Some)
    }

    fn crash(&mut self) -> Option<Option<String>> {
        let wish = self.text(name::OVERNIGHT_CRASH);
        if wish.is_some() && !crash::compiled_in() {
            self.wrong(name::OVERNIGHT_CRASH, "builds for release have no crash points");
            return None;
        }
        Some(wish)
    }

    fn crash_log(&mut self) -> Option<Option<PathBuf>> {
        let file = self.text(name::OVERNIGHT_CRASH_LOG);
        if file.is_some() && !crash::compiled_in() {
            self.wrong(name::OVERNIGHT_CRASH_LOG, "builds for release have no crash points");
            return None;
        }
        Some(file.map(PathBuf::from))
    }

    fn beyond_loopback(&mut self, config: &Config) {
        let server = config.server_url.as_ref();
        if server.is_some_and(|url| !matches!(url.scheme(), "http" | "https") || url.host().is_none()) {
            self.wrong(name::OVERNIGHT_URL, "not an http or https address");
        }
        if config.server_token.is_some() && server.is_some_and(|url| url.scheme() == "http" && !is_here(url))
        {
            self.wrong(name::OVERNIGHT_URL, "a token is not sent there without encryption; take https");
        }
        if !config.gateway_addr.ip().is_loopback() && config.gateway_api_key.is_none() {
            self.wrong(name::GATEWAY_ADDR, "beyond loopback the gateway demands GATEWAY_API_KEY");
        }
        if config.admin_addr.is_some_and(|addr| !addr.ip().is_loopback()) && config.admin_token.is_none() {
            self.wrong(name::ADMIN_ADDR, "beyond loopback /metrics demands ADMIN_TOKEN");
        }
    }
}
