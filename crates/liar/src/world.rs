//! What the stand-in has: files and batches, and the rules that it was given. Rebuilt from the ledger at every start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::answer::hash;
use crate::ledger::{Entry, Ledger};
use crate::rule::{Fate, Fence, Op, Rule, Settings};

/// A file.
pub(crate) struct StoredFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) purpose: String,
    pub(crate) created_at: i64,
    pub(crate) deleted: bool,
}

/// A batch.
pub(crate) struct StoredBatch {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) endpoint: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) fate: Fate,
    pub(crate) created_ms: i64,
    pub(crate) status: String,
    pub(crate) cancelled: bool,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) total: u64,
    pub(crate) counts: (u64, u64),
    pub(crate) ended_at: Option<i64>,
    /// Lines that have had their turn: a restart runs none of them again.
    pub(crate) ran: usize,
    /// Looks that were told something else than the status.
    pub(crate) looks: usize,
    /// When a list may show it: the time, and how many walks later.
    pub(crate) since: Option<(Instant, u64)>,
}

/// All of it.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) files: BTreeMap<String, StoredFile>,
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) settings: Settings,
    pub(crate) walks: u64,
    rules: Vec<(Rule, u32)>,
    runs: UnboundedSender<String>,
}

impl World {
    /// The world as its ledger tells it. Batches that have not ended are sent to `runs`.
    pub(crate) fn open(folder: &Path, runs: UnboundedSender<String>) -> Self {
        std::fs::create_dir_all(folder.join("files")).expect("a folder");
        let ledger = Ledger::open(folder);
        let mut world = Self {
            folder: folder.to_owned(),
            ledger,
            files: BTreeMap::new(),
            batches: Vec::new(),
            settings: Settings::default(),
            walks: 0,
            rules: Vec::new(),
            runs,
        };
        for entry in Ledger::read(folder) {
            world.take(entry);
        }
        if let Ok(text) = std::fs::read(folder.join("settings.json")) {
            world.settings = serde_json::from_slice(&text).unwrap_or_default();
        }
        world.ledger.add(&Entry::Started { at: now_ms() }, true);
        let unfinished: Vec<_> = world.batches.iter().filter(|batch| batch.ended_at.is_none()).collect();
        unfinished.iter().for_each(|batch| world.start(&batch.id));
        world
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::File { id, name, bytes, purpose, created_at, .. } => {
                let file = StoredFile { name, bytes, purpose, created_at, deleted: false };
                self.files.insert(id, file);
            }
            Entry::Deleted { id } => {
                if let Some(file) = self.files.get_mut(&id) {
                    file.deleted = true;
                }
            }
            Entry::Batch { at, id, file, endpoint, metadata, fate } => {
                self.batches.push(StoredBatch::new(at, id, file, endpoint, metadata, *fate));
            }
            Entry::Cancelled { batch } => self.change(&batch, |batch| {
                batch.cancelled = true;
                batch.status = "cancelling".to_owned();
            }),
            Entry::Running { batch } => self.change(&batch, |batch| batch.status = "in_progress".to_owned()),
            Entry::Line { batch, line, .. } => self.change(&batch, |batch| batch.ran = batch.ran.max(line)),
            Entry::Ended { at, batch, status, output, error, completed, failed } => {
                self.change(&batch, |batch| {
                    batch.status = status;
                    (batch.output, batch.error) = (output, error);
                    batch.counts = (completed, failed);
                    batch.ended_at = Some(at / 1000);
                });
            }
            Entry::Started { .. } | Entry::Request { .. } => {}
        }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut StoredBatch)) {
        if let Some(batch) = self.batch(id) {
            change(batch);
        }
    }

    /// Puts on record what happens, and makes it so.
    pub(crate) fn happens(&mut self, entry: Entry) {
        let seen = !matches!(entry, Entry::Line { .. });
        self.ledger.add(&entry, seen);
        self.take(entry);
    }

    pub(crate) fn batch(&mut self, id: &str) -> Option<&mut StoredBatch> {
        self.batches.iter_mut().find(|batch| batch.id == id)
    }

    /// Takes in a file; answers its id.
    #[expect(clippy::disallowed_methods, reason = "the stand-in is a world of its own, with its own files")]
    pub(crate) fn add_file(&mut self, name: &str, purpose: &str, content: &[u8]) -> String {
        let id = format!("file-{:022}", self.files.len() + 1);
        std::fs::write(self.content_path(&id), content).expect("a file is written");
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let (name, purpose) = (name.to_owned(), purpose.to_owned());
        let (sha256, created_at) = (hash(content), now_ms() / 1000);
        self.happens(Entry::File { id: id.clone(), name, bytes, sha256, purpose, created_at });
        id
    }

    pub(crate) fn content_path(&self, id: &str) -> PathBuf {
        self.folder.join("files").join(id)
    }

    /// What a batch finds when it reads its input file.
    pub(crate) fn input(&self, id: &str) -> Option<String> {
        let file = self.files.get(id)?;
        if file.deleted && self.settings.fence != Fence::Nothing {
            return None;
        }
        std::fs::read_to_string(self.content_path(id)).ok()
    }

    #[expect(clippy::disallowed_methods, reason = "the stand-in is a world of its own, with its own files")]
    pub(crate) fn set(&mut self, settings: Settings) {
        let text = serde_json::to_vec(&settings).expect("settings are JSON");
        std::fs::write(self.folder.join("settings.json"), text).expect("settings are kept");
        self.settings = settings;
    }

    pub(crate) fn add_rule(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    pub(crate) fn forget_rules(&mut self) {
        self.rules.clear();
    }

    /// What holds for a request that has just come in.
    pub(crate) fn rule_for(&mut self, op: Op) -> Rule {
        let mut found = None;
        for (rule, seen) in self.rules.iter_mut().filter(|(rule, _)| rule.op == op) {
            *seen += 1;
            let last = rule.nth.saturating_add(rule.count).saturating_sub(1);
            let holds = *seen >= rule.nth && (rule.count == 0 || *seen <= last);
            if holds && found.is_none() {
                found = Some(rule.clone());
            }
        }
        found.unwrap_or_else(|| Rule::of(op))
    }

    /// Lets a batch begin.
    pub(crate) fn start(&self, id: &str) {
        // Nobody receives only while the process ends.
        let _ = self.runs.send(id.to_owned());
    }
}

impl StoredBatch {
    fn new(
        created_ms: i64,
        id: String,
        file: String,
        endpoint: String,
        metadata: BTreeMap<String, String>,
        fate: Fate,
    ) -> Self {
        let status = "validating".to_owned();
        Self {
            id,
            file,
            endpoint,
            metadata,
            fate,
            created_ms,
            status,
            cancelled: false,
            output: None,
            error: None,
            total: 0,
            counts: (0, 0),
            ended_at: None,
            ran: 0,
            looks: 0,
            since: None,
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the stand-in is a world of its own, with its own clock")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
