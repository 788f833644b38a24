//! What comes by message, and a queue that goes.

use crash::Step;
use liar::{Fate, LineFault, Op, Rule};
use serde_json::json;

use super::super::outages::until_some_are_open;
use super::Turn;
use crate::scenario::Outcome;
use crate::troop::{ROLES, Troop};

pub(super) const TURNS: &[Turn<Troop>] = &[
    Turn { name: "a command is a job", steps: &[Step::LetterAccept], run: command },
    Turn {
        name: "a command is refused",
        steps: &[Step::SayOfCommand, Step::LetterRefuse, Step::QueueBury],
        run: refused_command,
    },
    Turn { name: "whoever publishes is asked to stop", steps: &[Step::GiveLease], run: publisher_stops },
    Turn { name: "the queue of events goes", steps: &[Step::PublishAgain, Step::QueueKeep], run: queue_goes },
];

/// All roles go up, `scheduler` armed.
fn arm_scheduler(troop: &mut Troop, wish: &str) {
    for role in ROLES {
        let armed = (role == "scheduler").then_some(("OVERNIGHT_CRASH", wish));
        troop.start(role, role, armed.as_slice());
    }
}

fn reprocess(job: &str) -> Vec<u8> {
    let event = json!({ "specversion": "1.0", "id": "1", "source": "urn:chaos",
        "type": "dev.overnight.command.reprocess_failed.v1", "data": { "reprocess_failed": { "job": job } } });
    event.to_string().into_bytes()
}

/// A command takes up what has failed: it is one job, however often it comes.
fn command(mut troop: Troop, wish: &str) -> Outcome {
    arm_scheduler(&mut troop, wish);
    troop.expected.may_fail = 1;
    let fate = Fate { lines: vec![(1, LineFault::Http(400))], ..Fate::default() };
    troop.liar.tell(Rule::of(Op::Create).fate(fate));
    troop.strike();
    let _ = troop.wait();
    let failed = "SELECT batch_job_id::text FROM batch_job_tasks WHERE status = 'failed'";
    let job = troop.fleet.texts(failed).remove(0);
    troop.fleet.send_command(&reprocess(&job), "application/cloudevents+json", &[]);
    troop.expected.tasks += 1;
    troop.replace(None);
    troop
        .until("the command is a job", "SELECT 1 - count(*) FROM batch_jobs WHERE kind = 'reprocess_failed'");
    troop.finish()
}

/// A command that can't be carried out is told of, and lies in the dead letters.
fn refused_command(mut troop: Troop, wish: &str) -> Outcome {
    arm_scheduler(&mut troop, wish);
    let body = reprocess("0000");
    troop.fleet.send_command(&body, "application/cloudevents+json", &[]);
    troop.expected.poison = vec![body];
    troop.replace(None);
    troop.strike();
    troop.finish()
}

/// All are asked to stop when all is done, and one of them has published till then.
fn publisher_stops(mut troop: Troop, wish: &str) -> Outcome {
    troop.muster(Some(wish));
    troop.strike();
    let _ = troop.wait();
    for role in ROLES {
        troop.stop(role);
    }
    troop.muster(None);
    troop.finish()
}

/// The queue of the agent runner is deleted with what it holds: it is made anew, and all is said again.
fn queue_goes(mut troop: Troop, wish: &str) -> Outcome {
    troop.expected.spare_looks = 8;
    troop.muster(Some(wish));
    troop.strike();
    until_some_are_open(&mut troop);
    troop.listen();
    troop.fleet.delete_queue("agent");
    troop.replace(None);
    // A process that starts now is told that the queue is missing, and by whom it is made.
    let _ = troop.fleet.home.run(&["topology", "apply"]).exits(0);
    troop.finish()
}
