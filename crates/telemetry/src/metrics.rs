//! Metrics: their names, what they count, and the text that Prometheus reads. Base units; every label comes
//! from a closed list, so no id is ever one; schedules, which are few, are named.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests to the provider, by operation and status; `error` where there was no answer.
pub const PROVIDER_REQUESTS: &str = "overnight_provider_requests_total";
/// Seconds until the provider answered, by operation.
pub const PROVIDER_SECONDS: &str = "overnight_provider_request_duration_seconds";
/// Requests to the provider that were repeated, by operation.
pub const PROVIDER_RETRIES: &str = "overnight_provider_retries_total";
/// Messages taken from the queue, by lane and what became of them.
pub const MESSAGES_CONSUMED: &str = "overnight_messages_consumed_total";
/// Seconds from the claim to the end of a message's work, by lane.
pub const MESSAGE_SECONDS: &str = "overnight_message_process_duration_seconds";
/// Messages given to the queue, by exchange and outcome.
pub const MESSAGES_PUBLISHED: &str = "overnight_messages_published_total";
/// Orders handled, by lane and outcome.
pub const ORDERS_HANDLED: &str = "overnight_orders_handled_total";
/// Batches created, by endpoint.
pub const BATCHES_CREATED: &str = "overnight_provider_batches_created_total";
/// Batches that ended, by the provider's status.
pub const BATCHES_FINISHED: &str = "overnight_provider_batches_finished_total";
/// Events published, by type and outcome.
pub const EVENTS_PUBLISHED: &str = "overnight_events_published_total";
/// Answers that don't add up with the requests, by kind.
pub const DISCREPANCIES: &str = "overnight_reconcile_discrepancies_total";
/// Jobs that ended, by kind and outcome.
pub const JOBS_FINISHED: &str = "overnight_jobs_finished_total";
/// Unix time of a schedule's next night; 0: it is switched off. From the database.
pub const SCHEDULE_NEXT: &str = "overnight_schedule_next_run_timestamp_seconds";
/// Unix time at which a run of a schedule was last finished; 0: none was. From the database.
pub const SCHEDULE_LAST_SUCCESS: &str = "overnight_schedule_last_success_timestamp_seconds";
/// Whether a schedule is paused; from the database.
pub const SCHEDULE_PAUSED: &str = "overnight_schedule_paused";
/// Jobs that have not ended, by state; from the database.
pub const JOBS: &str = "overnight_jobs";
/// Batches that have not ended, by state; from the database.
pub const BATCHES: &str = "overnight_batches";
/// Batches that wait for a person, by reason; from the database.
pub const BATCHES_PARKED: &str = "overnight_batches_parked";
/// Events that wait to be published; from the database.
pub const EVENTS_PENDING: &str = "overnight_events_pending";
/// Unix time of the oldest event that waits; 0: none waits.
pub const EVENTS_OLDEST: &str = "overnight_events_oldest_timestamp_seconds";
/// Unix time at which the most overdue poll was due; 0: none is due.
pub const POLL_OLDEST_DUE: &str = "overnight_poll_oldest_due_timestamp_seconds";
/// Unix time at which the first open batch expires; 0: none is open.
pub const NEXT_EXPIRY: &str = "overnight_provider_batch_next_expiry_timestamp_seconds";
/// Nights and runs of a schedule that are over, by outcome: ok, skipped_paused, missed. From the database.
pub const SCHEDULE_RUNS: &str = "overnight_schedule_runs_total";
/// Messages that wait in a queue, held by nobody: dead, inbox, agent. From the broker; NaN: it doesn't tell.
pub const QUEUE_MESSAGES: &str = "overnight_queue_messages";
/// Connections to the broker that were rebuilt, by role.
pub const AMQP_RECONNECTS: &str = "overnight_amqp_reconnects_total";
/// Seconds until the answer to a request of the API began, by method, route and status.
pub const HTTP_SECONDS: &str = "http_server_request_duration_seconds";
/// Whether the broker is connected.
pub const AMQP_CONNECTED: &str = "overnight_amqp_connected";
/// 1; the labels say which build runs in which role.
pub const BUILD_INFO: &str = "overnight_build_info";

/// Seconds: from a quick answer to a hanging one.
const CALL_BUCKETS: [f64; 8] = [0.05, 0.2, 0.5, 1.0, 5.0, 20.0, 60.0, 120.0];
/// Seconds: from a row that is read to the longest that a request may take.
const ANSWER_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 20.0, 60.0];
/// Seconds: from a look at a batch to the reading of 200 MB.
const WORK_BUCKETS: [f64; 8] = [0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0, 1_800.0];

/// What has been counted so far.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Counts from now on.
    ///
    /// # Errors
    /// A process that counts already.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(PROVIDER_SECONDS.to_owned()), &CALL_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(HTTP_SECONDS.to_owned()), &ANSWER_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(MESSAGE_SECONDS.to_owned()), &WORK_BUCKETS)?
            .install_recorder()?;
        describe();
        Ok(Self(handle))
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

fn describe() {
    describe_counter!(PROVIDER_REQUESTS, "requests to the provider, by operation and status");
    describe_histogram!(PROVIDER_SECONDS, Unit::Seconds, "time until the provider answered");
    describe_counter!(PROVIDER_RETRIES, "requests to the provider that were repeated");
    describe_counter!(MESSAGES_CONSUMED, "messages taken from the queue, by lane and outcome");
    describe_histogram!(MESSAGE_SECONDS, Unit::Seconds, "time from the claim to the end of a message's work");
    describe_counter!(MESSAGES_PUBLISHED, "messages given to the queue, by exchange and outcome");
    describe_counter!(ORDERS_HANDLED, "orders handled, by lane and outcome");
    describe_counter!(BATCHES_CREATED, "provider batches created, by endpoint");
    describe_counter!(BATCHES_FINISHED, "provider batches that ended, by the provider's status");
    describe_counter!(EVENTS_PUBLISHED, "events published, by type and outcome");
    describe_counter!(DISCREPANCIES, "answers that don't add up with the requests, by kind");
    describe_counter!(JOBS_FINISHED, "jobs that ended, by kind and outcome");
    describe_gauge!(SCHEDULE_NEXT, Unit::Seconds, "when the schedule's next night is; 0: it is switched off");
    describe_gauge!(SCHEDULE_LAST_SUCCESS, Unit::Seconds, "when a run was last finished; 0: none was");
    describe_gauge!(SCHEDULE_PAUSED, "whether the schedule is paused");
    describe_gauge!(JOBS, "jobs that have not ended, by state");
    describe_gauge!(BATCHES, "batches that have not ended, by state");
    describe_gauge!(BATCHES_PARKED, "batches that wait for a person, by reason");
    describe_gauge!(EVENTS_PENDING, "events that wait to be published");
    describe_gauge!(
        EVENTS_OLDEST,
        Unit::Seconds,
        "when the oldest event that waits was written; 0: none waits"
    );
    describe_gauge!(POLL_OLDEST_DUE, Unit::Seconds, "when the most overdue poll was due; 0: none is due");
    describe_gauge!(NEXT_EXPIRY, Unit::Seconds, "when the first open batch expires; 0: none is open");
    describe_counter!(SCHEDULE_RUNS, "nights and runs of a schedule that are over, by outcome");
    describe_gauge!(QUEUE_MESSAGES, "messages that wait in a queue; NaN: the broker doesn't tell");
    describe_counter!(AMQP_RECONNECTS, "connections to the broker that were rebuilt");
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "time until the answer to a request began");
    describe_gauge!(AMQP_CONNECTED, "whether the broker is connected");
    describe_gauge!(BUILD_INFO, "1; the labels say which build runs in which role");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_documents_list_every_metric_and_no_other() {
        let between =
            |text: &'static str, start: &'static str, end: &'static str| -> BTreeSet<&'static str> {
                text.lines()
                    .filter_map(|line| line.strip_prefix(start)?.split_once(end))
                    .map(|(name, _)| name)
                    .collect()
            };
        let named: BTreeSet<&str> = include_str!("metrics.rs")
            .lines()
            .filter(|line| line.starts_with("pub const "))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        let docs = include_str!("../../../docs/fleet.md");
        let listed: BTreeSet<&str> =
            between(docs, "| `overnight_", "`").into_iter().chain(between(docs, "| `http_", "`")).collect();
        let of = |name: &&str| name.trim_start_matches("overnight_").trim_start_matches("http_").to_owned();
        let named: BTreeSet<String> = named.iter().map(of).collect();
        assert_eq!(
            named,
            listed.into_iter().map(str::to_owned).collect(),
            "left: named here; right: in docs/fleet.md"
        );
    }
}
