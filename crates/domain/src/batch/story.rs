//! A batch in words: what was tried, what happens next, and what a person can decide. It decides nothing.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::{Absence, Batch, BatchState, CreateDoubt, CreateKey, Loss, Parked, Resolution};
use crate::Time;

impl Batch {
    /// What was tried about a create whose outcome isn't known, or before a person was asked; none where nothing
    /// is in doubt.
    #[must_use]
    pub fn tried(&self) -> Option<String> {
        let sent = |CreateKey { upload, file_id }: &CreateKey| {
            format!(
                "a create was sent once, for upload {upload} (input file {file_id}), and its outcome is not known"
            )
        };
        Some(match &self.state {
            BatchState::Creating { key, .. } => {
                format!("a create is being sent, for upload {} (input file {})", key.upload, key.file_id)
            }
            BatchState::Unknown { key, absence } => format!("{}; {}", sent(key), walked(*absence)),
            BatchState::Fencing { key } => {
                format!("{}; the provider's list has not shown it for the whole settle window", sent(key))
            }
            BatchState::Fenced { key, absence } => {
                format!(
                    "{}; its input file was deleted, so that it can't run any more; {}",
                    sent(key),
                    walked(*absence)
                )
            }
            BatchState::Parked(Parked::Create { key, doubt }) => match doubt {
                CreateDoubt::Absent => {
                    format!("{}; the provider's list has not shown it for the whole settle window", sent(key))
                }
                CreateDoubt::FenceRefused => format!(
                    "{}; the provider's list has not shown it for the whole settle window, and the provider won't \
                     delete its input file",
                    sent(key)
                ),
            },
            BatchState::Parked(Parked::Provider { loss, .. }) => match loss {
                Loss::Vanished => "the provider was asked for it, several times in a row".to_owned(),
                Loss::FilesGone => "its result files were asked for, several times in a row".to_owned(),
                Loss::Failing => "looking or collecting was tried again and again".to_owned(),
            },
            BatchState::Parked(Parked::Submit) => {
                "submitting was tried again and again; nothing was created".to_owned()
            }
            _ => return None,
        })
    }
}

impl Batch {
    /// The command by which a person decides, once a resolution stands in the place of its name; `batch` is the
    /// batch's id, or its number within the job.
    #[must_use]
    pub fn resolve_command(&self, batch: impl Display) -> String {
        format!("overnight batch resolve {} RESOLUTION --batch {batch} --upload {}", self.job, self.upload)
    }

    /// What a person is told who may have to decide: what was tried, what happens next and when, and what decides.
    pub(super) fn question(&self, at: Option<Time>) -> Map<String, Value> {
        let resolutions: Vec<_> = self.state.resolutions().iter().map(|word| word.as_str()).collect();
        Map::from_iter([
            ("tried".to_owned(), json!(self.tried())),
            ("next".to_owned(), json!({ "what": self.state.next(), "at": at })),
            (
                "decide".to_owned(),
                json!({ "resolutions": resolutions, "command": self.resolve_command(self.id) }),
            ),
        ])
    }
}

impl BatchState {
    /// What happens next by itself; none at an end.
    #[must_use]
    pub fn next(&self) -> Option<&'static str> {
        Some(match self {
            Self::Filling => "more lines are planned into it",
            Self::Planned => "its input file is uploaded, and the batch created",
            Self::Creating { .. } => "where no answer comes by its deadline, the provider's list is walked",
            Self::Unknown { .. } => {
                "the provider's list is walked; where it is missing for the whole settle window, SUBMIT_UNKNOWN decides"
            }
            Self::Fencing { .. } => {
                "its input file is deleted, so that a create which is still on its way can't run"
            }
            Self::Fenced { .. } => {
                "the provider's list is walked; where it is missing for the whole settle window, it is submitted anew"
            }
            Self::Open { .. } => "the provider is asked where it stands",
            Self::Collecting { .. } => "its results are fetched",
            Self::Parked(_) => "nothing, until a person decides",
            Self::Collected { .. } | Self::Refused | Self::Cancelled | Self::Abandoned { .. } => return None,
        })
    }

    /// What a person can decide about it now.
    #[must_use]
    pub fn resolutions(&self) -> &'static [Resolution] {
        match self {
            Self::Parked(parked) => parked.resolutions(),
            Self::Unknown { .. } | Self::Fencing { .. } | Self::Fenced { .. } => {
                &[Resolution::NotCreated, Resolution::GiveUp]
            }
            _ => &[],
        }
    }
}

fn walked(Absence { looks, since }: Absence) -> String {
    match since {
        None => "the provider's list was not walked yet".to_owned(),
        Some(since) => {
            let walks = if looks == 1 { "walk" } else { "walks" };
            format!(
                "{looks} complete {walks} of the provider's list since {} did not show it",
                since.format("%FT%TZ")
            )
        }
    }
}
