//! Preview: what a schedule's next run would take, and what that would cost. It stores nothing.

use std::collections::BTreeSet;

use domain::{Money, Schedule};
use serde::Serialize;
use store::{BacklogTask, Store};

use crate::night::Night;
use crate::select::{Key, Selection, backlog_of};
use reception::IntakeError;

/// The tasks of one agent and repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewRow {
    /// The agent.
    pub agent: String,
    /// The repository, if they belong to one.
    pub repo: Option<String>,
    /// The model that is asked.
    pub model: String,
    /// How many.
    pub tasks: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Answer tokens, at most.
    pub output_tokens: u64,
    /// Price in a batch, at most; none: unknown.
    pub cost: Option<Money>,
    /// The same at the normal price.
    pub normal_cost: Option<Money>,
}

/// What a run would take.
#[derive(Clone, Debug)]
pub struct Preview {
    /// By agent and repository.
    pub rows: Vec<PreviewRow>,
    /// Pending tasks that are the schedule's to take and would stay.
    pub left: u64,
    /// Which stay, and why.
    pub notes: Vec<String>,
}

impl Preview {
    /// Looks what the next run of a schedule would take.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn of(store: &Store, night: &Night, schedule: &Schedule) -> Result<Self, IntakeError> {
        let (backlog, none) = (backlog_of(schedule), BTreeSet::new());
        let cap = schedule.terms.max_tasks;
        let selection = Selection::make(store, night, &backlog, cap, &none, by_agent_and_repo).await?;
        let left = store.count_pending(&backlog).await?.saturating_sub(selection.tasks());
        let groups = selection.groups.iter().filter(|(_, group)| group.intake.estimate.requests > 0);
        let rows = groups.map(|((agent, repo), group)| {
            let estimate = &group.intake.estimate;
            PreviewRow {
                agent: agent.clone(),
                repo: repo.clone(),
                model: group.request.processor.model().to_owned(),
                tasks: estimate.requests,
                input_tokens: estimate.input_tokens,
                output_tokens: estimate.output_tokens,
                cost: estimate.cost,
                normal_cost: estimate.normal_cost,
            }
        });
        Ok(Self { rows: rows.collect(), left, notes: selection.notes(0) })
    }
}

fn by_agent_and_repo(task: &BacklogTask) -> Key {
    (task.agent_type.clone(), task.repo.clone())
}
