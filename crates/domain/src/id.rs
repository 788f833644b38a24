//! Identities: UUIDv7 newtypes, so that a batch can't be passed where a job is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// What a user, a schedule or an event asked for.
    JobId
}
id! {
    /// One request line of a job.
    TaskId
}
id! {
    /// One provider batch.
    BatchId
}
id! {
    /// One trip of a task through one batch.
    AttemptId
}
id! {
    /// One firing of a schedule.
    RunId
}
id! {
    /// What somebody outside has asked for by a message.
    CommandId
}
id! {
    /// What outsiders hear; the same occurrence always has the same id.
    EventId
}

/// Namespace of command ids; a random constant.
const COMMANDS: Uuid = Uuid::from_u128(0x2b1d_9c54_7f0a_4be3_8a6e_d0c9_35f1_7e48);

impl CommandId {
    /// The id of a command, from what its sender calls it: the same command gives the same id.
    #[must_use]
    pub fn of(source: &str, id: &str) -> Self {
        Self(Uuid::new_v5(&COMMANDS, format!("{source}\n{id}").as_bytes()))
    }
}

/// Namespace of event ids; a random constant.
const EVENTS: Uuid = Uuid::from_u128(0x8f6a_2d0c_51c7_4f0e_9d3b_6b1e_74a9_c2f5);

impl EventId {
    /// The id of an occurrence, from its type and what it is about: saying it twice gives the same id.
    #[must_use]
    pub fn of(event_type: &str, subject: &str, occurrence: &str) -> Self {
        Self(Uuid::new_v5(&EVENTS, format!("{event_type}\n{subject}\n{occurrence}").as_bytes()))
    }
}
