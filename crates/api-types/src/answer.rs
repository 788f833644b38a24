//! What the server answers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A job, the same wherever one is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub job_id: String,
    /// What it does.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it waits, if it does.
    pub hold: Option<Hold>,
    /// Until when it is held.
    pub hold_until: Option<DateTime<Utc>>,
    /// When its first batch goes out, as far as that is planned; none: it is out, or waits for a person.
    pub planned_start: Option<DateTime<Utc>>,
    /// The job whose failed tasks it takes up again.
    pub parent_job_id: Option<String>,
    /// `sim` or `openai`.
    pub provider: String,
    /// Its processor.
    pub processor: ProcessorName,
    /// Its model.
    pub model: String,
    /// Where its records came from, in words.
    pub source: String,
    /// Higher goes first.
    pub priority: i64,
    /// Words that the caller finds it by.
    pub labels: Option<Value>,
    /// Whatever else the caller keeps with it.
    pub metadata: Option<Value>,
    /// Tasks.
    pub total: u64,
    /// Tasks by state.
    pub tasks: Tasks,
    /// Batches by what they wait for.
    pub batch_counts: BatchCounts,
    /// Its batches, by number; only where one job is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Vec<Batch>>,
    /// What the answers used.
    pub usage: Usage,
    /// Paid, as far as known; none: nothing of it is.
    pub cost_usd: Option<f64>,
    /// The same at the normal price.
    pub normal_cost_usd: Option<f64>,
    /// The difference.
    pub saved_usd: Option<f64>,
    /// Requests whose cost nobody knows; they are not in the sums.
    pub answers_of_unknown_cost: u64,
    /// Price expected, at most; none: unknown.
    pub estimate_usd: Option<f64>,
    /// What was expected when it was accepted.
    pub estimate: Option<Estimate>,
    /// Date of the price table.
    pub prices_of: String,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its first batch was created.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// `overnight` or `batch_api_disabled`.
    pub reason: String,
    /// Until when; none: a person starts it.
    pub until: Option<DateTime<Utc>>,
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// Tasks by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// Wait to be planned.
    pub pending: u64,
    /// On their way.
    pub submitted: u64,
    /// Answered.
    pub succeeded: u64,
    /// Refused, or answered badly.
    pub failed: u64,
    /// The provider's window ran out.
    pub expired: u64,
    /// A person stopped them.
    pub cancelled: u64,
    /// In neither result file.
    pub missing: u64,
}

/// Batches by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Not at the provider yet.
    pub unsent: u64,
    /// At the provider.
    pub open: u64,
    /// Being fetched.
    pub collecting: u64,
    /// Waiting for a person.
    pub parked: u64,
    /// Ended.
    pub ended: u64,
    /// Lines that the provider has answered in open batches.
    pub answered: u64,
}

/// A batch of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Our id.
    pub id: String,
    /// Within the job, from 1.
    pub number: u32,
    /// Where it stands with us.
    pub state: String,
    /// The provider's id.
    pub provider_batch_id: Option<String>,
    /// Where it stands at the provider, in the provider's word.
    pub status: Option<String>,
    /// Lines.
    pub requests: u32,
    /// Bytes of its input file.
    pub bytes: u64,
    /// Lines by what the provider says of them.
    pub counts: LineCounts,
    /// The provider's file of answers.
    pub output_file_id: Option<String>,
    /// The provider's file of errors.
    pub error_file_id: Option<String>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When the provider's window closes.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it ended at the provider.
    pub ended_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What was tried, where a create is in doubt or a person is waited for.
    pub tried: Option<String>,
    /// What happens next; none: it has ended.
    pub next: Option<Next>,
    /// Why it waits for a person, if it does.
    pub parked: Option<Parked>,
    /// What a person can decide about it, if anything.
    pub decide: Option<Decide>,
}

/// Lines of a batch, as the provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCounts {
    /// All.
    pub total: u64,
    /// Succeeded.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// In words.
    pub what: String,
    /// When; none: it is not known, or depends on a person.
    pub at: Option<DateTime<Utc>>,
}

/// Why a batch waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// A word.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// What a person can decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// `try-again`, `not-created` or `give-up`.
    pub resolutions: Vec<String>,
    /// How, where the stages run; one of the resolutions stands for `RESOLUTION` in it.
    pub command: String,
}

/// Tokens of all answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// In.
    pub input_tokens: u64,
    /// Of these from the cache.
    pub cached_tokens: u64,
    /// Out.
    pub output_tokens: u64,
}

/// What a job will probably use and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens in, counted on the text.
    pub input_tokens: u64,
    /// Tokens out, at most.
    pub output_tokens_at_most: u64,
    /// Price in a batch, at most; none: unknown.
    pub cost_usd_at_most: Option<f64>,
    /// The same at the normal price.
    pub normal_cost_usd_at_most: Option<f64>,
}

/// Records that were left out because a job has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The job.
    pub job_id: String,
    /// How many.
    pub count: u64,
}

/// Tasks that were looked for and are not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Answered.
    pub succeeded: u64,
    /// Still at work.
    pub live: u64,
    /// Cancelled by a person.
    pub cancelled: u64,
    /// Ended badly, and not asked for or taken by the platform.
    pub excluded: u64,
    /// Asked for, and beyond the limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond_limit: u64,
    /// Found, and can't be used.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invalid: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of a wish for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// The job; none: everything that was named is answered or on its way.
    pub job_id: Option<String>,
    /// The same, whole.
    pub job: Option<Job>,
    /// Tasks of the job.
    pub submitted: u64,
    /// Records that were left out because they are answered.
    pub answered: Vec<Known>,
    /// Records that were left out because they are on their way.
    pub on_their_way: Vec<Known>,
    /// Of a filter or of what has failed: tasks that were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// What a dry run found; nothing was stored or sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Tasks that would be submitted.
    pub records: u64,
    /// Their model.
    pub model: String,
    /// Lines of each batch.
    pub batches: Vec<u32>,
    /// Bytes of all batches.
    pub bytes: u64,
    /// What it would cost.
    pub estimate: Estimate,
    /// Date of the price table.
    pub prices_of: String,
    /// Why it would wait.
    pub hold: Option<Hold>,
    /// Records that would be left out because they are answered.
    pub answered: Vec<Known>,
    /// Records that would be left out because they are on their way.
    pub on_their_way: Vec<Known>,
    /// Of a filter or of what has failed: tasks that would not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// A page of jobs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// The jobs.
    pub data: Vec<Job>,
    /// Where the next page begins; none: there is none.
    pub next_cursor: Option<String>,
}

/// What became of a wish to cancel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Whether this request was the one; false: it was being cancelled already.
    pub asked: bool,
    /// The job.
    pub job: Job,
}

/// The last line of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The job.
    pub job_id: String,
    /// Where it stood when the stream began.
    pub state: String,
    /// Whether it had ended then.
    pub complete: bool,
    /// Lines before this one.
    pub written: u64,
    /// Of these, with an answer.
    pub succeeded: u64,
    /// SHA-256 of all lines before this one, newlines included.
    pub sha256: String,
}

/// A schedule as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// `org/repo`.
    pub repo: String,
    /// The local hour.
    pub hour: u8,
    /// Its zone.
    pub timezone: String,
    /// Tasks that one night takes, at most.
    pub max_tasks: u64,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// When it fires next; none: it is switched off.
    pub next_at: Option<DateTime<Utc>>,
    /// Why its nights are skipped, if they are.
    pub paused: Option<String>,
}

/// `GET /version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `overnight`.
    pub name: String,
    /// The version.
    pub version: String,
}
