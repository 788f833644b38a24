//! Orders under loss, doubling and delay, against the real store: who gets a claim, who loses one, and that nothing
//! that is due is ever buried. The reference says what must come of each call; it knows no SQL.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{Batch, BatchState, Claimed, Command, Fact, Lane, Policy, SettleWindow, UnknownCreate};
use domain::{decide_batch, resend_after};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use store::{DueOrder, Release};

use crate::cases;
use crate::rig::{PROVIDER, Rig};

/// Seconds. All times are multiples of five, so that what a call itself takes decides nothing.
const LEASE: i64 = 60;
const POLL: i64 = 60;

/// What is done to the order of a batch that is open at the provider.
#[derive(Clone, Debug)]
enum Call {
    /// So many relays see what is due at once, and each puts it off; the one that may, sends.
    Relay(usize),
    /// A message arrives, for the first time or again.
    Deliver(Index),
    Renew(Index),
    /// A handler gives its claim back: it found nothing to do.
    Done(Index),
    /// Not yet: in so many seconds.
    Later(Index, i64),
    Failed(Index, i64),
    Outage(Index, i64),
    /// A handler commits what the batch becomes: the next order takes the place of its own.
    Commit(Index),
    /// Somebody commits who holds no claim.
    CommitUnclaimed,
    Nudge,
    /// The one process that owns the database starts again.
    Restart,
    Wake,
    Pass(i64),
}

/// The order as it must be. Times are in seconds from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// Counts the orders and nudges.
    seq: i64,
    due: i64,
    send: i64,
    sends: u32,
    lease: Option<i64>,
    /// Who may still speak for it.
    holder: Option<usize>,
    failures: i64,
    outages: i64,
}

/// Somebody's claim, forever: workers don't know that they are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    seq: i64,
    failures: i64,
    outages: i64,
}

#[derive(Clone, Debug)]
struct Orders {
    now: i64,
    /// The highest sequence number so far: none is ever used again.
    last: i64,
    /// None: the batch waits for nobody.
    order: Option<Order>,
    /// Sequence numbers of the messages that were sent: each may arrive at any time, any number of times, or never.
    messages: Vec<i64>,
    claims: Vec<Claim>,
    /// What the last call must have answered.
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// So many relays may send.
    Sends(usize),
    Claimed {
        failures: i64,
        outages: i64,
    },
    Yes,
    No,
    Nothing,
}

impl Orders {
    fn placed(&mut self, due: i64) {
        self.last += 1;
        let (seq, failures, outages) = (self.last, 0, 0);
        self.order =
            Some(Order { seq, due, send: due, sends: 0, lease: None, holder: None, failures, outages });
    }

    fn held(&self, index: &Index) -> Option<usize> {
        (!self.claims.is_empty()).then(|| index.index(self.claims.len()))
    }

    /// The claim is given back; only who still holds the order says when it is due again.
    fn released(&mut self, index: &Index, pause: Option<i64>, failed: i64, outage: i64) {
        let (Some(who), now) = (self.held(index), self.now) else { return };
        let claim = self.claims[who];
        let Some(order) = self.order.as_mut().filter(|order| order.holder == Some(who)) else { return };
        (order.lease, order.holder) = (None, None);
        if order.seq != claim.seq {
            return;
        }
        match pause {
            None => self.order = None,
            Some(pause) => {
                (order.due, order.send, order.sends) = (now + pause, now + pause, 0);
                let counted = failed + outage > 0;
                order.failures = if counted { claim.failures + failed } else { 0 };
                order.outages = if counted { claim.outages + outage } else { 0 };
            }
        }
    }

    fn call(&mut self, call: &Call) {
        self.answer = Answer::Nothing;
        let now = self.now;
        match call {
            Call::Pass(seconds) => self.now += seconds,
            Call::Relay(_) => {
                let free =
                    |order: &&mut Order| order.send <= now && order.lease.is_none_or(|lease| lease <= now);
                self.answer = Answer::Sends(0);
                if let Some(order) = self.order.as_mut().filter(free) {
                    order.sends += 1;
                    order.send = now + i64::try_from(resend_after(order.sends).as_secs()).unwrap();
                    self.messages.push(order.seq);
                    self.answer = Answer::Sends(1);
                }
            }
            Call::Deliver(index) => {
                let Some(seq) = pick(&self.messages, index) else { return };
                self.answer = Answer::No;
                let open = |order: &&mut Order| {
                    order.seq == seq && order.due <= now && order.lease.is_none_or(|lease| lease <= now)
                };
                if let Some(order) = self.order.as_mut().filter(open) {
                    let (failures, outages) = (order.failures, order.outages);
                    (order.lease, order.holder) = (Some(now + LEASE), Some(self.claims.len()));
                    self.claims.push(Claim { seq, failures, outages });
                    self.answer = Answer::Claimed { failures, outages };
                }
            }
            Call::Renew(index) => {
                let Some(who) = self.held(index) else { return };
                self.answer = Answer::No;
                if let Some(order) = self.order.as_mut().filter(|order| order.holder == Some(who)) {
                    order.lease = Some(now + LEASE);
                    self.answer = Answer::Yes;
                }
            }
            Call::Done(index) => self.released(index, None, 0, 0),
            Call::Later(index, pause) => self.released(index, Some(*pause), 0, 0),
            Call::Failed(index, pause) => self.released(index, Some(*pause), 1, 0),
            Call::Outage(index, pause) => self.released(index, Some(*pause), 0, 1),
            Call::Commit(index) => {
                let Some(who) = self.held(index) else { return };
                let claim = self.claims[who];
                match self.order {
                    // Somebody has nudged it since: the next order is due now, too.
                    Some(order) if order.seq != claim.seq => {
                        self.last += 1;
                        self.order = Some(Order { seq: self.last, lease: None, holder: None, ..order });
                    }
                    _ => self.placed(now + POLL),
                }
                self.answer = Answer::Yes;
            }
            Call::CommitUnclaimed => {
                self.placed(now + POLL);
                self.answer = Answer::Yes;
            }
            Call::Nudge => {
                self.answer = Answer::No;
                if let Some(order) = self.order.as_mut() {
                    self.last += 1;
                    (order.seq, order.due, order.send, order.sends) = (self.last, now, now, 0);
                    self.answer = Answer::Yes;
                }
            }
            Call::Restart => {
                if let Some(order) =
                    self.order.as_mut().filter(|order| order.lease.is_some() || order.sends > 0)
                {
                    (order.lease, order.sends, order.send) = (None, 0, order.due);
                }
            }
            Call::Wake => {
                if let Some(order) = self
                    .order
                    .as_mut()
                    .filter(|order| order.outages > 0 && order.failures == 0 && order.due > now)
                {
                    (order.due, order.send, order.sends) = (now, now, 0);
                }
            }
        }
    }
}

fn pick(list: &[i64], index: &Index) -> Option<i64> {
    (!list.is_empty()).then(|| *index.get(list))
}

impl ReferenceStateMachine for Orders {
    type State = Self;
    type Transition = Call;

    fn init_state() -> BoxedStrategy<Self> {
        let (messages, claims, answer) = (Vec::new(), Vec::new(), Answer::Nothing);
        let mut orders = Self { now: 0, last: 0, order: None, messages, claims, answer };
        orders.placed(POLL);
        Just(orders).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Call> {
        let which = any::<Index>;
        let pause = || prop::sample::select(vec![0_i64, 5, 60]);
        prop_oneof![
            5 => (1..3_usize).prop_map(Call::Relay),
            7 => which().prop_map(Call::Deliver),
            2 => which().prop_map(Call::Renew),
            2 => which().prop_map(Call::Done),
            2 => (which(), pause()).prop_map(|(index, pause)| Call::Later(index, pause)),
            1 => (which(), pause()).prop_map(|(index, pause)| Call::Failed(index, pause)),
            1 => (which(), pause()).prop_map(|(index, pause)| Call::Outage(index, pause)),
            3 => which().prop_map(Call::Commit),
            1 => Just(Call::CommitUnclaimed),
            2 => Just(Call::Nudge),
            1 => Just(Call::Restart),
            1 => Just(Call::Wake),
            6 => prop::sample::select(vec![5, 20, 60, 300]).prop_map(Call::Pass),
        ]
        .boxed()
    }

    fn apply(mut orders: Self, call: &Call) -> Self {
        orders.call(call);
        orders
    }
}

/// The store, and what its callers hold.
struct Stored {
    rig: Rig,
    command: Command,
    /// As the reference numbers them: what the store answered.
    messages: Vec<i64>,
    claims: Vec<Claimed>,
}

impl Stored {
    fn held(&self, index: &Index) -> Option<Claimed> {
        (!self.claims.is_empty()).then(|| *index.get(&self.claims))
    }

    fn release(&self, index: &Index, release: impl Fn(domain::Time) -> Release, pause: i64) -> Answer {
        if let Some(claimed) = self.held(index) {
            let due = self.rig.store.clock().now() + TimeDelta::seconds(pause);
            self.rig.wait(self.rig.store.release(&claimed, release(due))).unwrap();
        }
        Answer::Nothing
    }

    /// The batch is still open, and is looked at again in a while.
    fn commit(&self, claimed: Option<Claimed>) -> Answer {
        let decision = still_open(&self.rig, &self.rig.batch());
        if self.rig.write(decision, claimed) { Answer::Yes } else { Answer::No }
    }

    fn call(&mut self, call: Call) -> Answer {
        let store = &self.rig.store;
        match call {
            Call::Pass(seconds) => {
                self.rig.pass(Duration::from_secs(seconds.unsigned_abs()));
                Answer::Nothing
            }
            Call::Relay(relays) => {
                let due = self.rig.wait(store.due_orders(Lane::Poll, PROVIDER, 10)).unwrap();
                let mut sent: Vec<DueOrder> = Vec::new();
                for _ in 0..relays {
                    sent.extend(self.rig.wait(store.put_off(due.clone())).unwrap());
                }
                self.messages.extend(sent.iter().map(|order| order.seq));
                Answer::Sends(sent.len())
            }
            Call::Deliver(index) => {
                let Some(seq) = pick(&self.messages, &index) else { return Answer::Nothing };
                let lease = Duration::from_secs(LEASE.unsigned_abs());
                match self.rig.wait(store.claim(self.command, seq, lease)).unwrap() {
                    None => Answer::No,
                    Some(claimed) => {
                        self.claims.push(claimed);
                        let (failures, outages) = (claimed.failures.into(), claimed.outages.into());
                        Answer::Claimed { failures, outages }
                    }
                }
            }
            Call::Renew(index) => match self.held(&index) {
                None => Answer::Nothing,
                Some(claimed) => {
                    let lease = Duration::from_secs(LEASE.unsigned_abs());
                    if self.rig.wait(store.renew(&claimed, lease)).unwrap() {
                        Answer::Yes
                    } else {
                        Answer::No
                    }
                }
            },
            Call::Done(index) => self.release(&index, |_| Release::Done, 0),
            Call::Later(index, pause) => self.release(&index, Release::Later, pause),
            Call::Failed(index, pause) => {
                self.release(&index, |due| Release::Failed(due, "no".to_owned()), pause)
            }
            Call::Outage(index, pause) => {
                self.release(&index, |due| Release::Outage(due, "no".to_owned()), pause)
            }
            Call::Commit(index) => {
                self.held(&index).map_or(Answer::Nothing, |claimed| self.commit(Some(claimed)))
            }
            Call::CommitUnclaimed => self.commit(None),
            Call::Nudge => {
                if self.rig.wait(store.nudge(self.rig.id.0)).unwrap() {
                    Answer::Yes
                } else {
                    Answer::No
                }
            }
            Call::Restart => {
                self.rig.wait(store.forget_claims()).unwrap();
                Answer::Nothing
            }
            Call::Wake => {
                self.rig.wait(store.wake(PROVIDER)).unwrap();
                Answer::Nothing
            }
        }
    }
}

pub(crate) fn policy() -> Policy {
    Policy {
        poll_interval: Duration::from_secs(POLL.unsigned_abs()),
        create_within: Duration::from_secs(90),
        settle: SettleWindow { looks: 3, over: Duration::from_secs(900) },
        unknown: UnknownCreate::Park,
        account_rest: Duration::from_secs(300),
        create_rest: Duration::from_secs(10),
    }
}

pub(crate) fn seen(end: Option<domain::End>) -> Fact {
    let (provider_id, input_file_id) = ("batch_1".to_owned(), "file-1".into());
    let (upload, refusal, remote) = (Some(1), None, domain::Remote::default());
    Fact::Observed(domain::Seen { provider_id, input_file_id, instance: None, upload, end, refusal, remote })
}

fn still_open(rig: &Rig, batch: &Batch) -> domain::BatchDecision {
    decide_batch(batch, &seen(None), rig.store.clock().now(), &policy()).unwrap()
}

/// A store whose batch is open.
pub(crate) fn opened() -> Rig {
    let mut rig = Rig::with_a_planned_batch();
    let planned = rig.batch();
    rig.pass(Duration::ZERO);
    assert!(rig.write(still_open(&rig, &planned), None));
    assert!(matches!(rig.batch().state, BatchState::Open { .. }));
    rig
}

struct InTheStore;

impl StateMachineTest for InTheStore {
    type SystemUnderTest = Stored;
    type Reference = Orders;

    fn init_test(_: &Orders) -> Stored {
        let rig = opened();
        let command = Command::Poll(rig.id);
        Stored { rig, command, messages: Vec::new(), claims: Vec::new() }
    }

    fn apply(mut stored: Stored, orders: &Orders, call: Call) -> Stored {
        stored.rig.pass(Duration::ZERO);
        assert_eq!(stored.call(call), orders.answer);
        stored
    }

    fn check_invariants(stored: &Stored, orders: &Orders) {
        let there = stored.rig.order();
        assert_eq!(there.is_some(), orders.order.is_some(), "an order that is not to be forgotten");
        let (Some(there), Some(expected)) = (there, orders.order) else { return };
        let counted = (there.failures, there.outages);
        assert_eq!(counted, (expected.failures, expected.outages));
        assert_eq!(there.lane, "poll");
    }

    /// However it went, what still waits is sent and claimed within the longest pause.
    fn teardown(mut stored: Stored, orders: Orders) {
        if orders.order.is_none() {
            return;
        }
        stored.rig.pass(Duration::from_secs(400));
        assert_eq!(stored.call(Call::Relay(2)), Answer::Sends(1));
        let newest = stored.messages.len() - 1;
        let seq = stored.messages[newest];
        let lease = Duration::from_secs(LEASE.unsigned_abs());
        let claimed = stored.rig.wait(stored.rig.store.claim(stored.command, seq, lease)).unwrap();
        assert!(claimed.is_some(), "what waits can be claimed");
        // All others are late.
        for seq in &stored.messages {
            assert!(stored.rig.wait(stored.rig.store.claim(stored.command, *seq, lease)).unwrap().is_none());
        }
    }
}

prop_state_machine! {
    #![proptest_config(cases(40))]
    #[test]
    fn no_message_that_is_lost_doubled_or_late_takes_or_buries_an_order(sequential 1..40 => InTheStore);
}
