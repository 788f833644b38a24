//! One trace leads from what asked for a job to the event that tells its end, over all processes and messages.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use testkit::{Collector, Fleet, Span, until};

const PATIENCE: Duration = Duration::from_secs(90);
/// What a job does on its way, and whom it calls.
const STEPS: [&str; 8] =
    ["accept", "plan", "submit", "provider.create", "poll", "provider.look", "collect", "settle"];

/// The spans of a trace, whose first one has no parent; each other one follows one of them.
fn tree(spans: &[Span], trace: &str) -> BTreeSet<String> {
    let of: BTreeMap<&str, &Span> =
        spans.iter().filter(|span| span.trace == trace).map(|span| (span.id.as_str(), span)).collect();
    let first: Vec<_> = of.values().filter(|span| !of.contains_key(span.parent.as_str())).collect();
    assert!(first.len() == 1 && first[0].parent.is_empty(), "not one beginning: {first:?}");
    of.values().map(|span| span.name.clone()).collect()
}

/// The answer to a request that stands in somebody's trace.
fn post(url: &str, path: &str, body: &str, traceparent: &str) -> serde_json::Value {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         traceparent: {traceparent}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap())
        .unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn has_all(names: &BTreeSet<String>) -> bool {
    STEPS.iter().all(|step| names.contains(*step))
}

#[test]
fn a_run_its_jobs_and_their_events_are_one_trace() {
    let collector = Collector::start();
    let overnight = crate::overnight().with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let _ = overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let database = overnight.database();
    let traces = database.texts("SELECT DISTINCT substr(trace, 4, 32) FROM events WHERE job_id IS NOT NULL");
    assert_eq!(traces.len(), 1, "a job has one trace: {traces:?}");
    let run = "SELECT DISTINCT substr(trace, 4, 32) FROM events WHERE type LIKE 'schedule.run.%'";
    assert_eq!(database.texts(run), traces, "a job of a run is in the run's trace");
    // The process has ended, so everything is exported.
    let spans = collector.spans();
    let names = tree(&spans, &traces[0]);
    assert!(names.contains("schedule.run") && names.contains("run") && has_all(&names), "{names:?}");
    let create = spans.iter().find(|span| span.name == "provider.create").unwrap();
    let batch = database.texts("SELECT provider_id FROM batches").remove(0);
    assert_eq!(create.attributes["provider.id"], batch);
    let submit = spans.iter().find(|span| span.id == create.parent).unwrap();
    assert_eq!(submit.name, "submit");
    assert_eq!(submit.attributes["job.id"], overnight.only_job()["job_id"].as_str().unwrap());
}

#[test]
fn a_fleet_hands_the_trace_of_a_request_on_to_the_events_at_the_broker() {
    const GIVEN: &str = "0af7651916cd43dd8448eb211c80319c";
    let collector = Collector::start();
    let home = crate::overnight()
        .with("BATCH_POLL_INTERVAL_MS", "200")
        .with("LOG_FORMAT", "json")
        .with("HTTP_ADDR", "127.0.0.1:0")
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut fleet = Fleet::new(home);
    for role in ["gateway", "submitter", "poller"] {
        fleet.start(role, role);
    }
    let api = fleet.start("api", "api")["api"].as_str().unwrap().to_owned();
    let wish = serde_json::json!({
        "processor": "product-labeling",
        "records": [{ "key": "a", "data": { "org": "o", "repo": "r", "issue": { "number": 1, "title": "t", "body": "b" } } }],
    });
    let traceparent = format!("00-{GIVEN}-b7ad6b7169203331-01");
    let answer = post(&api, "/api/batch/create", &wish.to_string(), &traceparent);
    let job = answer["job_id"].as_str().unwrap().to_owned();
    fleet.until("SELECT count(*) FROM batch_jobs WHERE state = 'completed'", 1, PATIENCE);
    fleet.until("SELECT count(*) FROM events WHERE published_at IS NULL", 0, PATIENCE);

    let events = fleet.take_events();
    let task = events.iter().find(|(event, _)| event["type"] == "dev.overnight.task.completed.v1").unwrap();
    assert_eq!(task.0["traceparent"], task.1.as_str(), "the envelope and the header say the same");
    assert_eq!(task.1.split('-').nth(1), Some(GIVEN));
    let here = || -> Vec<Span> { collector.spans().into_iter().filter(|span| span.trace == GIVEN).collect() };
    until("every step is exported", || has_all(&here().into_iter().map(|span| span.name).collect()));
    let accept = here().into_iter().find(|span| span.name == "accept").unwrap();
    assert_eq!(
        (accept.parent.as_str(), accept.id.as_str()),
        ("b7ad6b7169203331", task.1.split('-').nth(2).unwrap())
    );
    // A line of a log leads to the trace, and to the job.
    let log = fleet.log("poller");
    let line = log.lines().find(|line| line.contains("job ended")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["trace_id"], &line["job.id"]), (&GIVEN.into(), &job.into()));
}

#[test]
fn a_night_that_a_scheduler_of_a_fleet_begins_is_one_trace_to_the_events_at_the_broker() {
    let collector = Collector::start();
    let home = crate::fleet_night::at_noon()
        .with("BATCH_POLL_INTERVAL_MS", "200")
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut fleet = Fleet::new(home);
    let _ = fleet.home.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(0);
    crate::fleet_night::the_clock_strikes(&mut fleet);
    for role in ["gateway", "submitter", "poller", "scheduler"] {
        fleet.start(role, role);
    }
    fleet.until("SELECT count(*) FROM batch_jobs WHERE state = 'completed'", 1, PATIENCE);
    fleet.until("SELECT count(*) FROM events WHERE published_at IS NULL", 0, PATIENCE);
    let run = fleet.texts("SELECT replace(id::text, '-', '') FROM schedule_runs WHERE trigger = 'scheduled'");
    let events = fleet.take_events();
    let told = |word: &str| {
        let event = events.iter().find(|(event, _)| event["type"].as_str().unwrap().contains(word));
        event.unwrap_or_else(|| panic!("no {word} at the broker: {events:?}")).1.as_str()
    };
    let traces: BTreeSet<&str> =
        ["task.completed", "job.completed"].map(|word| told(word).split('-').nth(1).unwrap()).into();
    assert_eq!(traces, BTreeSet::from([run[0].as_str()]), "the trace is the run's");
    let of_the_run = "SELECT DISTINCT substr(trace, 4, 32) FROM events WHERE trace IS NOT NULL";
    assert_eq!(fleet.texts(of_the_run), run, "no event of the night is in another");
    let complete =
        |names: &BTreeSet<String>| names.contains("schedule.run") && names.contains("run") && has_all(names);
    let here = || collector.spans().into_iter().filter(|span| span.trace == run[0]).map(|span| span.name);
    until("every step is exported, by each process", || complete(&here().collect()));
    assert!(complete(&tree(&collector.spans(), &run[0])));
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_nobody_exports_unasked() {
    let issues = testkit::sample_issues();
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &issues];
    // A port that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let overnight = crate::overnight().with("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    let began = std::time::Instant::now();
    let _ = overnight.run(&submit).exits(0);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    let unasked = crate::overnight();
    let _ = unasked.run(&submit).exits(0);
    let database = unasked.database();
    let own = "SELECT count(*) FROM events e JOIN batch_jobs j ON j.id = e.job_id \
        WHERE substr(e.trace, 4, 32) = lower(replace(j.id, '-', ''))";
    assert_eq!(database.number(own), database.number("SELECT count(*) FROM events"));
}
