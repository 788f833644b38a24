//! Every side effect that the stages have outside their own memory, once. A new one gets a name here, and by
//! that its two crash points.
//!
//! What has none can be made again and takes nothing along: folders and locks, files that a command writes for a
//! person, the queues at the broker; or it is the gateway's, whose rows and blobs are its own, or a change of the schema.
//! `clippy.toml` forbids the bare calls; an exception says why.

use std::fmt;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A side effect: a call of the provider, a commit, a message, a file of the spool.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            /// Its name, with the room that it leaves from.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl Point {
            /// All of them, in the order of a night.
            pub const ALL: &[Self] = &[$(
                Self { step: Step::$name, side: Side::Before },
                Self { step: Step::$name, side: Side::After },
            )*];
        }
    };
}

steps! {
    // The store: commits of several statements.
    /// Records are kept.
    LoadRecords = "store.load_records",
    /// Tasks come into the backlog.
    AddBacklog = "store.add_backlog",
    /// A job is on record, with its tasks.
    Accept = "store.accept",
    /// A schedule changes; by a tick, with the nights that have come.
    Schedule = "store.schedule",
    /// A run has taken what it found.
    FinishRun = "store.finish_run",
    /// A part of a job is planned.
    Plan = "store.plan",
    /// The permission for one create.
    Intent = "store.intent",
    /// What the provider said to a create.
    Create = "store.create",
    /// The provider refused the upload.
    Upload = "store.upload",
    /// A batch that an earlier try has left at the provider is taken in.
    Adopt = "store.adopt",
    /// The time for a create is over, and nobody knows its outcome.
    Deadline = "store.deadline",
    /// What the list said about a create of unknown outcome.
    Reconcile = "store.reconcile",
    /// The input file of a create of unknown outcome is deleted, or isn't.
    Fence = "store.fence",
    /// The audit found a batch that no row owned.
    Audit = "store.audit",
    /// The provider has a second batch.
    Spare = "store.spare",
    /// What a look at a batch showed.
    Poll = "store.poll",
    /// Answers of a chunk of lines.
    SettleLines = "store.settle_lines",
    /// What no line answered.
    SettleMissing = "store.settle_missing",
    /// All of a batch's answers are in.
    Collect = "store.collect",
    /// A job's tasks and batches are counted.
    Settle = "store.settle",
    /// A job or a batch is called off.
    Cancel = "store.cancel",
    /// Tasks in no batch are called off.
    CancelUnplanned = "store.cancel_unplanned",
    /// A job that waited for the switch goes on.
    SwitchOn = "store.switch_on",
    /// A batch is parked, since its stage keeps failing.
    GaveUp = "store.gave_up",
    /// A person has decided about a batch.
    Resolve = "store.resolve",

    // The store: statements that are commits by themselves.
    /// This database's tag is made.
    Instance = "store.instance",
    /// This database gets another tag.
    RotateInstance = "store.rotate_instance",
    /// Claims of a process that died are forgotten.
    ForgetClaims = "store.forget_claims",
    /// The same of runs.
    ForgetRunClaims = "store.forget_run_claims",
    /// What rests is made due at a start.
    Wake = "store.wake",
    /// Orders are put off, about to be sent.
    PutOff = "store.put_off",
    /// An order is claimed.
    Claim = "store.claim",
    /// A claim on an order is renewed.
    Renew = "store.renew",
    /// An order is given back without a commit.
    GiveBack = "store.give_back",
    /// A lease that a commit left alone ends.
    Unlease = "store.unlease",
    /// What an entity waits for is made due.
    Nudge = "store.nudge",
    /// Batches that wait for nobody get an order.
    LostOrders = "store.lost_orders",
    /// A run is claimed.
    ClaimRun = "store.claim_run",
    /// A claim on a run is renewed.
    RenewRun = "store.renew_run",
    /// A run that failed rests.
    FailRun = "store.fail_run",
    /// Why a job can't go on.
    NoteJob = "store.note_job",
    /// Why a batch can't go on.
    NoteBatch = "store.note_batch",
    /// The publishing of events is taken by one process.
    TakeLease = "store.take_lease",
    /// Whoever publishes events stops, and lets another process do it.
    GiveLease = "store.give_lease",
    /// An account rests.
    Rest = "store.rest",
    /// Events are marked as published.
    Published = "store.published",
    /// Events that a lost queue has lost are to be published again.
    PublishAgain = "store.publish_again",
    /// What became of a command from outside.
    SayOfCommand = "store.say_of_command",
    /// What a probe of the provider has found.
    AddProbe = "store.add_probe",
    /// A token is made.
    AddToken = "store.add_token",
    /// A token is taken back.
    RevokeToken = "store.revoke_token",
    /// When a token was used.
    TouchToken = "store.touch_token",

    // The provider.
    /// A sign of life is asked for.
    ProviderPing = "provider.ping",
    /// The list of files is walked.
    ProviderFiles = "provider.list_files",
    /// An input file goes up.
    ProviderUpload = "provider.upload",
    /// A file is deleted.
    ProviderDelete = "provider.delete_file",
    /// The one request that costs money.
    ProviderCreate = "provider.create",
    /// One batch is looked at.
    ProviderLook = "provider.look",
    /// Batches that are due together are looked for in the list.
    ProviderFind = "provider.find_batches",
    /// The list of batches is walked.
    ProviderBatches = "provider.list_batches",
    /// A batch is asked to stop.
    ProviderCancel = "provider.cancel",
    /// A result file comes down.
    ProviderDownload = "provider.download",

    // Messages.
    /// Orders are sent.
    QueueSend = "queue.send",
    /// A message is acknowledged.
    QueueAcknowledge = "queue.acknowledge",
    /// A command from outside is acknowledged.
    LetterAccept = "queue.accept_letter",
    /// A command from outside goes to the dead letters.
    LetterRefuse = "queue.refuse_letter",
    /// A message that nobody can read, or a command that was refused, is laid among the dead letters. What is left
    /// then is to acknowledge it.
    QueueBury = "queue.bury",
    /// Events are published.
    QueuePublish = "queue.publish",
    /// The queue of the agent runner is made again.
    QueueKeep = "queue.keep_events",

    // The spool.
    /// A file is opened for a download.
    SpoolCreate = "spool.create",
    /// A whole download gets its name.
    SpoolRename = "spool.rename",
    /// A file that was read, or is there by half, goes.
    SpoolRemove = "spool.remove",
}

impl Step {
    /// Its name without the room: what the database keeps as the name of a write.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(_, word)| word)
    }

    /// Whether a failure can be made up for it. Those of the provider and of the broker are made by real
    /// ones, which tests have.
    #[must_use]
    pub fn can_fail(self) -> bool {
        self.name().starts_with("store.") || self.name().starts_with("spool.")
    }
}

/// Which side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nothing is done.
    Before,
    /// It is done, and nobody knows.
    After,
}

/// A place that a crash may come at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The side effect.
    pub step: Step,
    /// Before it or after it.
    pub side: Side,
}

impl Point {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.to_string() == name)
    }

    /// Its place in [`Point::ALL`].
    pub(crate) fn index(self) -> usize {
        self.step as usize * 2 + usize::from(self.side == Side::After)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Before { "before" } else { "after" };
        write!(f, "{}.{side}", self.step.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_and_a_place_of_its_own() {
        for (place, point) in Point::ALL.iter().enumerate() {
            assert_eq!(point.index(), place, "{point}");
            assert_eq!(Point::of(&point.to_string()), Some(*point));
        }
    }
}
