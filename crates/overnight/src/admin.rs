//! The port of a role that no user sees: whether it lives, whether it can work, and what it has counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::{Parked, Time};
use queue::Queue;
use sha2::{Digest as _, Sha256};
use store::{Gauges, Store};
use telemetry::metrics::{self as names, Metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Role;
use crate::exit::{Exit, Trouble};

/// How long the broker may take to count its messages; a scrape waits no longer for what it may miss.
const COUNTING: Duration = Duration::from_secs(3);

/// What the port tells.
pub(crate) struct Admin {
    pub(crate) role: Role,
    pub(crate) database: Database,
    /// The broker; none: the role has nothing to do with it.
    pub(crate) queue: Option<Queue>,
    pub(crate) metrics: Metrics,
    /// The database that this role exports gauges of; none: it exports what it has counted.
    pub(crate) gauges: Option<Store>,
    /// What /metrics demands; none: anybody on this machine may read.
    pub(crate) token: Option<String>,
}

/// The database that a role can't work without.
pub(crate) enum Database {
    /// The one that all share.
    Shared(Store),
    /// The gateway's own.
    Served(gateway::Health),
}

impl Database {
    async fn check(&self) -> Result<(), String> {
        match self {
            Self::Shared(store) => store.ping().await.map_err(|error| error.to_string()),
            Self::Served(health) => health.check().await.map_err(|error| error.to_string()),
        }
    }
}

impl Admin {
    /// Serves until `stop`; answers the address that it got.
    pub(crate) async fn serve(
        self,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> Result<SocketAddr, Trouble> {
        let taken = |error: std::io::Error| {
            Trouble::new(Exit::Config, format!("can't listen on {address}"))
                .why(error.to_string())
                .fix("choose another ADMIN_ADDR; port 0 takes any")
        };
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let bound = listener.local_addr().map_err(taken)?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .with_state(Arc::new(self));
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(error = %error, "the admin port is closed");
            }
        });
        Ok(bound)
    }
}

impl Admin {
    /// Hashes are compared, so that the time that it takes tells nothing of the token.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        Sha256::digest(given) == Sha256::digest(token)
    }
}

/// Each thing that the role needs, a line each.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let mut checks = vec![("database", admin.database.check().await)];
    checks.extend(admin.queue.as_ref().map(|queue| ("broker", broker(queue))));
    let lines = checks.iter().map(|(name, check)| match check {
        Ok(()) => format!("ok {name}\n"),
        Err(why) => format!("failed {name}: {why}\n"),
    });
    let all = checks.iter().all(|(_, check)| check.is_ok());
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, lines.collect::<String>()).into_response()
}

fn broker(queue: &Queue) -> Result<(), String> {
    let health = queue.health();
    for line in [Some(health.publish), health.work, health.inbox].into_iter().flatten() {
        if !line.is_up() {
            let why = line.last_error.unwrap_or_else(|| "not connected".to_owned());
            return Err(format!("{why} (for {} s)", line.since.elapsed().as_secs()));
        }
    }
    Ok(())
}

async fn scrape(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if !admin.admits(&headers) {
        return (StatusCode::UNAUTHORIZED, "a bearer token is needed: ADMIN_TOKEN\n").into_response();
    }
    if let Some(queue) = &admin.queue {
        metrics::gauge!(names::AMQP_CONNECTED).set(if broker(queue).is_ok() { 1.0 } else { 0.0 });
        metrics::counter!(names::AMQP_RECONNECTS, "role" => admin.role.as_str())
            .absolute(queue.health().rebuilt());
        if admin.gauges.is_some() {
            count_messages(queue).await;
        }
    }
    if let Some(store) = &admin.gauges {
        match store.gauges().await {
            Ok(gauges) => export(&gauges),
            Err(error) => {
                return (StatusCode::SERVICE_UNAVAILABLE, format!("no gauges: {error}\n")).into_response();
            }
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render()).into_response()
}

/// What waits for outsiders and for people. Where the broker doesn't tell, nobody knows, and 0 would be a lie; that it
/// is away is told by its own gauge.
async fn count_messages(queue: &Queue) {
    let found = tokio::time::timeout(COUNTING, queue.waiting()).await;
    let found = found.ok().and_then(Result::ok).unwrap_or_default();
    for name in OUTSIDE {
        let count =
            found.iter().find(|(there, _)| *there == name).map_or(f64::NAN, |(_, count)| f64::from(*count));
        metrics::gauge!(names::QUEUE_MESSAGES, "queue" => name).set(count);
    }
}

fn export(gauges: &Gauges) {
    for (name, label, found, all) in [
        (names::JOBS, "state", &gauges.jobs, JOB_STATES),
        (names::BATCHES, "state", &gauges.batches, BATCH_STATES),
        (names::BATCHES_PARKED, "reason", &gauges.parked, Parked::REASONS),
    ] {
        for word in all {
            let count = found.iter().find(|(there, _)| there == word).map_or(0, |(_, count)| *count);
            set(&metrics::gauge!(name, label => *word), count);
        }
    }
    let gauge = |name, value| set(&metrics::gauge!(name), value);
    gauge(names::EVENTS_PENDING, gauges.events.0);
    let unix = |time: Option<Time>| time.map_or(0, |time| time.timestamp().unsigned_abs());
    gauge(names::EVENTS_OLDEST, unix(gauges.events.1));
    gauge(names::POLL_OLDEST_DUE, unix(gauges.poll_oldest_due));
    gauge(names::NEXT_EXPIRY, unix(gauges.next_expiry));
    for schedule in &gauges.schedules {
        for (name, value) in [
            (names::SCHEDULE_NEXT, unix(schedule.next)),
            (names::SCHEDULE_LAST_SUCCESS, unix(schedule.last_success)),
            (names::SCHEDULE_PAUSED, u64::from(schedule.paused)),
        ] {
            set(&metrics::gauge!(name, "schedule" => schedule.name.clone()), value);
        }
        for (outcome, count) in
            [("ok", schedule.finished), ("skipped_paused", schedule.skipped), ("missed", schedule.missed)]
        {
            metrics::counter!(names::SCHEDULE_RUNS, "schedule" => schedule.name.clone(), "outcome" => outcome)
                .absolute(count);
        }
    }
}

/// The queues that outsiders write or read, and that of the dead letters.
const OUTSIDE: [&str; 3] = ["dead", "inbox", "agent"];

/// States that are not ends, so that a series is there before its first job and falls back to 0.
const JOB_STATES: &[&str] = &["held", "queued", "active", "cancelling"];
const BATCH_STATES: &[&str] =
    &["filling", "planned", "creating", "unknown", "fencing", "fenced", "open", "collecting", "parked"];

#[expect(clippy::cast_precision_loss, reason = "a count or a Unix time, far below 2^52")]
fn set(gauge: &metrics::Gauge, value: u64) {
    gauge.set(value as f64);
}
