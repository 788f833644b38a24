//! A soak: nights in a row on one troop, with havoc that follows from a seed, so that it can be played again.

use std::time::{Duration, Instant};

use liar::{Act, Fate, LineFault, Op, Reply, Rule};

use crate::laptop::Waited;
use crate::matrix::crashes::Random;
use crate::scenario::Outcome;
use crate::site::{AGENTS, Site, TASKS, write_records};
use crate::troop::{ROLES, Troop};

/// Havoc in a night, at most.
const HAVOC: u64 = 6;
/// Lanes whose queues may go.
const LANES: [&str; 5] = ["plan", "submit", "poll", "collect", "settle"];

/// Runs nights for `minutes`, telling what is done, and asks the oracle about all of them.
#[must_use]
pub fn soak(site: &Site, minutes: u64, seed: u64) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(minutes * 60);
    let mut troop = Troop::evening(site);
    let mut random = Random(seed);
    // Havoc makes processes look anew; a lie makes tasks go out again.
    (troop.expected.spare_looks, troop.expected.attempts) = (40, 3);
    troop.muster(None);
    let mut night = 0;
    while Instant::now() < deadline {
        if night > 0 {
            let records = write_records(troop.fleet.home.folder(), &format!("night-{night}"), TASKS);
            for agent in AGENTS {
                let _ = troop.fleet.home.run(&["load", &records, "--backlog", agent]).exits(0);
                troop.expected.tasks += TASKS;
            }
        }
        troop.strike();
        for _ in 0..random.below(HAVOC) {
            std::thread::sleep(Duration::from_millis(random.below(1_200)));
            println!("night {night}: {}", havoc(&mut troop, &mut random));
            troop.tend();
        }
        troop.liar.forget_rules();
        let waited = troop.wait();
        println!("night {night}: {waited:?}, {} kills so far", troop.kills);
        if waited != Waited::Done {
            break;
        }
        night += 1;
    }
    troop.finish()
}

/// Does something to the troop; answers what.
fn havoc(troop: &mut Troop, random: &mut Random) -> String {
    let role = ROLES[usize::try_from(random.below(3)).unwrap_or_default()];
    match random.below(10) {
        0..4 => {
            troop.kill(role);
            std::thread::sleep(Duration::from_millis(20));
            format!("{role} is killed")
        }
        4 => {
            let pause = 500 + random.below(3_000);
            if troop.fleet.pid(role).is_some() {
                troop.fleet.signal(role, "STOP");
                std::thread::sleep(Duration::from_millis(pause));
                troop.fleet.signal(role, "CONT");
            }
            format!("{role} stands still for {pause} ms")
        }
        5 => {
            let lane = LANES[usize::try_from(random.below(5)).unwrap_or_default()];
            troop.fleet.delete_queue(lane);
            format!("the queue {lane} is deleted")
        }
        6 => {
            troop.fleet.cut_connections();
            "connections to the database are cut".to_owned()
        }
        _ => {
            let rule = lie(random);
            let said = format!("a lie: {rule:?}");
            troop.liar.tell(rule);
            said
        }
    }
}

fn lie(random: &mut Random) -> Rule {
    let ops = [Op::Upload, Op::Create, Op::GetBatch, Op::ListBatches, Op::ListFiles, Op::Content];
    let op = ops[usize::try_from(random.below(6)).unwrap_or_default()];
    let act = if random.below(2) == 0 { Act::Now } else { Act::Never };
    let error = Reply::Error { status: 500, code: None, retry_after: None };
    let reply =
        [Reply::Drop, error, Reply::Page(502), Reply::CutJson(20), Reply::CutWire(20), Reply::Hang(1_600)];
    let reply = reply[usize::try_from(random.below(6)).unwrap_or_default()].clone();
    if random.below(5) == 0 {
        let lines = vec![(1, LineFault::Http(500))];
        return Rule::of(Op::Create).fate(Fate { lines, ..Fate::default() });
    }
    // What was not carried out must not look as if it were.
    let act = if matches!(reply, Reply::CutJson(_) | Reply::CutWire(_)) { Act::Now } else { act };
    Rule::of(op).act(act).reply(reply)
}
