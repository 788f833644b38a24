//! Every setting once: its name in the environment, its key in the file, its default and what it means.
//! The reference in `docs/configuration.md` is held against this list by a test.

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the environment.
    pub(crate) name: &'static str,
    /// Its key in the configuration file.
    pub(crate) key: &'static str,
    /// Its value where nobody sets it; empty: unset.
    pub(crate) default: &'static str,
    /// Whether it is a secret: it can be given as `NAME_FILE`, and is never shown.
    pub(crate) secret: bool,
    /// What it means.
    pub(crate) meaning: &'static str,
}

macro_rules! settings {
    ($($name:ident, $key:literal, $default:literal, $($secret:ident)? $meaning:literal;)*) => {
        /// Names, so that a typing error doesn't compile.
        pub(crate) mod name { $(pub(crate) const $name: &str = stringify!($name);)* }

        /// All of them.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            key: $key,
            default: $default,
            secret: settings!(@ $($secret)?),
            meaning: $meaning,
        },)*];
    };
    (@ secret) => { true };
    (@) => { false };
}

settings! {
    ENABLE_BATCH_API, "batch.enabled", "true",
        "false: nothing is sent; jobs are accepted and held, batches already open are still collected";
    BATCH_AUTO_OVERNIGHT, "batch.auto_overnight", "true",
        "true: `overnight up` collects the pending backlog every night; false: only what a person submits or has given a schedule of its own runs";
    BATCH_OVERNIGHT_HOUR, "batch.overnight_hour", "2", "local hour at which the night begins, 0 to 23";
    BATCH_MAX_REQUESTS, "batch.max_requests", "1000", "requests per batch, 1 to 50000 (OpenAI's limit)";
    BATCH_POLL_INTERVAL_MS, "batch.poll_interval_ms", "",
        "milliseconds between two looks at an open batch, 1000 (simulated: 10) to 3600000; unset: 60000 (simulated: 1000)";
    BATCH_TIMEZONE, "batch.timezone", "", "IANA time zone of the hour above; unset: TZ, else the system's";
    BATCH_MAX_FILE_BYTES, "batch.max_file_bytes", "190000000", "bytes of an input file, at most 200000000 (OpenAI's limit)";
    BATCH_TASK_MAX_ATTEMPTS, "batch.task_max_attempts", "3", "automatic attempts per task, 1 to 10";
    BATCH_RETRY, "batch.retry", "now", "when tasks that go out again do so: now or tonight";
    BATCH_RETRY_PAID, "batch.retry_paid", "false",
        "true: lines that may have been billed (missing, unreadable or invalid answers) go out again, too";
    BATCH_OVERNIGHT_MAX_TASKS, "batch.overnight_max_tasks", "1000", "tasks that one night takes from the backlog, at most";
    BATCH_CATCHUP_MINUTES, "batch.catchup_minutes", "1200",
        "minutes after its hour that a night may still begin, 0 to 100000; later it is recorded as missed";
    BATCH_PRICES_FILE, "batch.prices_file", "", "price table in TOML; unset: the built-in one";
    SUBMIT_UNKNOWN, "submit.unknown", "",
        "what to do with a create whose outcome stays unknown: park or fence; unset: park, and fence with the simulated provider";
    SUBMIT_TIMEOUT_MS, "submit.timeout_ms", "",
        "milliseconds a create may take before its outcome counts as unknown; unset: 90000, and 5000 with the simulated provider";
    SUBMIT_SETTLE_MS, "submit.settle_ms", "",
        "milliseconds a batch must be missing from the provider's list before that counts; unset: 900000, and 1000 with the simulated provider";
    AUDIT_INTERVAL_MS, "submit.audit_interval_ms", "86400000",
        "milliseconds between two looks of a process that submits at all that the provider has under this installation's tag, 1000 to 604800000";
    CLAIM_LEASE_MS, "queue.claim_lease_ms", "60000",
        "milliseconds that a claim on an order holds unless it is renewed: how long a worker that dies is missed, 1000 to 600000";
    OVERNIGHT_PROVIDER, "provider", "sim", "who runs the batches: sim (nothing leaves the machine) or openai (spends money)";
    OVERNIGHT_DATA_DIR, "data_dir", "data", "folder of the database, the simulated provider and the results";
    OVERNIGHT_PROCESSORS_DIR, "processors_dir", "processors", "folder of your own processors, NAME.toml each";
    DATABASE_URL, "database.url", "", secret "sqlite: or postgres: URL; unset: overnight.db in the data folder";
    QUEUE_URL, "queue.url", "memory:", secret
        "memory: (the stages run in the process that needs them) or an amqp: or amqps: URL (roles of `overnight serve` run them)";
    QUEUE_PREFIX, "queue.prefix", "overnight", "how the names of the broker's exchanges and queues begin";
    BOOT_TIMEOUT_MS, "boot.timeout_ms", "60000",
        "milliseconds that a start of a role waits for a database or a broker that isn't there yet, 1000 to 600000";
    HTTP_ADDR, "http.addr", "127.0.0.1:8080", "where `overnight serve api` serves the REST API; beyond loopback it needs a token";
    OVERNIGHT_URL, "server.url", "",
        "a server's REST API, such as http://127.0.0.1:8080; batch commands are then done there";
    OVERNIGHT_TOKEN, "server.token", "", secret "bearer token for that server";
    ADMIN_ADDR, "http.admin_addr", "",
        "where a role of `overnight serve` tells its health and its metrics; unset: 127.0.0.1 and a port of the role's own";
    ADMIN_TOKEN, "http.admin_token", "", secret "bearer token that /metrics demands; needed beyond loopback";
    PUBLIC_URL, "http.public_url", "", "where others reach this installation; events name results by it";
    EVENTS_INLINE_RESULT_MAX_BYTES, "events.inline_result_max_bytes", "0",
        "answers up to this size travel inside their task.completed events, at most 65536; 0: by reference only";
    GATEWAY_ADDR, "gateway.addr", "127.0.0.1:8083", "where `overnight up` serves the gateway";
    GATEWAY_URL, "gateway.url", "",
        "base URL of a gateway in a process of its own, such as http://127.0.0.1:8083/v1; unset: the process runs one";
    GATEWAY_API_KEY, "gateway.api_key", "", secret "bearer token that the gateway demands; needed beyond loopback";
    OVERNIGHT_SIM, "gateway.sim", "", "faults and latency of the simulated model, such as server_error=0.05,latency_ms=20";
    OPENAI_API_KEY, "openai.api_key", "", secret "needed with the provider openai";
    OPENAI_WEBHOOK_SECRET, "openai.webhook_secret", "", secret
        "what OpenAI signs its webhooks with, whsec_…; unset: /hooks/openai takes none";
    OPENAI_BASE_URL, "openai.base_url", "https://api.openai.com/v1", "a compatible server instead of OpenAI";
    OPENAI_ORG_ID, "openai.org_id", "", "sent as OpenAI-Organization";
    OPENAI_PROJECT_ID, "openai.project_id", "", "sent as OpenAI-Project";
    LOG_LEVEL, "log.level", "warn", "log level, or a filter such as pipeline=debug,info";
    LOG_FORMAT, "log.format", "", "text or json; unset: text on a terminal, else json";
    OTEL_EXPORTER_OTLP_ENDPOINT, "otel.endpoint", "",
        "collector that traces are exported to over OTLP/HTTP, such as http://127.0.0.1:4318; unset: none are";
    OVERNIGHT_CLOCK_OFFSET, "clock_offset", "0s",
        "how far this process's clock runs ahead, such as +36h or -90m, for tests";
    OVERNIGHT_CRASH, "crash", "", "crash point to arm, for tests; builds for release have none";
    OVERNIGHT_CRASH_LOG, "crash_log", "", "file that crash points are written to as they are passed, for tests";
}
