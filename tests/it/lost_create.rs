//! A create that is lost on its way, or whose reply is: never repeated, always settled, paid once.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Child;

use testkit::{Loss, Overnight, Relay};

/// A gateway in a process of its own, as the provider.
struct Provider {
    home: Overnight,
    process: Child,
    address: SocketAddr,
}

impl Provider {
    fn start() -> Self {
        let home = crate::overnight().with("GATEWAY_ADDR", "127.0.0.1:0");
        let mut process = home.spawn(&["up", "--json"]);
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let up: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = up["gateway"].as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches("/v1").parse().unwrap();
        Self { home, process, address }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn client(relay: &Relay, unknown: &str) -> Overnight {
    crate::against(&relay.base_url()).with("BATCH_MAX_REQUESTS", "20").with("SUBMIT_UNKNOWN", unknown)
}

fn submit(overnight: &Overnight) -> testkit::Ran {
    overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &testkit::sample_issues()])
}

/// Whatever was lost: every request ran once, in batches of which no two are of one upload.
fn paid_once(provider: &Provider, batches: i64) {
    let ledger = provider.home.ledger();
    assert_eq!(ledger.number("SELECT count(*) FROM served_runs"), 36);
    assert_eq!(ledger.number("SELECT count(DISTINCT custom_id) FROM served_runs"), 36);
    assert_eq!(ledger.number("SELECT count(*) FROM served_batches"), batches);
}

#[test]
fn a_lost_reply_is_found_in_the_list() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Reply, 2);
    // Even where the policy is to park: what is found needs no person.
    let overnight = client(&relay, "park");
    let _ = submit(&overnight).exits(0);
    assert_eq!(relay.left(), 0);
    paid_once(&provider, 2);
    assert_eq!(overnight.database().number("SELECT count(*) FROM batches WHERE upload > 1"), 0);
}

#[test]
fn a_lost_request_is_fenced_and_sent_anew() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 1);
    let overnight = client(&relay, "fence");
    let _ = submit(&overnight).exits(0);
    assert_eq!(relay.left(), 0);
    paid_once(&provider, 2);
    // The input file of the lost one is gone, and the batch went out under a new name.
    assert_eq!(overnight.database().number("SELECT count(*) FROM batches WHERE upload = 2"), 1);
    assert_eq!(
        provider.home.ledger().number("SELECT count(*) FROM served_files WHERE deleted_at IS NOT NULL"),
        1
    );
}

#[test]
fn a_lost_request_waits_for_a_person_where_that_is_the_policy() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    let overnight = client(&relay, "park");
    let ran = submit(&overnight).exits(1);
    assert!(ran.stderr.contains("waits for a person"), "{}", ran.stderr);
    let job = overnight.only_job();
    assert_eq!(job["state"], "parked");
    let states = overnight.database().texts("SELECT DISTINCT state || ' ' || parked FROM batches");
    assert_eq!(states, ["parked create_unknown"]);
    assert_eq!(provider.home.ledger().number("SELECT count(*) FROM served_batches"), 0);
}

/// What a person says who has looked at the first upload of a batch.
fn not_created<'a>(job: &'a str, batch: &'a str) -> [&'a str; 8] {
    ["batch", "resolve", job, "not-created", "--batch", batch, "--upload", "1"]
}

#[test]
fn a_person_who_has_looked_may_end_what_was_cancelled() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    let overnight = client(&relay, "park");
    let _ = submit(&overnight).exits(1);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let details = overnight.run(&["batch", "details", &job]).exits(0).stdout;
    assert!(details.contains("batch 1 is parked (create_unknown)"), "{details}");
    assert!(details.contains(&format!("overnight batch resolve {job}")), "{details}");
    // A cancel can't end what nobody knows.
    let _ = overnight.run(&["batch", "cancel", &job]).exits(1);
    // Looking once more finds nothing: it waits again.
    let _ = overnight.run(&["batch", "resolve", &job, "try-again"]).exits(0);
    let _ = overnight.run(&["batch", "wait", &job]).exits(1);
    for batch in ["1", "2"] {
        let _ = overnight.run(&not_created(&job, batch)).exits(0);
    }
    let _ = overnight.run(&["batch", "wait", &job]).exits(5);
    assert_eq!(overnight.only_job()["state"], "cancelled");
    assert_eq!(provider.home.ledger().number("SELECT count(*) FROM served_batches"), 0);
    // There is nothing left to decide.
    let _ = overnight.run(&["batch", "resolve", &job, "give-up"]).exits(1);
}

#[test]
fn a_person_who_has_looked_may_send_it_anew() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    let overnight = client(&relay, "park");
    let _ = submit(&overnight).exits(1);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    // Which batch and which upload is not for the command to guess.
    let _ = overnight.run(&["batch", "resolve", &job, "not-created"]).exits(2);
    // By number, or by id as in the event.
    let second = overnight.database().texts("SELECT id FROM batches WHERE number = 2").remove(0);
    for batch in ["1", &second] {
        let _ = overnight.run(&not_created(&job, batch)).exits(0);
    }
    // The same word once more is about an upload that is over.
    let ran = overnight.run(&not_created(&job, "1")).exits(1);
    assert!(ran.stdout.contains("at upload 2: what was seen of upload 1 decides nothing"), "{}", ran.stdout);
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
    paid_once(&provider, 2);
    assert_eq!(overnight.database().number("SELECT count(*) FROM batches WHERE upload = 2"), 2);
}

#[test]
fn a_cancel_of_what_waits_for_a_person_says_so_and_fails() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    let overnight = client(&relay, "park");
    let _ = submit(&overnight).exits(1);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let ran = overnight.run(&["batch", "cancel", &job]).exits(1);
    for word in ["is not cancelled", "batch 1 is parked", "batch 2 is parked", "overnight batch details"] {
        assert!(ran.stderr.contains(word), "{word:?} is not in: {}", ran.stderr);
    }
    // It has heard of the cancel, and waits for the person with it.
    assert_eq!(overnight.database().number("SELECT count(*) FROM batches WHERE cancel"), 2);
}

#[test]
fn a_create_in_doubt_says_what_was_tried_what_happens_next_and_what_can_be_decided() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    let overnight = client(&relay, "park")
        .with("SUBMIT_SETTLE_MS", "600000")
        .with("HTTP_ADDR", "127.0.0.1:0")
        .with("ADMIN_ADDR", "127.0.0.1:0");
    let mut submitting =
        overnight.spawn(&["batch", "submit", "product-labeling", "--files", &testkit::sample_issues()]);
    testkit::until("the creates are lost", || relay.left() == 0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let details = || overnight.run(&["batch", "details", &job, "--json"]).exits(0).json();
    let unknown = |batch: &serde_json::Value| batch["state"] == "unknown" && batch["last_error"].is_null();
    testkit::until("both are in doubt", || details()["batches"].as_array().unwrap().iter().all(unknown));
    submitting.kill().unwrap();
    submitting.wait().unwrap();
    let batch = &details()["batches"][0];
    assert!(batch["tried"].as_str().unwrap().contains("its outcome is not known"), "{batch}");
    assert!(batch["next"]["what"].as_str().unwrap().contains("SUBMIT_UNKNOWN decides"), "{batch}");
    assert!(batch["next"]["at"].is_string(), "{batch}");
    let decide = format!("overnight batch resolve {job} RESOLUTION --batch 1 --upload 1");
    assert_eq!(batch["decide"]["command"], decide);
    assert!(crate::events::checked(&overnight).contains("dev.overnight.batch.unknown.v1"));
    // The API says the same.
    let api = crate::api::Up::of(&overnight, &["serve", "api"]);
    let there = crate::overnight().with("OVERNIGHT_URL", api.said["api"].as_str().unwrap());
    assert_eq!(&there.run(&["batch", "details", &job, "--json"]).exits(0).json()["batches"][0], batch);
    let text = there.run(&["batch", "details", &job]).exits(0).stdout;
    assert!(text.contains("batch 1 is unknown") && text.contains(&decide), "{text}");
}

#[test]
fn a_cancel_that_takes_long_says_how_it_goes_on() {
    let provider = Provider::start();
    let relay = Relay::start(provider.address, Loss::Request, 2);
    // Nobody knows for a long while what became of the create.
    let overnight = client(&relay, "park").with("SUBMIT_SETTLE_MS", "600000");
    let mut submitting =
        overnight.spawn(&["batch", "submit", "product-labeling", "--files", &testkit::sample_issues()]);
    testkit::until("the creates are lost", || relay.left() == 0);
    submitting.kill().unwrap();
    submitting.wait().unwrap();
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let ran = overnight.run(&["batch", "cancel", &job, "--timeout", "1s"]).exits(3);
    assert!(ran.stderr.contains(&format!("overnight batch wait {job}")), "{}", ran.stderr);
    // A second word waits on, and Ctrl-C ends the waiting.
    let mut cancelling = overnight.spawn(&["batch", "cancel", &job]);
    let mut line = String::new();
    BufReader::new(cancelling.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("cancelling"), "{line}");
    let interrupt = std::process::Command::new("kill").args(["-INT", &cancelling.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    assert_eq!(cancelling.wait().unwrap().code(), Some(130));
}
