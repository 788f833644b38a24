//! What the stand-in is told: which requests it answers how, and what becomes of batches. It decides nothing.

use serde::{Deserialize, Serialize};

/// What a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// POST /files
    Upload,
    /// GET /files
    ListFiles,
    /// GET /files/ID
    GetFile,
    /// DELETE /files/ID
    DeleteFile,
    /// GET /files/ID/content
    Content,
    /// POST /batches
    Create,
    /// GET /batches
    ListBatches,
    /// GET /batches/ID
    GetBatch,
    /// POST /batches/ID/cancel
    Cancel,
}

/// When a request is carried out, whatever its client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Before the answer.
    #[default]
    Now,
    /// A create twice, as where a proxy repeats it; anything else once.
    Twice,
    /// Not at all.
    Never,
    /// So many milliseconds after the answer.
    Late(u64),
    /// When [`crate::Liar::release`] says so.
    OnRelease,
    /// A create as soon as the file that it names is deleted.
    OnDeletion,
}

/// What the client is told, whatever was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What is so.
    #[default]
    Honest,
    /// The connection is closed without a byte.
    Drop,
    /// Nothing for so many milliseconds, and then the connection is closed.
    Hang(u64),
    /// An error in the provider's own form.
    Error {
        /// HTTP status.
        status: u16,
        /// The provider's code.
        code: Option<String>,
        /// Seconds, as `Retry-After`.
        retry_after: Option<u64>,
    },
    /// A status with a page of a proxy that knows nothing.
    Page(u16),
    /// A success whose JSON ends after so many bytes.
    CutJson(usize),
    /// A success whose connection breaks after so many bytes of body.
    CutWire(usize),
    /// A success that isn't JSON.
    Garbage,
}

/// How some requests of one kind are answered. Of several rules that match, the first holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Which requests.
    pub op: Op,
    /// From which one on, counted from 1 since the rule was given.
    pub nth: u32,
    /// For how many; 0: from then on all.
    pub count: u32,
    /// When it is carried out.
    pub act: Act,
    /// What is said.
    pub reply: Reply,
    /// What becomes of a batch that it creates; the settings' fate if none.
    pub fate: Option<Fate>,
}

impl Rule {
    /// The next request of this kind, carried out and answered honestly until told otherwise.
    #[must_use]
    pub fn of(op: Op) -> Self {
        Self { op, nth: 1, count: 1, act: Act::Now, reply: Reply::Honest, fate: None }
    }

    /// From the `nth` on.
    #[must_use]
    pub fn from(self, nth: u32) -> Self {
        Self { nth, ..self }
    }

    /// For so many; 0: all.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// Carried out then.
    #[must_use]
    pub fn act(self, act: Act) -> Self {
        Self { act, ..self }
    }

    /// Answered so.
    #[must_use]
    pub fn reply(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }

    /// Its batch ends so.
    #[must_use]
    pub fn fate(self, fate: Fate) -> Self {
        Self { fate: Some(fate), ..self }
    }

    /// Not carried out, and refused in the provider's words.
    #[must_use]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        self.act(Act::Never).reply(Reply::Error { status, code, retry_after: None })
    }
}

/// What becomes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fate {
    /// How it ends.
    pub end: End,
    /// What happens to lines, by their number from 1.
    pub lines: Vec<(usize, LineFault)>,
    /// Lines in the output file that answer nobody's request.
    pub strangers: u32,
    /// Words that its first looks, single ones and those of the list, are told instead of its status, in any order, known or
    /// not; no file is named with them.
    pub statuses: Vec<String>,
    /// `error_file_id` is `""` where there is no error file.
    pub empty_error_id: bool,
    /// It is told without counts and its input file, and with metadata of the server's own that is no text.
    pub odd: bool,
    /// The page of a proxy stands in place of its output file.
    pub page: bool,
    /// Nothing of it runs until the settings say so.
    pub held: bool,
}

/// How a batch ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All lines run.
    #[default]
    Completes,
    /// It fails its validation: nothing runs.
    Fails {
        /// The error's code.
        code: String,
        /// The line to blame.
        line: Option<u64>,
    },
    /// The 24 hours run out after so many lines.
    Expires(usize),
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineFault {
    /// The model's server answers with this status: in the error file, and not billed.
    Http(u16),
    /// The same with 400, in words that hold U+0000, and behind it a line for a stranger whose name holds it.
    Nul,
    /// It ran, and stands in neither file.
    Missing,
    /// It stands there twice.
    Twice,
    /// It stands there, and with an error in the error file.
    Both,
    /// It is answered, beside ids that are null and an error that is none.
    Odd,
    /// Its line is torn behind the `custom_id`.
    Torn,
    /// Its line is no JSON at all.
    Noise,
    /// Status 0 and no answer, among the successes.
    StatusZero,
    /// An answer that breaks the schema.
    BadAnswer,
}

/// What holds for everything, until it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Milliseconds until a batch is checked.
    pub validate_ms: u64,
    /// Milliseconds that a line takes.
    pub line_ms: u64,
    /// Milliseconds for which a new batch is in no list.
    pub lag_ms: u64,
    /// Walks of the list (first pages) for which a new batch is in none.
    pub lag_walks: u32,
    /// The id of a file that no list shows, as if the lists lagged.
    pub hidden_file: Option<String>,
    /// No list shows any file.
    pub hide_files: bool,
    /// Batches on a page, at most.
    pub page: usize,
    /// The list begins anywhere.
    pub shuffled: bool,
    /// What the deletion of an input file does to batches.
    pub fence: Fence,
    /// What becomes of batches.
    pub fate: Fate,
    /// Held batches run.
    pub run_held: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            validate_ms: 0,
            line_ms: 0,
            lag_ms: 0,
            lag_walks: 0,
            hidden_file: None,
            hide_files: false,
            page: 100,
            shuffled: false,
            fence: Fence::BatchFails,
            fate: Fate::default(),
            run_held: false,
        }
    }
}

/// What the deletion of an input file does to batches of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// A create that names the file is accepted, and the batch fails its validation.
    #[default]
    BatchFails,
    /// A create that names the file is refused.
    CreateFails,
    /// Nothing: the batch runs.
    Nothing,
}
