//! Select: which pending tasks a run takes, checked and counted, up to its cap. It stores nothing.
//!
//! A task that can't be used fails alone: it stays pending, and the next one in the order takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{HoldReason, Kind, Schedule};
use processor::{Processor, ProcessorError};
use source::Invalid;
use store::{Backlog, BacklogTask, Store};

use crate::night::Night;
use reception::{Intake, IntakeError, Request, Source};

/// The tasks of one agent; in a preview, of one repository.
pub(crate) struct Group {
    pub(crate) request: Request,
    pub(crate) intake: Intake,
}

/// Names a group: the agent, and the repository where that matters.
pub(crate) type Key = (String, Option<String>);

/// What a run takes.
#[derive(Default)]
pub(crate) struct Selection {
    pub(crate) groups: BTreeMap<Key, Group>,
    /// Tasks that can't be used.
    pub(crate) invalid: Vec<Invalid>,
    /// Tasks of agents that have no processor, with what is wrong.
    pub(crate) homeless: BTreeMap<String, (u64, String)>,
}

/// The tasks that are a schedule's to take.
pub(crate) fn backlog_of(schedule: &Schedule) -> Backlog {
    schedule.repo.clone().map_or(Backlog::Rest, Backlog::Of)
}

impl Selection {
    /// Selects up to `cap` tasks, leaving out those of the agents in `done`.
    pub(crate) async fn make(
        store: &Store,
        night: &Night,
        backlog: &Backlog,
        cap: u64,
        done: &BTreeSet<String>,
        key: fn(&BacklogTask) -> Key,
    ) -> Result<Self, IntakeError> {
        let (mut selection, mut after) = (Self::default(), None);
        loop {
            // Most often this is all: only tasks that can't be used make room for a second look.
            let room = cap.saturating_sub(selection.tasks());
            let page = if room > 0 {
                store.pending_backlog(backlog, after.as_ref(), room).await?
            } else {
                Vec::new()
            };
            let Some((_, last)) = page.last() else { return Ok(selection) };
            after = Some(last.clone());
            let mut groups: BTreeMap<Key, Vec<BacklogTask>> = BTreeMap::new();
            for (task, _) in page.into_iter().filter(|(task, _)| !done.contains(&task.agent_type)) {
                groups.entry(key(&task)).or_default().push(task);
            }
            for (key, tasks) in groups {
                selection.add(store, night, key, tasks).await?;
            }
        }
    }

    /// Tasks that were selected.
    pub(crate) fn tasks(&self) -> u64 {
        self.groups.values().map(|group| group.intake.estimate.requests).sum()
    }

    /// Tasks that can't be used.
    pub(crate) fn refused(&self) -> u64 {
        let homeless: u64 = self.homeless.values().map(|(tasks, _)| tasks).sum();
        homeless + u64::try_from(self.invalid.len()).unwrap_or(u64::MAX)
    }

    /// Tasks whose record is on its way in another job.
    pub(crate) fn on_their_way(&self) -> u64 {
        self.groups.values().map(|group| group.intake.skipped.total()).sum()
    }

    /// What a person is told, a line each; `lost` tasks were taken by somebody else after the selection.
    pub(crate) fn notes(&self, lost: u64) -> Vec<String> {
        let homeless =
            self.homeless.values().map(|(tasks, why)| format!("{tasks} tasks stay pending: {why}"));
        let invalid = self.invalid.iter().map(|invalid| format!("left out: {invalid}"));
        let mut notes: Vec<String> = homeless.chain(invalid).collect();
        if self.on_their_way() > 0 {
            notes.push(format!("{} tasks are on their way already", self.on_their_way()));
        }
        if lost > 0 {
            notes.push(format!("{lost} tasks were taken by somebody else meanwhile"));
        }
        notes
    }

    async fn add(
        &mut self,
        store: &Store,
        night: &Night,
        key: Key,
        mut tasks: Vec<BacklogTask>,
    ) -> Result<(), IntakeError> {
        let processor = match processor_of(&key.0, night) {
            Ok(processor) => processor,
            Err(why) => {
                let (homeless, _) = self.homeless.entry(key.0).or_insert((0, why));
                *homeless += u64::try_from(tasks.len()).unwrap_or(u64::MAX);
                return Ok(());
            }
        };
        if let Some(group) = self.groups.remove(&key) {
            tasks.splice(0..0, group.kept());
        }
        let request = request(night, processor, tasks, &key);
        let mut intake = Intake::check(store, &request).await?;
        self.invalid.append(&mut intake.invalid);
        self.groups.insert(key, Group { request, intake });
        Ok(())
    }
}

impl Group {
    /// The tasks that the check has selected.
    fn kept(&self) -> Vec<BacklogTask> {
        let Source::Backlog(tasks) = &self.request.source else { return Vec::new() };
        self.intake.selected().filter_map(|place| tasks.get(place).cloned()).collect()
    }
}

fn processor_of(agent: &str, night: &Night) -> Result<Arc<Processor>, String> {
    // A row of the backlog names a processor; it doesn't choose what file is read.
    if agent.contains(['/', '\\']) || agent.to_ascii_lowercase().ends_with(".toml") {
        return Err(format!("{agent:?} is not a processor's name"));
    }
    let make = || -> Result<Processor, ProcessorError> {
        Processor::new(processor::resolve(agent, Some(&night.processors))?, None)
    };
    make().map(Arc::new).map_err(|error| error.to_string())
}

fn request(night: &Night, processor: Arc<Processor>, tasks: Vec<BacklogTask>, (agent, _): &Key) -> Request {
    Request {
        processor,
        source: Source::Backlog(tasks.into()),
        label: format!("backlog of {agent}"),
        kind: Kind::TaskProcessing,
        hold: (!night.enabled).then_some((HoldReason::BatchApiDisabled, None)),
        provider: night.provider.to_string(),
        // The platform says what is pending: what was answered before and is pending again is wanted again.
        again: true,
        limits: night.limits,
        prices: night.prices.clone(),
        priority: Kind::TaskProcessing.priority(),
        origin: store::Origin::default(),
    }
}
