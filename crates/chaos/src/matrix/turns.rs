//! Turns that a quiet night doesn't take: what people say, what comes back older or twice, what fails again and again.
//! Each is killed before and behind the step that it is about, and the night goes on.

use std::time::Duration;

use crash::{Point, Step};
use liar::{Act, Entry, Fate, Liar, LineFault, Op, Reply, Rule, Settings};
use serde_json::json;

use super::outages::{held, restored, until_some_are_open};
use crate::api;
use crate::evidence::Finding;
use crate::laptop::{LEFT, Laptop, UNPARKED, Waited};
use crate::scenario::{Outcome, Scenario};
use crate::site::{Site, TASKS, write_records};
use crate::troop::{ROLES, Troop};

const LAPTOP: &str = "turn and crash point, sqlite";
const TROOP: &str = "turn and crash point, postgres and rabbitmq";
/// Longest until a turn has come.
const SOON: Duration = Duration::from_secs(60);
/// 0 once all batches are at the provider.
const ALL_OUT: &str = "SELECT 6 - count(*) FROM batches WHERE state = 'open'";

/// A turn, and the steps that it takes.
struct Turn {
    name: &'static str,
    steps: &'static [Step],
    run: fn(&Site, &str) -> Outcome,
}

/// On a laptop.
const ON_A_LAPTOP: [Turn; 23] = [
    Turn { name: "more tasks are loaded", steps: &[Step::LoadRecords, Step::AddBacklog], run: loaded },
    Turn { name: "a token is made", steps: &[Step::AddToken], run: token_made },
    Turn { name: "a token is taken back", steps: &[Step::RevokeToken], run: token_revoked },
    Turn { name: "a token is used", steps: &[Step::TouchToken], run: token_used },
    Turn { name: "the provider says that a batch has ended", steps: &[Step::Nudge], run: nudged },
    Turn { name: "the database gets another tag", steps: &[Step::RotateInstance], run: rotated },
    Turn { name: "the provider is probed", steps: &[Step::AddProbe], run: probed },
    Turn { name: "a person decides", steps: &[Step::Resolve], run: resolved },
    Turn { name: "a person calls a job off", steps: &[Step::Cancel], run: called_off },
    Turn { name: "batches are called off", steps: &[Step::ProviderCancel], run: batches_called_off },
    Turn { name: "tasks in no batch are called off", steps: &[Step::CancelUnplanned], run: tasks_called_off },
    Turn { name: "the batch API is switched on", steps: &[Step::SwitchOn], run: switched_on },
    Turn { name: "an older backup is audited", steps: &[Step::Audit], run: audited },
    Turn { name: "a batch of an older backup is found late", steps: &[Step::Adopt], run: adopted },
    Turn { name: "the time for a create is over", steps: &[Step::Deadline], run: over },
    Turn { name: "the provider has a second batch", steps: &[Step::Spare], run: spare },
    Turn { name: "uploads are refused", steps: &[Step::Upload], run: refused },
    Turn { name: "collecting fails, and fails again", steps: &[Step::GiveBack, Step::NoteBatch], run: fails },
    Turn { name: "planning fails, and fails again", steps: &[Step::NoteJob], run: plans_fail },
    Turn { name: "collecting fails until nobody tries again", steps: &[Step::GaveUp], run: gave_up },
    Turn { name: "a run fails", steps: &[Step::FailRun], run: run_fails },
    Turn { name: "looks are too many", steps: &[Step::Rest], run: too_many },
    Turn { name: "work takes long", steps: &[Step::Renew, Step::RenewRun], run: takes_long },
];
/// In a troop.
const IN_A_TROOP: [Turn; 3] = [
    Turn { name: "a command is a job", steps: &[Step::LetterAccept], run: command },
    Turn {
        name: "a command is refused",
        steps: &[Step::SayOfCommand, Step::LetterRefuse],
        run: refused_command,
    },
    Turn { name: "the queue of events goes", steps: &[Step::PublishAgain, Step::QueueKeep], run: queue_goes },
];

/// On a laptop.
#[must_use]
pub fn laptop() -> Vec<Scenario> {
    // A lease that a commit left alone ends behind what gives an order back.
    scenarios(LAPTOP, &ON_A_LAPTOP)
        .chain(of(LAPTOP, "an order is given back", Step::Unlease, fails))
        .collect()
}

/// In a troop.
#[must_use]
pub fn troop() -> Vec<Scenario> {
    scenarios(TROOP, &IN_A_TROOP).collect()
}

fn scenarios(group: &'static str, turns: &'static [Turn]) -> impl Iterator<Item = Scenario> {
    turns
        .iter()
        .flat_map(move |turn| turn.steps.iter().flat_map(move |step| of(group, turn.name, *step, turn.run)))
}

fn of(
    group: &'static str,
    name: &'static str,
    step: Step,
    run: fn(&Site, &str) -> Outcome,
) -> impl Iterator<Item = Scenario> {
    let points = Point::ALL.iter().filter(move |point| point.step == step);
    points.map(move |point| {
        let wish = format!("{point}:1");
        Scenario::new(group, format!("{name}, killed at {point}"), move |site| {
            let mut outcome = run(site, &wish);
            // A point that nobody came by has shown nothing.
            if outcome.hit.is_empty() {
                outcome.findings.push(Finding::new("I3", format!("no process came by {wish}")));
            }
            outcome
        })
    })
}

fn evening(site: &Site) -> Laptop {
    let mut laptop = Laptop::evening(site);
    laptop.expected.spare_looks = 4;
    laptop
}

/// The night itself, once the turn has come.
fn night(mut laptop: Laptop) -> Outcome {
    laptop.start_schedule_run(None);
    let _ = laptop.wait(None);
    laptop.finish()
}

/// A night that is armed from its beginning.
fn armed_night(mut laptop: Laptop, wish: &str) -> Outcome {
    laptop.start_schedule_run(Some(wish));
    if laptop.wait(Some(wish)) == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// Whether the step that a process died at is done.
fn is_done(wish: &str) -> bool {
    wish.contains(".after")
}

fn loaded(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let records = write_records(laptop.home.folder(), "later", TASKS);
    let load = ["load", records.as_str(), "--backlog", "planner"];
    laptop.dies(&load, wish);
    let _ = laptop.home.run(&load).exits(0);
    laptop.expected.tasks += TASKS;
    night(laptop)
}

const MAKE: [&str; 5] = ["token", "add", "ci", "--role", "operator"];
const TOKENS: &str = "SELECT count(*) FROM api_tokens";

fn token_made(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.dies(&MAKE, wish);
    assert_eq!(laptop.number(TOKENS) == 1, is_done(wish), "a token is there once it is made");
    let _ = laptop.home.run(&MAKE).exits(if is_done(wish) { 1 } else { 0 });
    night(laptop)
}

fn token_revoked(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let _ = laptop.home.run(&MAKE).exits(0);
    let revoke = ["token", "revoke", "ci"];
    laptop.dies(&revoke, wish);
    assert_eq!(laptop.number(TOKENS) == 0, is_done(wish), "a token is gone once it is taken back");
    let _ = laptop.home.run(&revoke).exits(if is_done(wish) { 1 } else { 0 });
    night(laptop)
}

fn token_used(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let token = laptop.home.run(&MAKE).exits(0).stdout;
    let list = |api: &api::Api| api.client(&laptop.home, token.trim()).run(&["batch", "list"]);
    let mut api = api::Api::start(&laptop.home, Some(wish));
    let lost = list(&api);
    assert_ne!(lost.code, Some(0), "the server is gone");
    let died = api.died();
    let api = api::Api::start(&laptop.home, None);
    let _ = list(&api).exits(0);
    drop(api);
    assert!(died, "the server ended at {wish}");
    laptop.struck(wish);
    night(laptop)
}

/// A webhook makes a look due; the server dies of it, and is told again.
fn nudged(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.home.set("OPENAI_WEBHOOK_SECRET", api::SECRET);
    laptop.liar.set(&held());
    laptop.up(None);
    let mut strike =
        laptop.home.spawn(&["schedule", "pause", "overnight", "--reason", "the night is begun by hand"]);
    let _ = strike.wait();
    laptop.stop();
    laptop.start_schedule_run(None);
    let _ = laptop.wait_until(None, SOON, ALL_OUT);
    let batch = laptop.home.database().texts("SELECT provider_id FROM batches ORDER BY id LIMIT 1").remove(0);
    let mut api = api::Api::start(&laptop.home, Some(wish));
    assert_eq!(api.say_ended(&batch), None, "the server is gone");
    let died = api.died();
    assert!(died, "the server ended at {wish}");
    laptop.struck(wish);
    let api = api::Api::start(&laptop.home, None);
    assert_eq!(api.say_ended(&batch), Some(204));
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    let _ = laptop.wait(None);
    drop(api);
    laptop.finish()
}

fn rotated(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let tag = |laptop: &Laptop| laptop.home.run(&["instance", "show"]).exits(0).stdout;
    let before = tag(&laptop);
    laptop.dies(&["instance", "rotate"], wish);
    assert_eq!(tag(&laptop) != before, is_done(wish), "the tag is another one once it is done");
    let _ = laptop.home.run(&["instance", "rotate"]).exits(0);
    night(laptop)
}

/// A provider of the probe's own, so that the night's ledger is the night's.
fn probed(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let other = Liar::start(&laptop.home.folder().join("probed"));
    other.set(&held());
    let (ours, probe) = (laptop.liar.base_url(), ["probe", "--yes", "--timeout", "2s"]);
    laptop.home.set("OPENAI_BASE_URL", &other.base_url());
    laptop.dies(&probe, wish);
    assert_eq!(
        laptop.number("SELECT count(*) FROM probes") == 1,
        is_done(wish),
        "what was found is kept once"
    );
    laptop.home.set("OPENAI_BASE_URL", &ours);
    night(laptop)
}

/// A create is lost and parked, and a person who knows has it tried again.
fn resolved(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.home.set("SUBMIT_UNKNOWN", "park");
    laptop.liar.tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
    laptop.start_schedule_run(None);
    let _ = laptop.wait_until(None, SOON, UNPARKED);
    laptop.kill();
    let parked = "SELECT job_id FROM batches WHERE state = 'parked'";
    let job = laptop.home.database().texts(parked).remove(0);
    let number = laptop.number("SELECT number FROM batches WHERE state = 'parked'").to_string();
    let resolve = ["batch", "resolve", &job, "not-created", "--batch", &number, "--upload", "1"];
    laptop.dies(&resolve, wish);
    assert_eq!(
        laptop.home.database().texts(parked).is_empty(),
        is_done(wish),
        "it is decided once it is done"
    );
    if !is_done(wish) {
        let _ = laptop.home.run(&resolve).exits(0);
    }
    laptop.go_on(None);
    laptop.finish()
}

/// The first job, with all batches at the provider.
fn all_out(site: &Site, wish: Option<&str>) -> (Laptop, String) {
    let mut laptop = evening(site);
    laptop.expected.all_succeed = false;
    laptop.liar.set(&held());
    laptop.start_schedule_run(wish);
    let _ = laptop.wait_until(wish, SOON, ALL_OUT);
    let job = laptop.home.database().texts("SELECT id FROM batch_jobs ORDER BY id LIMIT 1").remove(0);
    (laptop, job)
}

fn called_off(site: &Site, wish: &str) -> Outcome {
    let (mut laptop, job) = all_out(site, None);
    let cancel = ["batch", "cancel", &job];
    laptop.dies(&cancel, wish);
    let _ = laptop.home.run(&cancel).exits(0);
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    laptop.finish()
}

fn batches_called_off(site: &Site, wish: &str) -> Outcome {
    let (mut laptop, job) = all_out(site, Some(wish));
    let cancel = laptop.home.spawn(&["batch", "cancel", &job]);
    let waited = laptop.wait_until(Some(wish), SOON, LEFT);
    reap(cancel);
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    if waited == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// The plan is slow, and meanwhile somebody calls the job off.
fn tasks_called_off(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.expected.all_succeed = false;
    let wish = format!("store.plan.before:1:sleep:3000,{wish}");
    laptop.start_schedule_run(Some(&wish));
    let _ = laptop.wait_until(
        Some(&wish),
        SOON,
        "SELECT 1 - min(count(*), 1) FROM batch_jobs WHERE state = 'active'",
    );
    let jobs = laptop.home.database().texts("SELECT id FROM batch_jobs ORDER BY id");
    let cancels: Vec<_> = jobs.iter().map(|job| laptop.home.spawn(&["batch", "cancel", job])).collect();
    let waited = laptop.wait_until(Some(&wish), SOON, LEFT);
    cancels.into_iter().for_each(reap);
    if waited == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// A command that waits for what a scenario has ended otherwise.
fn reap(mut command: std::process::Child) {
    let _ = command.kill();
    let _ = command.wait();
}

fn switched_on(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.home.set("ENABLE_BATCH_API", "false");
    laptop.start_schedule_run(None);
    let _ = laptop.wait_until(None, SOON, "SELECT 3 - count(*) FROM batch_jobs WHERE state = 'held'");
    laptop.kill();
    laptop.home.set("ENABLE_BATCH_API", "true");
    laptop.go_on(Some(wish));
    if laptop.wait(Some(wish)) == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

fn audited(site: &Site, wish: &str) -> Outcome {
    let mut laptop = restored(evening(site), &held());
    laptop.go_on(Some(wish));
    let waited = laptop.wait_until(Some(wish), SOON, ALL_OUT);
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    if waited == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// The list is behind: the audit finds nothing, and the look for the file's batch does.
fn adopted(site: &Site, wish: &str) -> Outcome {
    let mut laptop = restored(evening(site), &held());
    laptop.liar.set(&Settings { lag_ms: 600_000, ..held() });
    // Between the audit and the look for files there is time for the list to come up to date.
    let wish =
        format!("provider.list_files.before:1:sleep:3000,provider.list_files.before:2:sleep:3000,{wish}");
    let log = laptop.home.folder().join("passed");
    laptop.home.set("OVERNIGHT_CRASH_LOG", log.to_str().expect("a path of text"));
    laptop.go_on(Some(&wish));
    assert!(laptop.wait_for_pass(&log, "provider.list_batches.after", SOON), "the list is audited");
    laptop.liar.set(&held());
    let waited = laptop.wait_until(Some(&wish), SOON, ALL_OUT);
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    if waited == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// Whoever had the create died with it; the next process waits until its time is over.
fn over(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    let create = "provider.create.before:1";
    laptop.start_schedule_run(Some(create));
    let _ = laptop.wait(Some(create));
    laptop.go_on(Some(wish));
    if laptop.wait(Some(wish)) == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

/// A proxy sends a create twice, and its reply is lost: one of the two batches is asked to stop.
fn spare(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.expected.doubled = true;
    laptop.home.set("SUBMIT_SETTLE_MS", "6000");
    laptop.liar.set(&Settings { lag_ms: 1_500, ..held() });
    laptop.liar.tell(Rule::of(Op::Create).act(Act::Twice).reply(Reply::Drop));
    laptop.start_schedule_run(Some(wish));
    let waited = laptop.wait_until(Some(wish), SOON, ALL_OUT);
    if waited == Waited::Gone {
        laptop.go_on(None);
        let _ = laptop.wait_until(None, SOON, ALL_OUT);
    }
    let cancelled =
        || laptop.liar.ledger().iter().any(|entry| matches!(entry, Entry::Request { op: Op::Cancel, .. }));
    testkit::until("the second batch is asked to stop", cancelled);
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    laptop.finish()
}

fn refused(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.expected.all_succeed = false;
    laptop.liar.tell(Rule::of(Op::Upload).times(2).refused(400, "invalid_file"));
    armed_night(laptop, wish)
}

fn fails(site: &Site, wish: &str) -> Outcome {
    let fails = "store.settle_lines.before:1:error,store.settle_lines.before:2:error,store.settle_lines.before:3:error,\
                 store.settle_lines.before:4:error,store.settle_lines.before:5:error,store.settle_lines.before:6:error,\
                 store.settle_lines.before:7:error";
    armed_night(evening(site), &format!("{fails},{wish}"))
}

fn plans_fail(site: &Site, wish: &str) -> Outcome {
    let fails = "store.plan.before:1:error,store.plan.before:2:error,store.plan.before:3:error,store.plan.before:4:error";
    armed_night(evening(site), &format!("{fails},{wish}"))
}

/// Collecting has failed seven times, as the database says; the next failure gives the batch into a person's hands.
fn gave_up(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.expected.parked.insert("gave_up");
    let collect = "store.settle_lines.before:1";
    laptop.start_schedule_run(Some(collect));
    let _ = laptop.wait(Some(collect));
    laptop.home.database().run("UPDATE orders SET failures = 7 WHERE lane = 'collect'");
    let wish = format!("{collect}:error,{wish}");
    laptop.go_on(Some(&wish));
    let _ = laptop.wait_until(Some(&wish), SOON, UNPARKED);
    laptop.go_on(None);
    let _ = laptop.wait_until(None, SOON, UNPARKED);
    laptop.stop();
    let parked = laptop.home.database().texts("SELECT job_id FROM batches WHERE state = 'parked'");
    for job in parked {
        let _ = laptop.home.run(&["batch", "resolve", &job, "try-again"]).exits(0);
    }
    laptop.go_on(None);
    laptop.finish()
}

fn run_fails(site: &Site, wish: &str) -> Outcome {
    armed_night(evening(site), &format!("store.accept.before:1:error,{wish}"))
}

/// A run and an order take longer than their claims last, unless they are renewed.
/// The provider has had too many looks: they rest, and go on.
fn too_many(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.liar.set(&held());
    laptop.start_schedule_run(Some(wish));
    let _ = laptop.wait_until(Some(wish), SOON, ALL_OUT);
    for op in [Op::GetBatch, Op::ListBatches] {
        laptop.liar.tell(Rule::of(op).times(2).refused(429, "rate_limit_exceeded"));
    }
    laptop.liar.set(&Settings { run_held: true, ..Settings::default() });
    if laptop.wait(Some(wish)) == Waited::Gone {
        laptop.go_on(None);
    }
    laptop.finish()
}

fn takes_long(site: &Site, wish: &str) -> Outcome {
    let mut laptop = evening(site);
    laptop.home.set("CLAIM_LEASE_MS", "1000");
    let slow = if wish.contains("renew_run") {
        "store.accept.before:1:sleep:16500"
    } else {
        "provider.upload.before:1:sleep:2500"
    };
    armed_night(laptop, &format!("{slow},{wish}"))
}

/// A troop whose role `scheduler` is armed.
fn armed_scheduler(site: &Site, wish: &str) -> Troop {
    let mut troop = Troop::evening(site);
    for role in ROLES {
        let armed = (role == "scheduler").then_some(("OVERNIGHT_CRASH", wish));
        troop.start(role, role, armed.as_slice());
    }
    troop
}

fn reprocess(job: &str) -> Vec<u8> {
    let event = json!({ "specversion": "1.0", "id": "1", "source": "urn:chaos",
        "type": "dev.overnight.command.reprocess_failed.v1", "data": { "reprocess_failed": { "job": job } } });
    event.to_string().into_bytes()
}

/// A command takes up what has failed: it is one job, however often it comes.
fn command(site: &Site, wish: &str) -> Outcome {
    let mut troop = armed_scheduler(site, wish);
    troop.expected.all_succeed = false;
    let fate = Fate { lines: vec![(1, LineFault::Http(400))], ..Fate::default() };
    troop.liar.tell(Rule::of(Op::Create).fate(fate));
    troop.strike();
    let _ = troop.wait();
    let failed = "SELECT batch_job_id::text FROM batch_job_tasks WHERE status = 'failed'";
    let job = troop.fleet.texts(failed).remove(0);
    troop.fleet.send_command(&reprocess(&job), "application/cloudevents+json", &[]);
    troop.expected.tasks += 1;
    wait_for_hit(&mut troop);
    let _ = troop.wait_until(SOON, "SELECT 1 - count(*) FROM batch_jobs WHERE kind = 'reprocess_failed'");
    troop.finish()
}

/// A command that can't be carried out is told of, and lies in the dead letters.
fn refused_command(site: &Site, wish: &str) -> Outcome {
    let mut troop = armed_scheduler(site, wish);
    let body = reprocess("0000");
    troop.fleet.send_command(&body, "application/cloudevents+json", &[]);
    troop.expected.poison = vec![body];
    wait_for_hit(&mut troop);
    troop.strike();
    troop.finish()
}

/// The queue of the agent runner is deleted with what it holds: it is made anew, and all is said again.
fn queue_goes(site: &Site, wish: &str) -> Outcome {
    let mut troop = Troop::evening(site);
    troop.expected.spare_looks = 8;
    troop.muster(Some(wish));
    troop.strike();
    until_some_are_open(&mut troop);
    troop.listen();
    troop.fleet.delete_queue("agent");
    wait_for_hit(&mut troop);
    // A process that starts now is told that the queue is missing, and by whom it is made.
    let _ = troop.fleet.home.run(&["topology", "apply"]).exits(0);
    troop.finish()
}

fn wait_for_hit(troop: &mut Troop) {
    let deadline = std::time::Instant::now() + SOON;
    while troop.kills == 0 && std::time::Instant::now() < deadline {
        troop.tend();
        std::thread::sleep(Duration::from_millis(50));
    }
}
