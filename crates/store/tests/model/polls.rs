//! The poll chain of an open batch, over the real store: however often its messages are lost, doubled or late, and
//! whoever dies or lingers with one, the chain never breaks and never becomes two. Two chains would look twice as
//! often, and go on doing so.

use std::time::Duration;

use domain::{Batch, BatchState, Claimed, Command, End, Fact, Lane, decide_batch};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::cases;
use crate::orders::{policy, seen};
use crate::rig::{PROVIDER, Rig};

/// Seconds.
const LEASE: i64 = 60;
const POLL: i64 = 60;

#[derive(Clone, Debug)]
enum Step {
    /// Relays send what is due, as often as they find it due.
    Relay,
    /// A message arrives, for the first time or again: whoever claims its order looks.
    Deliver(Index),
    /// One who has looked commits what was seen, however long ago.
    Commit(Index),
    /// One who has looked dies.
    Die(Index),
    Pass(i64),
    /// The provider is done with the batch.
    Ends,
}

/// Any step may come at any time: the script is all that is drawn.
#[derive(Clone, Debug)]
struct Script;

impl ReferenceStateMachine for Script {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => Just(Step::Relay),
            8 => any::<Index>().prop_map(Step::Deliver),
            5 => any::<Index>().prop_map(Step::Commit),
            1 => any::<Index>().prop_map(Step::Die),
            6 => prop::sample::select(vec![5, 30, 60, 120]).prop_map(Step::Pass),
            1 => Just(Step::Ends),
        ]
        .boxed()
    }

    fn apply(script: Self, _: &Step) -> Self {
        script
    }
}

/// Somebody who has looked and not yet committed.
struct Looked {
    claimed: Claimed,
    until: i64,
    fact: Fact,
    read: Batch,
}

struct Chain {
    rig: Rig,
    now: i64,
    ended: bool,
    /// It is being collected; who looked before that may not undo it.
    collecting: bool,
    messages: Vec<i64>,
    looked: Vec<Looked>,
    looks: i64,
}

impl Chain {
    fn relay(&mut self) {
        let store = &self.rig.store;
        let due = self.rig.wait(store.due_orders(Lane::Poll, PROVIDER, 10)).unwrap();
        assert!(due.len() <= 1, "one batch waits for one poll: {due:?}");
        let sent = self.rig.wait(store.put_off(due)).unwrap();
        self.messages.extend(sent.iter().map(|order| order.seq));
    }

    fn deliver(&mut self, seq: i64) {
        let store = &self.rig.store;
        let lease = Duration::from_secs(LEASE.unsigned_abs());
        let Some(claimed) = self.rig.wait(store.claim(Command::Poll(self.rig.id), seq, lease)).unwrap()
        else {
            return;
        };
        let others = self.looked.iter().filter(|other| other.until > self.now).count();
        assert_eq!(others, 0, "two hold the chain at once");
        let read = self.rig.batch();
        if !matches!(read.state, BatchState::Open { .. }) {
            return self.rig.wait(store.release(&claimed, store::Release::Done)).unwrap();
        }
        self.looks += 1;
        let fact = seen(self.ended.then_some(End::Completed));
        self.looked.push(Looked { claimed, until: self.now + LEASE, fact, read });
    }

    /// As `seen::conclude`: who is overtaken loads again, and decides again with the same fact.
    fn commit(&self, looked: Looked) {
        let Looked { claimed, fact, mut read, .. } = looked;
        let now = || self.rig.store.clock().now();
        while let Some(decision) = decide_batch(&read, &fact, now(), &policy()) {
            if self.rig.write(decision, Some(claimed)) {
                return;
            }
            read = self.rig.batch();
        }
        self.rig.wait(self.rig.store.release(&claimed, store::Release::Done)).unwrap();
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.rig.pass(Duration::from_secs(seconds.unsigned_abs()));
    }
}

struct Polls;

impl StateMachineTest for Polls {
    type SystemUnderTest = Chain;
    type Reference = Script;

    fn init_test(_: &Script) -> Chain {
        let (messages, looked) = (Vec::new(), Vec::new());
        let (ended, collecting) = (false, false);
        Chain { rig: crate::orders::opened(), now: 0, ended, collecting, messages, looked, looks: 0 }
    }

    fn apply(mut chain: Chain, _: &Script, step: Step) -> Chain {
        chain.pass(0);
        match step {
            Step::Relay => chain.relay(),
            Step::Deliver(index) if !chain.messages.is_empty() => chain.deliver(*index.get(&chain.messages)),
            Step::Commit(index) if !chain.looked.is_empty() => {
                let looked = chain.looked.swap_remove(index.index(chain.looked.len()));
                chain.commit(looked);
            }
            Step::Die(index) if !chain.looked.is_empty() => {
                chain.looked.swap_remove(index.index(chain.looked.len()));
            }
            Step::Pass(seconds) => chain.pass(seconds),
            Step::Ends => chain.ended = true,
            Step::Deliver(_) | Step::Commit(_) | Step::Die(_) => {}
        }
        let collecting = matches!(chain.rig.batch().state, BatchState::Collecting { .. });
        assert!(collecting || !chain.collecting, "it was seen to have ended");
        chain.collecting = collecting;
        chain
    }

    fn check_invariants(chain: &Chain, _: &Script) {
        let (state, order) = (chain.rig.batch().state, chain.rig.order());
        let lane = order.map(|order| order.lane);
        match state {
            BatchState::Open { .. } => assert_eq!(lane.as_deref(), Some("poll"), "the chain is broken"),
            BatchState::Collecting { .. } => assert_eq!(lane.as_deref(), Some("collect")),
            other => panic!("nobody said anything of {other:?}"),
        }
        // One look an interval, and one more for each lease that ran out with its holder.
        let most = chain.now / POLL + chain.now / LEASE;
        assert!(chain.looks <= most, "{} looks in {} s", chain.looks, chain.now);
    }

    /// The batch ends at the provider, and the one chain that is left finds out.
    fn teardown(mut chain: Chain, _: Script) {
        chain.ended = true;
        for _ in 0..3 {
            chain.pass(400);
            chain.relay();
            for seq in chain.messages.clone() {
                chain.deliver(seq);
            }
            assert!(chain.looked.iter().filter(|looked| looked.until > chain.now).count() <= 1);
            if let Some(looked) = chain.looked.pop() {
                chain.commit(looked);
            }
        }
        assert!(matches!(chain.rig.batch().state, BatchState::Collecting { .. }));
    }
}

prop_state_machine! {
    #![proptest_config(cases(40))]
    #[test]
    fn a_batch_is_looked_at_by_one_chain_that_never_breaks(sequential 1..40 => Polls);
}
