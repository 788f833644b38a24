//! Every exchange, queue and binding at the broker, and why each is made as it is. The broker never
//! changes a queue that exists, so a change here needs a way for those that do.
//!
//! Nothing here is needed for truth: the orders are in the database. What must not be lost once the broker
//! has it are events on their way to the agent runner, and commands from outside.

use domain::Lane;
use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::QueueError;
use crate::options::check_prefix;

/// Most messages of a lane. The relay's window is far below it; what lies above are doubles that were sent
/// while nobody worked. They are refused rather than dropped, so that the relay hears it and waits.
const LANE_LENGTH: i64 = 10_000;
/// So many returns that none is ever the last. A broker counts each that a dying process or a broken line
/// gives back, which says nothing about the message; from version 4 on it throws messages away after 20,
/// unless told otherwise.
const RETURNS: i64 = i32::MAX as i64;
/// How often a command from outside may come back unanswered. Outsiders can send what our library can't
/// even take apart: its connection breaks before anybody can refuse it, and would for ever. Five restarts in
/// the middle of one command look alike, and cost it a look by a person.
pub(crate) const INBOX_RETURNS: i64 = 5;

/// What the queue of the agent runner is told. Whoever wants more binds a queue of their own.
const AGENT_KEYS: [&str; 2] = ["task.completed.#", "job.completed.#"];

/// The names at the broker of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

/// An exchange.
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) kind: ExchangeKind,
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) arguments: FieldTable,
}

/// How much of the topology. A queue of events that is missing is made only by whoever publishes them, once it
/// is settled that they are published again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything.
    All,
    /// What workers and the inbox need.
    Work,
    /// The queue of the agent runner.
    Agent,
}

/// What an exchange passes on to a queue.
pub(crate) struct Binding {
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) key: String,
}

impl Names {
    /// # Errors
    /// A prefix that names can't start with.
    pub(crate) fn new(prefix: &str) -> Result<Self, QueueError> {
        check_prefix(prefix)?;
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// Takes messages to lanes. Direct: the routing key is the lane.
    pub(crate) fn work(&self) -> String {
        format!("{}.work", self.prefix)
    }

    /// Takes events to whoever is interested. Topic: their keys are words with dots between.
    pub(crate) fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The messages of a lane.
    pub(crate) fn lane(&self, lane: Lane) -> String {
        format!("{}.{lane}", self.prefix)
    }

    /// Events for the agent runner, kept while it is away.
    pub(crate) fn agent(&self) -> String {
        format!("{}.agent", self.prefix)
    }

    /// Commands from outside: an exchange, and the queue behind it. With an exchange of its own, a user can
    /// be given the right to write there and nowhere else; the default exchange leads to every queue.
    pub(crate) fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }

    /// What nobody can read, and commands that were refused. Reached by the default exchange: only we
    /// write there.
    pub(crate) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The queues that outsiders write or read, and the one that people read; each by its word.
    pub(crate) fn outside(&self) -> [(&'static str, String); 3] {
        [("dead", self.dead()), ("inbox", self.inbox()), ("agent", self.agent())]
    }

    /// All exchanges. Durable, since what is bound to them is.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        vec![
            Exchange { name: self.work(), kind: ExchangeKind::Direct },
            Exchange { name: self.events(), kind: ExchangeKind::Topic },
            // Fanout: a command with an unexpected routing key is read, and not lost without a word.
            Exchange { name: self.inbox(), kind: ExchangeKind::Fanout },
        ]
    }

    /// The queues of a part.
    pub(crate) fn queues(&self, part: Part) -> Vec<Queue> {
        let lanes = Lane::ALL.into_iter().map(|lane| Queue { name: self.lane(lane), arguments: bounded() });
        // No bound on the rest: what lies there stands nowhere else, and a full disk is the broker's alarm.
        let kept = |name| Queue { name, arguments: quorum(RETURNS) };
        let inbox = Queue { name: self.inbox(), arguments: guarded(&self.dead()) };
        let work = lanes.chain([kept(self.dead()), inbox]).filter(|_| part != Part::Agent);
        let agent = Some(kept(self.agent())).filter(|_| part != Part::Work);
        work.chain(agent).collect()
    }

    /// The bindings of a part.
    pub(crate) fn bindings(&self, part: Part) -> Vec<Binding> {
        let lane = |lane: Lane| Binding {
            exchange: self.work(),
            queue: self.lane(lane),
            key: lane.as_str().to_owned(),
        };
        let agent = |key: &str| Binding { exchange: self.events(), queue: self.agent(), key: key.to_owned() };
        let inbox = Binding { exchange: self.inbox(), queue: self.inbox(), key: String::new() };
        let work = Lane::ALL.map(lane).into_iter().chain([inbox]).filter(|_| part != Part::Agent);
        work.chain(AGENT_KEYS.map(agent).into_iter().filter(|_| part != Part::Work)).collect()
    }
}

/// Quorum: it survives the loss of a node, and is no slower here, where messages are few and small. No
/// time to live and no expiry: nothing leaves a queue because time passed.
fn quorum(returns: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), returns.into());
    arguments
}

/// At its limit it refuses what is new.
fn bounded() -> FieldTable {
    let mut arguments = quorum(RETURNS);
    arguments.insert("x-max-length".into(), LANE_LENGTH.into());
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// The broker itself carries what breaks its reader to the dead letters. At least once is the strategy
/// that loses nothing on the way; it asks for this overflow, though there is no limit to overflow.
fn guarded(dead: &str) -> FieldTable {
    let mut arguments = quorum(INBOX_RETURNS);
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(dead));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn text(text: &str) -> AMQPValue {
    LongString::from(text).into()
}
