//! The inbox: commands from outside become jobs by the same door as requests of the API.
//!
//! A command is acknowledged when its job is committed, or when its refusal is told and it lies among the
//! dead letters. While the database is away it waits. It never talks to the provider.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Event, EventType, JobId, failure_backoff};
use queue::{Inbox, Letter};
use reception::{House, Received, Refusal, Wish};
use serde_json::{Value, json};
use store::{Idempotency, Store};
use telemetry::metrics::MESSAGES_CONSUMED;
use tokio_util::sync::CancellationToken;

use crate::command::{self, Asked, Raw, Sender};
use crate::outside;
use crate::worker::chain;

/// How often a command may fail here while the database answers, before a person looks at it.
const PATIENCE: u32 = 8;
/// What becomes of a command that its readers gave back too often. It is not tried once more: a reader that dies again
/// leaves it to the broker, which tells nobody.
const GIVEN_BACK: &str = "whoever read it died or gave it back five times before it was answered; the schedulers' logs say why; send it again";
/// Longest pause before it is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Reads commands until `stop`; what is in hand is finished.
pub async fn read_inbox(store: Store, house: House, inbox: Inbox, stop: CancellationToken) {
    loop {
        let letter = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            letter = inbox.receive() => letter,
        };
        let is_last = letter.is_last();
        let clerk = Clerk { store: store.clone(), house: house.clone(), stop: stop.clone(), is_last };
        // A task of its own: a panic ends the command and not the inbox. It comes again, a few times.
        if tokio::spawn(async move { clerk.answer(letter).await }).await.is_err() {
            tracing::error!("a command from outside was not answered; this is a bug");
        }
    }
}

/// What becomes of a command.
enum Answer {
    /// It is a job.
    Job(JobId),
    /// All that it names is answered or on its way.
    Nothing,
    /// It can't be carried out.
    Refused(String),
}

struct Clerk {
    store: Store,
    house: House,
    stop: CancellationToken,
    /// Whether the command was given back as often as may be.
    is_last: bool,
}

impl Clerk {
    async fn answer(&self, letter: Letter) {
        let raw = Raw { body: letter.body(), content_type: letter.content_type(), headers: letter.headers() };
        let (sender, asked) = command::read(&raw);
        let (mut asked, mut tries, mut faults) = (asked, 0, 0);
        let answer = loop {
            let error = match self.once(&sender, &asked).await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            (tries, faults) = (tries + 1, faults + u32::from(self.store.ping().await.is_ok()));
            tracing::warn!(error = %chain(&error), tries, "a command from outside can't be answered yet");
            if faults >= PATIENCE && asked.is_ok() {
                asked = Err(format!("it failed here {faults} times ({error}); the logs say why"));
            }
            tokio::select! {
                biased;
                // It goes back to the broker, and to whoever reads it next.
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(failure_backoff(tries).min(LONGEST_PAUSE)) => {}
            }
        };
        self.conclude(letter, &sender, answer).await;
    }

    /// Carries it out, or tells why not. A failure is ours, and nothing was done.
    async fn once(&self, sender: &Sender, asked: &Result<Asked, String>) -> Result<Answer, Refusal> {
        let reason = match asked {
            Err(reason) => reason.clone(),
            Ok(asked) => match self.carry_out(sender, asked).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) if refusal.is_ours() => return Err(refusal),
                Err(refusal) => told(&refusal),
            },
        };
        self.refuse(sender, reason).await
    }

    async fn refuse(&self, sender: &Sender, reason: String) -> Result<Answer, Refusal> {
        let data = json!({ "command": sender.told(), "reason": reason });
        self.say(sender, EventType::CommandRefused, data).await?;
        Ok(Answer::Refused(reason))
    }

    async fn carry_out(&self, sender: &Sender, asked: &Asked) -> Result<Answer, Refusal> {
        let mut wish = Wish::of(&asked.job, self.store.clock().now())?;
        let key = format!("command/{}", sender.command());
        wish.origin.idempotency = Some(Idempotency { key, hash: asked.hash.clone() });
        wish.origin.command = Some(asked.command.clone());
        wish.origin.trace = asked.trace;
        if self.is_last {
            return match reception::brought_before(&self.store, &wish).await? {
                Some(job) => Ok(Answer::Job(job)),
                None => self.refuse(sender, GIVEN_BACK.to_owned()).await,
            };
        }
        let prepared = match reception::receive(&self.store, &self.house, &wish).await? {
            Received::Accepted(job, _) | Received::Replayed(job) => return Ok(Answer::Job(job)),
            Received::Nothing(prepared) => prepared,
        };
        let jobs = |jobs: &BTreeMap<JobId, u64>| -> Vec<Value> {
            jobs.iter().map(|(job, count)| json!({ "job_id": job, "count": count })).collect()
        };
        let skipped = &prepared.intake.skipped;
        let data = json!({
            "command": sender.told(),
            "answered": jobs(&skipped.answered),
            "on_their_way": jobs(&skipped.on_their_way),
            "left_out": prepared.request.origin.left_out,
        });
        self.say(sender, EventType::CommandFoundNothing, data).await?;
        Ok(Answer::Nothing)
    }

    async fn say(&self, sender: &Sender, event_type: EventType, data: Value) -> Result<(), Refusal> {
        let command = sender.command();
        let event = Event::of_command(event_type, command, data);
        Ok(self.store.say_of_command(command, &event).await?)
    }

    async fn conclude(&self, letter: Letter, sender: &Sender, answer: Answer) {
        let (source, id) = (&sender.source, &sender.id);
        let outcome = match answer {
            Answer::Job(job) => {
                tracing::info!(command.source = source, command.id = id, job.id = %job, "a command from outside is a job");
                outside::accept(letter).await;
                "claimed"
            }
            Answer::Nothing => {
                tracing::info!(
                    command.source = source,
                    command.id = id,
                    "a command from outside found nothing to do"
                );
                outside::accept(letter).await;
                "nothing"
            }
            Answer::Refused(reason) => {
                tracing::warn!(
                    command.source = source,
                    command.id = id,
                    reason,
                    "a command from outside is refused"
                );
                if let Err(error) = outside::refuse(letter, &reason).await {
                    tracing::info!(error = %error, "a refused command is not buried yet; it comes again");
                }
                "refused"
            }
        };
        metrics::counter!(MESSAGES_CONSUMED, "queue" => "inbox", "outcome" => outcome).increment(1);
    }
}

/// A refusal in the words of whoever sends commands.
fn told(refusal: &Refusal) -> String {
    match refusal {
        Refusal::KeyTaken { job } => format!(
            "another command of this source had the same id, and became job {job}; give each an id of its own"
        ),
        Refusal::NoJob { nearest, .. } | Refusal::ManyJobs { found: nearest, .. } if !nearest.is_empty() => {
            let ids: Vec<_> = nearest.iter().map(JobId::to_string).collect();
            format!("data.reprocess_failed.job: {refusal}; there are {}", ids.join(", "))
        }
        Refusal::NoJob { .. } => format!("data.reprocess_failed.job: {refusal}; there are no jobs"),
        Refusal::Invalid(invalid) => {
            let first = invalid.first().map_or_else(String::new, |first| format!(", the first: {first}"));
            format!("{refusal}{first}")
        }
        Refusal::Field { .. } => format!("data.{refusal}"),
        _ => refusal.to_string(),
    }
}
