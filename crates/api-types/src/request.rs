//! What callers ask.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /api/batch/create`. Of `task_ids`, `records`, `filter` and `reprocess_failed`, one is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    /// `task_processing`, `eval_run`, `embedding_compute` or `reprocess_failed`. Left out: what the work says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The processor's name. A retry keeps its job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Another model than the processor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tasks of the backlog; all must be pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_ids: Option<Vec<String>>,
    /// Records that come along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<Record>>,
    /// Pending tasks of the backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Failed tasks of other jobs, or of the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reprocess_failed: Option<Reprocess>,
    /// Hold the job until the night.
    #[serde(default)]
    pub tonight: bool,
    /// Take records that are answered already, too.
    #[serde(default)]
    pub again: bool,
    /// Check and estimate; store and send nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// `high`, `medium` or `low`. Left out: the kind's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Words to find the job by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Whatever else is to be kept with the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, Value>>,
}

/// A record inside a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its identity in all jobs of the processor. Left out: the data is an issue and names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the processor's template reads, an object.
    pub data: Value,
}

/// Which tasks of the backlog, most urgent first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only of this repository, `org/repo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Only for this agent. Where no processor is named, it is the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// This many, at most. Left out: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Which failed tasks: of one job, of all jobs by reason or age, or the platform's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reprocess {
    /// Of this job: its id, or the beginning of it. Left out: of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Only tasks that ended for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// Only tasks that ended longer ago than this, such as `90s`, `20m`, `26h` or `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// Of the backlog instead: tasks that the platform has down as failed, and no job has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Filter>,
    /// Of all jobs this many, at most. Left out: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// `GET /api/batch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListJobs {
    /// Only jobs in this state; `open`: those that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only jobs of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only jobs accepted at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Jobs on a page, 1 to 200. Left out: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// `GET /api/batch/{id}/results`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadResults {
    /// Only tasks with this outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Each record beside its result.
    #[serde(default)]
    pub join_input: bool,
}

/// `POST /api/batch/schedule`: the backlog of a repository, every night at the installation's hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleBacklog {
    /// `org/repo`.
    pub repo: String,
    /// Tasks that one night takes, at most. Left out: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tasks: Option<u64>,
    /// `high`, `medium` or `low`. Left out: high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
}
