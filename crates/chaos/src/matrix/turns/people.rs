//! What people say beside a night, on the command line and at the API: a command that dies has said all of it or
//! nothing, and can be said again.

use crash::Step;
use liar::{Act, Liar, Op, Reply, Rule};

use super::super::passes::Night;
use super::{Turn, is_done, night};
use crate::api;
use crate::ground::{Ground, held};
use crate::laptop::UNPARKED;
use crate::scenario::Outcome;
use crate::site::{TASKS, write_records};

pub(super) const TURNS: &[Turn<Ground>] = &[
    Turn { name: "more tasks are loaded", steps: &[Step::LoadRecords, Step::AddBacklog], run: loaded },
    Turn { name: "a token is made", steps: &[Step::AddToken], run: token_made },
    Turn { name: "a token is taken back", steps: &[Step::RevokeToken], run: token_revoked },
    Turn { name: "a token is used", steps: &[Step::TouchToken], run: token_used },
    Turn { name: "the database gets another tag", steps: &[Step::RotateInstance], run: rotated },
    Turn { name: "the provider is probed", steps: &[Step::AddProbe], run: probed },
    Turn { name: "a person decides", steps: &[Step::Resolve], run: resolved },
    Turn { name: "a person calls a job off", steps: &[Step::Cancel], run: called_off },
    Turn { name: "batches are called off", steps: &[Step::ProviderCancel], run: batches_called_off },
    Turn { name: "tasks in no batch are called off", steps: &[Step::CancelUnplanned], run: tasks_called_off },
    Turn { name: "the batch API is switched on", steps: &[Step::SwitchOn], run: switched_on },
    Turn { name: "the provider says that a batch has ended", steps: &[Step::Nudge], run: nudged },
];

const MAKE: [&str; 5] = ["token", "add", "ci", "--role", "operator"];
const TOKENS: &str = "SELECT count(*) FROM api_tokens";
const JOBS: &str = "SELECT CAST(id AS TEXT) FROM batch_jobs ORDER BY id";

fn loaded(mut ground: Ground, wish: &str) -> Outcome {
    let records = write_records(ground.home().folder(), "later", TASKS);
    let load = ["load", records.as_str(), "--backlog", "planner"];
    ground.dies(&load, wish);
    let _ = ground.say(&load).exits(0);
    ground.expected().tasks += TASKS;
    night(ground)
}

fn token_made(mut ground: Ground, wish: &str) -> Outcome {
    ground.dies(&MAKE, wish);
    assert_eq!(ground.number(TOKENS) == 1, is_done(wish), "a token is there once it is made");
    let _ = ground.say(&MAKE).exits(if is_done(wish) { 1 } else { 0 });
    night(ground)
}

fn token_revoked(mut ground: Ground, wish: &str) -> Outcome {
    let _ = ground.say(&MAKE).exits(0);
    let revoke = ["token", "revoke", "ci"];
    ground.dies(&revoke, wish);
    assert_eq!(ground.number(TOKENS) == 0, is_done(wish), "a token is gone once it is taken back");
    let _ = ground.say(&revoke).exits(if is_done(wish) { 1 } else { 0 });
    night(ground)
}

fn token_used(mut ground: Ground, wish: &str) -> Outcome {
    let token = ground.say(&MAKE).exits(0).stdout;
    let mut api = api::Api::start(ground.home(), Some(wish));
    let list =
        |ground: &mut Ground, api: &api::Api| api.client(ground.home(), token.trim()).run(&["batch", "list"]);
    assert_ne!(list(&mut ground, &api).code, Some(0), "the server is gone");
    assert!(api.died(), "the server ended at {wish}");
    let api = api::Api::start(ground.home(), None);
    let _ = list(&mut ground, &api).exits(0);
    drop(api);
    ground.struck(wish);
    night(ground)
}

fn rotated(mut ground: Ground, wish: &str) -> Outcome {
    let tag = |ground: &mut Ground| ground.say(&["instance", "show"]).exits(0).stdout;
    let before = tag(&mut ground);
    ground.dies(&["instance", "rotate"], wish);
    assert_eq!(tag(&mut ground) != before, is_done(wish), "the tag is another one once it is done");
    let _ = ground.say(&["instance", "rotate"]).exits(0);
    night(ground)
}

/// A provider of the probe's own, so that the night's ledger is the night's.
fn probed(mut ground: Ground, wish: &str) -> Outcome {
    let other = Liar::start(&ground.home().folder().join("probed"));
    other.set(&held());
    let (ours, probe) = (ground.liar().base_url(), ["probe", "--yes", "--timeout", "2s"]);
    ground.home().set("OPENAI_BASE_URL", &other.base_url());
    ground.dies(&probe, wish);
    let probes = ground.number("SELECT count(*) FROM probes");
    assert_eq!(probes == 1, is_done(wish), "what was found is kept once");
    ground.home().set("OPENAI_BASE_URL", &ours);
    night(ground)
}

/// A create is lost and parked, and a person who knows has it tried again.
fn resolved(mut ground: Ground, wish: &str) -> Outcome {
    ground.home().set("SUBMIT_UNKNOWN", "park");
    ground.liar().tell(Rule::of(Op::Create).act(Act::Never).reply(Reply::Drop));
    ground.begin(Night::ByHand, None);
    ground.until("a create is parked", UNPARKED);
    ground.kill();
    let parked = "SELECT CAST(job_id AS TEXT) FROM batches WHERE state = 'parked'";
    let job = ground.texts(parked).remove(0);
    let number = ground.texts("SELECT CAST(number AS TEXT) FROM batches WHERE state = 'parked'").remove(0);
    let resolve = ["batch", "resolve", &job, "not-created", "--batch", &number, "--upload", "1"];
    ground.dies(&resolve, wish);
    assert_eq!(ground.texts(parked).is_empty(), is_done(wish), "it is decided once it is done");
    if !is_done(wish) {
        let _ = ground.say(&resolve).exits(0);
    }
    ground.go_on(None);
    ground.finish()
}

/// The jobs, with all batches at the provider.
fn all_out(ground: &mut Ground, wish: Option<&str>) -> Vec<String> {
    ground.expected().may_fail = TASKS;
    ground.liar().set(&held());
    ground.begin(Night::ByHand, wish);
    ground.until_all_are_out();
    ground.texts(JOBS)
}

fn called_off(mut ground: Ground, wish: &str) -> Outcome {
    let jobs = all_out(&mut ground, None);
    let cancel = ["batch", "cancel", jobs[0].as_str()];
    ground.dies(&cancel, wish);
    let _ = ground.say(&cancel).exits(0);
    ground.let_run();
    ground.finish()
}

fn batches_called_off(mut ground: Ground, wish: &str) -> Outcome {
    let jobs = all_out(&mut ground, Some(wish));
    let cancel = ground.home().spawn(&["batch", "cancel", &jobs[0]]);
    ground.replace(None);
    reap(cancel);
    ground.let_run();
    ground.finish()
}

/// The plan is slow, and meanwhile somebody calls the jobs off.
fn tasks_called_off(mut ground: Ground, wish: &str) -> Outcome {
    ground.expected().may_fail = usize::MAX;
    ground.begin(Night::ByHand, Some(&format!("store.plan.before:1:sleep:5000,{wish}")));
    ground.until(
        "a job is planned",
        "SELECT 1 - count(*) FROM (SELECT 1 FROM batch_jobs WHERE state = 'active' LIMIT 1) AS planned",
    );
    let jobs = ground.texts(JOBS);
    let cancels: Vec<_> = jobs.iter().map(|job| ground.home().spawn(&["batch", "cancel", job])).collect();
    ground.replace(None);
    cancels.into_iter().for_each(reap);
    ground.finish()
}

/// A command that waits for what a scenario has ended otherwise.
fn reap(mut command: std::process::Child) {
    let _ = command.kill();
    let _ = command.wait();
}

fn switched_on(mut ground: Ground, wish: &str) -> Outcome {
    ground.home().set("ENABLE_BATCH_API", "false");
    ground.begin(Night::ByHand, None);
    ground.until("all jobs are held", "SELECT 3 - count(*) FROM batch_jobs WHERE state = 'held'");
    ground.kill();
    ground.home().set("ENABLE_BATCH_API", "true");
    ground.go_on(Some(wish));
    let _ = ground.wait();
    ground.finish()
}

/// A webhook makes a look due; the server dies of it, and is told again.
fn nudged(mut ground: Ground, wish: &str) -> Outcome {
    ground.home().set("OPENAI_WEBHOOK_SECRET", api::SECRET);
    ground.liar().set(&held());
    ground.begin(Night::ByHand, None);
    ground.until_all_are_out();
    let batch = ground.texts("SELECT provider_id FROM batches ORDER BY id LIMIT 1").remove(0);
    let mut api = api::Api::start(ground.home(), Some(wish));
    assert_eq!(api.say_ended(&batch), None, "the server is gone");
    assert!(api.died(), "the server ended at {wish}");
    ground.struck(wish);
    let api = api::Api::start(ground.home(), None);
    assert_eq!(api.say_ended(&batch), Some(204));
    ground.let_run();
    let _ = ground.wait();
    drop(api);
    ground.finish()
}
