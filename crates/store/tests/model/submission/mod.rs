//! Submitting: never two executing batches for one set of requests while the stated assumptions hold; every state
//! has a next step or is parked, and says so; and an answer is never dropped, whatever the provider does.
//!
//! Each history runs twice: over a batch in memory, for number, and over the real store, for its version check.

mod provider;
mod world;

use domain::{Batch, BatchDecision, BatchId, BatchState, JobId, Remote, Resolution, UnknownCreate};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::cases;
use crate::rig::Rig;
use provider::Manners;
use world::{Fate, SETTLE, Shelf, Step, WORKERS, World};

/// A batch in memory, under the same terms as in the store.
#[derive(Clone, Debug)]
struct Memory(Batch);

impl Shelf for Memory {
    fn load(&self) -> Batch {
        self.0.clone()
    }

    fn commit(&mut self, decision: &BatchDecision) -> bool {
        let fresh = self.0.version == decision.batch.version;
        if fresh {
            self.0 = Batch { version: self.0.version + 1, ..decision.batch.clone() };
        }
        fresh
    }
}

impl Shelf for Rig {
    fn load(&self) -> Batch {
        self.batch()
    }

    fn commit(&mut self, decision: &BatchDecision) -> bool {
        self.write(decision.clone(), None)
    }
}

fn planned() -> Memory {
    let (id, job) = (BatchId(uuid::Uuid::from_u128(1)), JobId(uuid::Uuid::from_u128(2)));
    let (state, remote) = (BatchState::Planned, Remote::default());
    Memory(Batch { id, job, version: 1, upload: 1, cancel: false, state, remote })
}

fn manners() -> impl Strategy<Value = Manners> {
    let lag = prop_oneof![3 => Just(0), 2 => 1..SETTLE, 1 => SETTLE..3 * SETTLE];
    let often = || prop::bool::weighted(0.8);
    (often(), any::<bool>(), any::<bool>(), lag, often()).prop_map(
        |(fence_holds, refuses_deleted, keeps_used, lag, acts_once)| Manners {
            fence_holds,
            refuses_deleted,
            keeps_used,
            lag,
            acts_once,
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Answered),
        1 => Just(Fate::NotSent),
        1 => Just(Fate::RequestLost),
        2 => Just(Fate::ReplyLost),
        2 => Just(Fate::Delayed),
        1 => Just(Fate::TooBusy),
        1 => Just(Fate::Doubled),
    ]
}

impl ReferenceStateMachine for World<Memory> {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let unknown = prop_oneof![2 => Just(UnknownCreate::Fence), 1 => Just(UnknownCreate::Park)];
        (unknown, manners()).prop_map(|(unknown, manners)| Self::new(planned(), unknown, manners)).boxed()
    }

    fn transitions(world: &Self) -> BoxedStrategy<Step> {
        let mut steps = vec![
            (16, (0..WORKERS, fate()).prop_map(|(worker, fate)| Step::Work(worker, fate)).boxed()),
            (12, (0..WORKERS, fate()).prop_map(|(worker, fate)| Step::WorkThrough(worker, fate)).boxed()),
            (2, (0..WORKERS).prop_map(Step::Kill).boxed()),
            (6, prop::sample::select(vec![1, 20, 60, 120, SETTLE / 2, SETTLE]).prop_map(Step::Pass).boxed()),
            (1, Just(Step::Cancel).boxed()),
            (1, Just(Step::Audit).boxed()),
        ];
        let provider = &world.provider;
        if !provider.flights.is_empty() {
            steps.push((3, (0..provider.flights.len()).prop_map(Step::Deliver).boxed()));
        }
        if !provider.batches.is_empty() {
            let advance = (0..provider.batches.len(), prop::bool::weighted(0.1));
            let advance = advance.prop_map(|(batch, out_of_tokens)| Step::Advance { batch, out_of_tokens });
            steps.push((6, advance.boxed()));
        }
        steps.push((2, prop::sample::select(words(world)).prop_map(Step::Resolve).boxed()));
        if !world.said.is_empty() {
            steps.push((4, (0..world.said.len()).prop_map(Step::SayAgain).boxed()));
        }
        prop::strategy::Union::new_weighted(steps).boxed()
    }

    fn apply(mut world: Self, step: &Step) -> Self {
        world.step(step);
        world
    }

    /// Holds for histories that shrinking has shortened, too.
    fn preconditions(world: &Self, step: &Step) -> bool {
        match step {
            Step::Deliver(flight) => *flight < world.provider.flights.len(),
            Step::Advance { batch, .. } => *batch < world.provider.batches.len(),
            Step::Resolve(word) => words(world).contains(word),
            Step::SayAgain(word) => *word < world.said.len(),
            _ => true,
        }
    }
}

/// What an honest person may say: not-created only of what was seen not to exist.
fn words(world: &World<Memory>) -> Vec<Resolution> {
    let nothing_there = world.shelf.0.state.key().is_some_and(|key| !world.anything_of(key));
    let mut words = vec![Resolution::TryAgain, Resolution::GiveUp];
    words.extend(nothing_there.then_some(Resolution::NotCreated));
    words
}

/// What holds after every step.
fn check<S: Shelf>(world: &World<S>) {
    assert!(world.broken.is_empty(), "{:?}", world.broken);
    let ran = world.ran();
    if world.provider.manners.as_assumed(SETTLE, world.policy.unknown) && !world.given_up {
        assert!(ran.len() <= 1, "{ran:?} ran for one set of requests");
        assert!(!world.released || ran.is_empty(), "{ran:?} ran, and its lines were let go");
    }
}

/// The storm is over: workers that live, a network that delivers, a person who looks. The batch comes to an end, and
/// every batch that ran is on record.
fn comes_to_an_end<S: Shelf>(world: &mut World<S>) {
    for worker in 0..WORKERS {
        world.step(&Step::Kill(worker));
    }
    for _ in 0..400 {
        while !world.provider.flights.is_empty() {
            world.step(&Step::Deliver(0));
        }
        for batch in 0..world.provider.batches.len() {
            world.step(&Step::Advance { batch, out_of_tokens: false });
        }
        world.step(&Step::WorkThrough(0, Fate::Answered));
        world.step(&Step::Pass(SETTLE / 4));
        let state = world.shelf.load().state;
        match &state {
            BatchState::Parked(parked) => {
                let create = state.key().is_some_and(|key| !world.anything_of(key));
                let word = if create { Resolution::NotCreated } else { Resolution::TryAgain };
                assert!(parked.resolutions().contains(&word), "{parked:?} can't be resolved as {word:?}");
                world.step(&Step::Resolve(word));
            }
            _ if state.is_end() => world.step(&Step::Audit),
            _ => {}
        }
        let state = world.shelf.load().state;
        let over = world.provider.batches.iter().all(|batch| batch.is_over());
        let shown = world.provider.list(world.now).len() == world.provider.batches.len();
        if state.is_end() && over && shown && world.provider.flights.is_empty() {
            world.step(&Step::Audit);
            if world.shelf.load().state.is_end() {
                break;
            }
        }
    }
    check(world);
    let state = world.shelf.load().state;
    assert!(state.is_end(), "it is still {state:?}");
    for ran in world.ran() {
        let ours = state.provider_id() == Some(&ran) && matches!(state, BatchState::Collected { .. });
        assert!(ours || world.spares.contains(&ran), "{ran} ran, and nobody knows: {state:?}");
    }
}

/// Uploads, intends, and sends the create to its fate.
fn create(world: &mut World<Memory>, fate: Fate) {
    for _ in ["load", "upload", "intend"] {
        world.step(&Step::Work(0, Fate::Answered));
    }
    world.step(&Step::WorkThrough(0, fate));
}

/// The shortest history in which a word that arrives twice would pay twice; chance finds it once in thousands.
#[test]
fn a_word_that_is_said_again_is_about_the_upload_that_was_looked_at() {
    let manners =
        Manners { fence_holds: true, refuses_deleted: true, keeps_used: true, lag: 0, acts_once: true };
    let mut world = World::new(planned(), UnknownCreate::Park, manners);
    create(&mut world, Fate::RequestLost);
    for _ in 0..3 {
        world.step(&Step::WorkThrough(0, Fate::Answered));
        world.step(&Step::Pass(SETTLE / 2));
    }
    assert!(world.shelf.load().state.parked().is_some(), "a person is asked");
    world.step(&Step::Resolve(Resolution::NotCreated));
    create(&mut world, Fate::ReplyLost);
    assert_eq!((world.shelf.load().upload, world.shelf.load().state.as_str()), (2, "unknown"));
    world.step(&Step::SayAgain(0));
    world.step(&Step::WorkThrough(0, Fate::Answered));
    comes_to_an_end(&mut world);
    assert_eq!(world.ran().len(), 1);
}

/// The shortest one in which a worker that stood still takes back what another one has begun.
#[test]
fn a_refused_upload_of_a_worker_that_stood_still_sends_no_second_create() {
    let lag = SETTLE / 2;
    let manners =
        Manners { fence_holds: true, refuses_deleted: true, keeps_used: true, lag, acts_once: true };
    let mut world = World::new(planned(), UnknownCreate::Fence, manners);
    // The first one has looked for the file, and found none; the second one goes all the way.
    world.step(&Step::Work(0, Fate::Answered));
    for _ in ["load", "upload", "intend"] {
        world.step(&Step::Work(1, Fate::Answered));
    }
    world.step(&Step::Work(1, Fate::ReplyLost));
    world.step(&Step::WorkThrough(0, Fate::TooBusy));
    world.step(&Step::WorkThrough(1, Fate::Answered));
    world.step(&Step::WorkThrough(2, Fate::Answered));
    comes_to_an_end(&mut world);
    assert_eq!(world.ran().len(), 1);
}

/// Many histories over a batch in memory.
struct InMemory;

impl StateMachineTest for InMemory {
    type SystemUnderTest = ();
    type Reference = World<Memory>;

    fn init_test(_: &World<Memory>) {}

    fn apply((): (), _: &World<Memory>, _: Step) {}

    fn check_invariants((): &(), world: &World<Memory>) {
        check(world);
    }

    fn teardown((): (), mut world: World<Memory>) {
        comes_to_an_end(&mut world);
    }
}

/// Fewer over the store, which must go the same way.
struct InTheStore;

impl StateMachineTest for InTheStore {
    type SystemUnderTest = World<Rig>;
    type Reference = World<Memory>;

    fn init_test(reference: &World<Memory>) -> World<Rig> {
        reference.on(Rig::with_a_planned_batch())
    }

    fn apply(mut world: World<Rig>, _: &World<Memory>, step: Step) -> World<Rig> {
        world.step(&step);
        world
    }

    fn check_invariants(world: &World<Rig>, reference: &World<Memory>) {
        check(world);
        let (stored, expected) = (world.shelf.load(), &reference.shelf.0);
        assert_eq!(
            (&stored.state, stored.upload, stored.cancel),
            (&expected.state, expected.upload, expected.cancel)
        );
        let waits = !stored.state.is_end() && stored.state.parked().is_none();
        assert_eq!(world.shelf.order().is_some(), waits, "{:?}", stored.state);
    }

    fn teardown(mut world: World<Rig>, _: World<Memory>) {
        comes_to_an_end(&mut world);
    }
}

prop_state_machine! {
    #![proptest_config(cases(500))]
    #[test]
    fn no_history_pays_twice_loses_an_answer_or_stands_still(sequential 1..100 => InMemory);
}

prop_state_machine! {
    #![proptest_config(cases(16))]
    #[test]
    fn the_store_goes_the_way_of_the_rules(sequential 1..40 => InTheStore);
}
