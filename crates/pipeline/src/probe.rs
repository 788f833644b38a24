//! The probe: whether the provider keeps to what the submission protocol assumes, tried on a real account with a few
//! requests of one line. It cleans up behind itself, and never touches a batch of a job.
//!
//! Its batches carry a mark of their own and not the tag of the database, so the audit doesn't know them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use openai::{CallError, Create};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::{Batch, BatchError, BatchStatus, COMPLETION_WINDOW, CreateBatch};

use crate::context::Context;
use crate::outside::{self, Permission};

/// The one endpoint that it uses.
const ENDPOINT: &str = "/v1/chat/completions";
/// Metadata key of its batches.
const MARK: &str = "overnight_probe";
/// What is asked, once a batch.
const PROMPT: &str = "Say yes.";
/// Longest answer.
pub const PROBE_OUTPUT_TOKENS: u64 = 16;
/// More than the prompt has, with what the provider adds to it.
pub const PROBE_INPUT_TOKENS: u64 = 40;
/// Batches that may run, at most, of one request each.
pub const PROBE_BATCHES: u64 = 3;
/// How long its files stay where they can't be deleted.
const KEPT_SECONDS: u64 = 86_400;
/// Looks after the end at what it made, before it says what is left.
const LAST_LOOKS: u32 = 5;

/// How it is done.
#[derive(Clone, Debug)]
pub struct ProbePlan {
    /// A cheap model.
    pub model: String,
    /// Time between two looks.
    pub pause: Duration,
    /// Longest time for one question.
    pub patience: Duration,
    /// Longest time for a batch to be in the list: the settle window.
    pub settle: Duration,
}

/// Whether an assumption holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// It couldn't be told.
    Unknown,
}

/// What was found about one assumption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A word for programs.
    pub check: String,
    /// What is assumed, for people.
    pub assumption: String,
    /// Whether it holds.
    pub holds: Holds,
    /// What was seen.
    pub detail: String,
}

/// The word of the finding that `SUBMIT_UNKNOWN=fence` rests on.
pub const FENCE: &str = "fence";

/// Asks the provider, question by question; `told` hears each finding as it is made. Fails where the provider can't be
/// reached at all, and cleans up all the same.
///
/// # Errors
/// A provider that can't be reached, or refuses the key.
pub async fn probe(
    context: &Context,
    plan: &ProbePlan,
    told: impl FnMut(&Finding),
) -> Result<Vec<Finding>, CallError> {
    let mark = context.clock().new_id().simple().to_string();
    let mut probe = Probe { context, plan, mark, findings: Vec::new(), told };
    let asked = probe.ask().await;
    let left = probe.clean_up().await;
    asked?;
    let holds = if left.is_empty() { Holds::Yes } else { Holds::No };
    let detail = if left.is_empty() { "nothing of the probe is left".to_owned() } else { left.join("; ") };
    probe.tell("cleanup", "batches can be cancelled and files deleted afterwards", holds, detail);
    Ok(probe.findings)
}

struct Probe<'a, F> {
    context: &'a Context,
    plan: &'a ProbePlan,
    mark: String,
    findings: Vec<Finding>,
    told: F,
}

impl<F: FnMut(&Finding)> Probe<'_, F> {
    /// The questions, in an order in which each needs no more of the ones before it than they made.
    async fn ask(&mut self) -> Result<(), CallError> {
        let first = self.listed_file(1).await?;
        let wrong = CreateBatch { endpoint: "/v1/no-such-endpoint".to_owned(), ..self.request(&first) };
        let refused = self.send(&wrong).await;
        let created = self.create(&first).await;
        let mut reach = Reach::Nothing;
        if let Some(batch) = &created {
            self.metadata(batch).await;
            self.listed_batch(batch).await?;
            // A batch that still validates would fail without its file, and tell nothing about a cancel.
            let validated = self.validated(batch).await;
            reach = Reach::of(&validated);
            self.file_in_use(&first, validated).await;
            self.cancel(batch).await;
        }
        let second = self.upload(2).await?;
        self.fence(&second, reach).await?;
        // Last of all, so that a batch which the list shows late had its time.
        self.refusal(&first, &refused, created.as_ref()).await
    }

    fn tell(&mut self, check: &str, assumption: &str, holds: Holds, detail: impl Into<String>) {
        let (check, assumption, detail) = (check.to_owned(), assumption.to_owned(), detail.into());
        let finding = Finding { check, assumption, holds, detail };
        (self.told)(&finding);
        self.findings.push(finding);
    }

    fn file_name(&self, number: u32) -> String {
        format!("overnight-probe-{}-{number}.jsonl", self.mark)
    }

    fn line(&self, number: u32) -> String {
        let body = json!({
            "model": self.plan.model,
            "messages": [{ "role": "user", "content": PROMPT }],
            "max_completion_tokens": PROBE_OUTPUT_TOKENS,
        });
        let line = json!({ "custom_id": format!("probe-{number}"), "method": "POST", "url": ENDPOINT, "body": body });
        format!("{line}\n")
    }

    async fn upload(&self, number: u32) -> Result<String, CallError> {
        let bytes = Bytes::from(self.line(number));
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let body = stream::iter([Ok(bytes)]);
        let uploaded =
            outside::upload(self.context, &self.file_name(number), length, body, KEPT_SECONDS).await?;
        Ok(uploaded.id)
    }

    /// Looks every `pause` until something is seen or the time is up; answers it with the time that it took.
    async fn until<T>(
        &self,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Result<Option<T>, CallError>,
    ) -> Result<Option<(T, Duration)>, CallError> {
        let began = Instant::now();
        loop {
            if let Some(seen) = look().await? {
                return Ok(Some((seen, began.elapsed())));
            }
            if began.elapsed() >= patience {
                return Ok(None);
            }
            tokio::time::sleep(self.plan.pause).await;
        }
    }

    async fn listed_file(&mut self, number: u32) -> Result<String, CallError> {
        let (name, length) = (self.file_name(number), self.line(number).len());
        let id = self.upload(number).await?;
        let listed = self.until(self.plan.patience, async || {
            let mut found = None;
            outside::each_file(self.context, |file| {
                if file.id == id {
                    found = Some((file.filename, file.bytes));
                }
            })
            .await?;
            Ok(found)
        });
        let (holds, detail) = match listed.await? {
            Some(((there, bytes), after)) if there == name && usize::try_from(bytes) == Ok(length) => {
                (Holds::Yes, format!("it was there after {after:.1?}, with its name and {bytes} bytes"))
            }
            Some(((there, bytes), _)) => {
                (Holds::No, format!("{name} of {length} bytes is listed as {there} of {bytes} bytes"))
            }
            None => (Holds::No, format!("it was not there after {:.0?}", self.plan.patience)),
        };
        self.tell(
            "file_listed",
            "the list of files shows an upload at once, with its name and size",
            holds,
            detail,
        );
        Ok(id)
    }

    /// What became of a create that names a wrong endpoint.
    async fn refusal(
        &mut self,
        file_id: &str,
        refused: &Create,
        created: Option<&Batch>,
    ) -> Result<(), CallError> {
        let (holds, detail) = match refused {
            Create::Refused(error) => {
                let status = error.status().unwrap_or_default();
                let there = self.of_file(file_id).await?;
                match there.iter().find(|batch| created.is_none_or(|created| created.id != batch.id)) {
                    None => {
                        (Holds::Yes, format!("HTTP {status}, and no batch of it was in the list at the end"))
                    }
                    Some(batch) => (Holds::No, format!("HTTP {status}, and the list shows {}", batch.id)),
                }
            }
            Create::Created(batch) => {
                (Holds::Unknown, format!("a wrong endpoint was not refused but accepted as {}", batch.id))
            }
            other => (Holds::Unknown, outcome(other)),
        };
        self.tell("refusal", "a refusal (4xx with an error body) creates nothing", holds, detail);
        Ok(())
    }

    async fn create(&mut self, file_id: &str) -> Option<Batch> {
        let (created, holds, detail) = match self.send(&self.request(file_id)).await {
            Create::Created(batch) => {
                let detail = format!("batch {} was created", batch.id);
                (Some(*batch), Holds::Yes, detail)
            }
            other => (None, Holds::Unknown, outcome(&other)),
        };
        self.tell("create", "a batch can be created on this account", holds, detail);
        created
    }

    async fn metadata(&mut self, batch: &Batch) {
        let (holds, detail) = match outside::batch(self.context, &batch.id).await {
            Ok(there) if there.metadata == self.request("").metadata => {
                (Holds::Yes, "they came back as they were sent".to_owned())
            }
            Ok(there) => {
                let found = there.metadata.map_or(0, |metadata| metadata.len());
                (Holds::No, format!("{found} of them came back, or not as they were sent"))
            }
            Err(error) => (Holds::Unknown, error.to_string()),
        };
        self.tell("metadata", "metadata of a batch come back as they were sent", holds, detail);
    }

    async fn listed_batch(&mut self, batch: &Batch) -> Result<(), CallError> {
        let within = self.plan.settle;
        let listed = self.until(within, async || {
            let (mut place, mut seen) = (0_u64, None);
            outside::each_batch(self.context, |there| {
                place += 1;
                if there.id == batch.id {
                    seen = Some(place);
                }
            })
            .await?;
            Ok(seen.map(|seen| (seen, place)))
        });
        let (holds, detail) = match listed.await? {
            Some(((place, all), after)) => {
                (Holds::Yes, format!("it was there after {after:.1?}, in place {place} of {all}"))
            }
            None => (Holds::No, format!("it was not there after {within:.0?}")),
        };
        let assumption = "a complete walk of the list shows a batch within SUBMIT_SETTLE_MS";
        self.tell("batch_listed", assumption, holds, detail);
        Ok(())
    }

    /// Nothing rests on either answer: where the deletion is refused, a create in doubt is parked.
    async fn file_in_use(&mut self, file_id: &str, validated: Validated) {
        let status = match validated {
            Ok(Some((batch, _))) => batch.status,
            Ok(None) => BatchStatus::Validating,
            Err(error) => return self.tell(IN_USE.0, IN_USE.1, Holds::Unknown, error.to_string()),
        };
        let (holds, detail) = match outside::delete_file(self.context, file_id).await {
            Ok(answer) if answer.deleted => {
                (Holds::Yes, format!("it was deleted while the batch was {status}"))
            }
            Ok(_) => (Holds::Yes, format!("the provider kept it while the batch was {status}")),
            Err(error) if error.class() == openai::Class::Refused => {
                (Holds::Yes, format!("the deletion was refused while the batch was {status}: {error}"))
            }
            Err(error) => (Holds::Unknown, error.to_string()),
        };
        self.tell(IN_USE.0, IN_USE.1, holds, detail);
    }

    async fn cancel(&mut self, batch: &Batch) {
        let (holds, detail) = match outside::cancel_batch(self.context, &batch.id).await {
            Ok(there) if matches!(there.status, BatchStatus::Cancelling | BatchStatus::Cancelled) => {
                (Holds::Yes, format!("it is {}", there.status))
            }
            Ok(there) => (Holds::Unknown, format!("it is {}", there.status)),
            Err(error) => match outside::batch(self.context, &batch.id).await {
                Ok(there) if there.status.is_terminal() => {
                    (Holds::Unknown, format!("it had ended as {} before it was asked to stop", there.status))
                }
                _ => (Holds::No, error.to_string()),
            },
        };
        self.tell("cancel", "a batch that is open can be cancelled", holds, detail);
    }

    /// The file is gone before a create names it. A batch that comes no further than one whose file is there says
    /// nothing about the file.
    async fn fence(&mut self, file_id: &str, reach: Reach) -> Result<(), CallError> {
        let assumption = "a create that names a deleted file fails, or its batch never runs";
        match outside::delete_file(self.context, file_id).await {
            Ok(answer) if answer.deleted => {}
            Ok(_) => {
                self.tell(FENCE, assumption, Holds::Unknown, "the provider kept a file that nobody uses");
                return Ok(());
            }
            Err(error) => {
                self.tell(FENCE, assumption, Holds::Unknown, error.to_string());
                return Ok(());
            }
        }
        let (holds, detail) = match self.send(&self.request(file_id)).await {
            Create::Refused(error)
                if !error.is_auth() && !error.is_quota() && error.status() != Some(429) =>
            {
                let (status, code) = (error.status().unwrap_or_default(), error.code().unwrap_or_default());
                if reach == Reach::Nothing {
                    (Holds::Unknown, format!("a create with its file was refused, too: HTTP {status} {code}"))
                } else if is_of_its_file(error.message(), file_id) {
                    (Holds::Yes, format!("the create was refused: HTTP {status} {code}"))
                } else {
                    (Holds::Unknown, format!("the create was refused, and not for its file: {error}"))
                }
            }
            Create::Created(batch) => {
                let watched = self.watch(&batch, reach).await;
                watched.unwrap_or_else(|error| (Holds::Unknown, error.to_string()))
            }
            other => (Holds::Unknown, outcome(&other)),
        };
        self.tell(FENCE, assumption, holds, detail);
        Ok(())
    }

    /// What becomes of a batch whose input file was gone before it was created.
    async fn watch(&self, batch: &Batch, reach: Reach) -> Result<(Holds, String), CallError> {
        let id = &batch.id;
        let Some((there, after)) = self.validated(batch).await? else {
            let patience = self.plan.patience;
            let detail = format!("batch {id} was accepted, and is still validating after {patience:.0?}");
            return Ok((Holds::Unknown, detail));
        };
        if there.status != BatchStatus::Failed {
            return Ok((Holds::No, format!("batch {id} was accepted, and is {}", there.status)));
        }
        let errors: Vec<&BatchError> = there.errors.iter().flat_map(|errors| &errors.data).collect();
        let why = errors.iter().find_map(|error| error.code.as_deref()).unwrap_or("no reason is told");
        let failed = format!("batch {id} was accepted, and failed its validation after {after:.1?}: {why}");
        Ok(if reach != Reach::Validated {
            (Holds::Unknown, format!("{failed}; none with its file was seen to pass"))
        } else if errors.iter().any(|error| is_about_its_file(error, &batch.input_file_id)) {
            (Holds::Yes, failed)
        } else {
            (Holds::Unknown, format!("{failed}, which isn't said of its file"))
        })
    }

    /// The batch once its validation has ended, and how long that took.
    async fn validated(&self, batch: &Batch) -> Validated {
        let ended = self.until(self.plan.patience, async || {
            let there = outside::batch(self.context, &batch.id).await?;
            Ok((there.status != BatchStatus::Validating).then_some(there))
        });
        ended.await
    }

    fn request(&self, file_id: &str) -> CreateBatch {
        let metadata = [(MARK, self.mark.clone()), ("overnight_note", "kept as sent: é \"x\"".to_owned())];
        CreateBatch {
            input_file_id: file_id.to_owned(),
            endpoint: ENDPOINT.to_owned(),
            completion_window: COMPLETION_WINDOW.to_owned(),
            metadata: Some(
                metadata.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>(),
            ),
            output_expires_after: None,
        }
    }

    /// Sent once, like every create.
    async fn send(&self, request: &CreateBatch) -> Create {
        let permission = Permission::of(self.context, self.context.config.create_within);
        outside::create_batch(self.context, request, permission).await
    }

    async fn of_file(&self, file_id: &str) -> Result<Vec<Batch>, CallError> {
        let mut found = Vec::new();
        outside::each_batch(self.context, |batch| {
            if batch.input_file_id == file_id {
                found.push(batch);
            }
        })
        .await?;
        Ok(found)
    }

    /// Stops what runs and deletes what was uploaded, whatever became of the questions. Answers what is left.
    async fn clean_up(&self) -> Vec<String> {
        let mut left = vec!["nobody has looked".to_owned()];
        for _ in 0..LAST_LOOKS {
            left = match self.clean().await {
                Ok(left) => left,
                Err(error) => vec![error.to_string()],
            };
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(self.plan.pause).await;
        }
        left
    }

    async fn clean(&self) -> Result<Vec<String>, CallError> {
        let (mark, mut batches, mut files, mut left) =
            (self.mark.clone(), Vec::new(), Vec::new(), Vec::new());
        outside::each_batch(self.context, |batch| {
            let ours = batch.metadata.as_ref().and_then(|metadata| metadata.get(MARK)) == Some(&mark);
            if ours && !batch.status.is_terminal() {
                batches.push(batch);
            }
        })
        .await?;
        for batch in batches.iter().filter(|batch| batch.status != BatchStatus::Cancelling) {
            if let Err(error) = outside::cancel_batch(self.context, &batch.id).await {
                left.push(format!("batch {} runs on: {error}", batch.id));
            }
        }
        outside::each_file(self.context, |file| {
            if file.filename.contains(&mark) {
                files.push(file.id);
            }
        })
        .await?;
        for file in files {
            if let Err(error) = outside::delete_file(self.context, &file).await
                && !error.is_not_found()
            {
                left.push(format!("file {file} stays for a day: {error}"));
            }
        }
        Ok(left)
    }
}

/// A batch whose validation has ended, and how long that took; none where it goes on.
type Validated = Result<Option<(Batch, Duration)>, CallError>;

/// How far a batch comes whose file is there: the measure for one whose file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// No create succeeded.
    Nothing,
    /// It was created; whether it passes its validation was not seen, or it doesn't.
    Created,
    /// It passed its validation.
    Validated,
}

impl Reach {
    fn of(validated: &Validated) -> Self {
        match validated {
            Ok(Some((batch, _))) if passes(&batch.status) => Self::Validated,
            _ => Self::Created,
        }
    }
}

/// Whether a batch of this status has passed its validation. What nobody knows says nothing.
fn passes(status: &BatchStatus) -> bool {
    matches!(
        status,
        BatchStatus::InProgress
            | BatchStatus::Finalizing
            | BatchStatus::Completed
            | BatchStatus::Expired
            | BatchStatus::Cancelling
            | BatchStatus::Cancelled
    )
}

/// Whether the input file is to blame, as where it is gone.
fn is_about_its_file(error: &BatchError, file_id: &str) -> bool {
    let names_it = |param: &String| ["file_id", "input_file_id"].contains(&param.as_str());
    error.line.is_none()
        && (error.param.as_ref().is_some_and(names_it)
            || error.message.as_ref().is_some_and(|message| is_of_its_file(message, file_id)))
}

/// Whether words of the provider are about the input file.
fn is_of_its_file(said: &str, file_id: &str) -> bool {
    said.contains(file_id) || said.to_lowercase().contains("input file")
}

const IN_USE: (&str, &str) =
    ("file_in_use", "what deleting the file of an open batch does is told (nothing rests on it)");

/// A create that came to nothing that can be judged.
fn outcome(create: &Create) -> String {
    match create {
        Create::Created(batch) => format!("batch {} was created", batch.id),
        Create::Refused(error) => format!("the create was refused: {error}"),
        Create::NotSent(error) => format!("the create was not sent: {error}"),
        Create::Ambiguous(error) => format!("the create has an unknown outcome: {error}"),
        Create::TooLate => "the create was not sent in time".to_owned(),
    }
}
