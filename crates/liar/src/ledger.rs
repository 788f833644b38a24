//! The ledger: what the stand-in did, in order, a JSON line each. Whatever a client can see later is synced
//! first. Lines are only ever added.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::rule::{Fate, Op};

/// Something that the stand-in did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// It has begun to serve.
    Started {
        /// Milliseconds since 1970.
        at: i64,
    },
    /// It has read a request and knows what it will say.
    Request {
        /// Milliseconds since 1970.
        at: i64,
        /// What was asked for.
        op: Op,
        /// The file or the batch that it names, or its cursor.
        id: String,
        /// The status of the answer; 0: the connection is closed without one.
        status: u16,
        /// Whether it was carried out by then.
        acted: bool,
    },
    /// It has a file.
    File {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Its length.
        bytes: u64,
        /// Its hash.
        sha256: String,
        /// What it is for.
        purpose: String,
        /// Seconds since 1970.
        created_at: i64,
    },
    /// A file is deleted.
    Deleted {
        /// Its id.
        id: String,
    },
    /// It has accepted a batch.
    Batch {
        /// Milliseconds since 1970.
        at: i64,
        /// Its id.
        id: String,
        /// Its input file.
        file: String,
        /// Its endpoint.
        endpoint: String,
        /// What the client said about it.
        metadata: BTreeMap<String, String>,
        /// What is to become of it.
        fate: Box<Fate>,
    },
    /// Somebody asked for a batch to be cancelled, and it will be.
    Cancelled {
        /// Its id.
        batch: String,
    },
    /// A line has had its turn.
    Line {
        /// Milliseconds since 1970.
        at: i64,
        /// Its batch.
        batch: String,
        /// Its number, from 1.
        line: usize,
        /// Its request.
        custom_id: String,
        /// The HTTP status; 0: it never ran, or nobody knows.
        status: u16,
        /// Whether it would have been billed.
        billed: bool,
        /// How it stands in the result files.
        shown: Shown,
        /// The hash of the answer's body, where there is one.
        sha256: Option<String>,
    },
    /// A batch is checked and its lines begin.
    Running {
        /// Its id.
        batch: String,
    },
    /// A batch has ended.
    Ended {
        /// Milliseconds since 1970.
        at: i64,
        /// Its id.
        batch: String,
        /// `completed`, `failed`, `expired` or `cancelled`.
        status: String,
        /// Its output file.
        output: Option<String>,
        /// Its error file.
        error: Option<String>,
        /// Lines that were answered.
        completed: u64,
        /// Lines that failed.
        failed: u64,
    },
}

/// How a line stands in the result files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Whole, once or twice.
    Whole,
    /// Not so that it could be read.
    Broken,
    /// In neither.
    Nowhere,
}

/// The file of entries.
#[derive(Debug)]
pub struct Ledger {
    file: File,
}

impl Ledger {
    /// Where the ledger of a folder is.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("ledger.jsonl")
    }

    #[expect(clippy::disallowed_methods, reason = "the ledger is what survives every crash")]
    pub(crate) fn open(folder: &Path) -> Self {
        let file = File::options().create(true).append(true).read(true).open(Self::path(folder));
        let file = file.expect("the ledger opens");
        // What a kill has torn was never seen by anybody, and the next line begins at a line's beginning.
        let text = std::fs::read_to_string(Self::path(folder)).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole).unwrap_or_default()).expect("the ledger is mended");
        Self { file }
    }

    /// Adds an entry. `seen` ones are on the disk afterwards, since somebody may see what they say.
    pub(crate) fn add(&mut self, entry: &Entry, seen: bool) {
        let mut line = serde_json::to_vec(entry).expect("an entry is JSON");
        line.push(b'\n');
        self.file.write_all(&line).expect("the ledger takes a line");
        if seen {
            self.file.sync_data().expect("the ledger is synced");
        }
    }

    /// All entries of a folder's ledger. A last line that a kill has torn was never seen by anybody.
    ///
    /// # Panics
    /// Where another line is no entry.
    #[must_use]
    pub fn read(folder: &Path) -> Vec<Entry> {
        let text = std::fs::read_to_string(Self::path(folder)).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("an entry of the ledger")).collect()
    }
}
