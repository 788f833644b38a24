//! Where scenarios take place: the program under test, and a data folder with a backlog to start from.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;
use testkit::{Broker, Overnight, Server};

/// Agents of the backlog; each becomes a job.
pub const AGENTS: [&str; 3] = ["planner", "coder", "reviewer"];
/// Tasks of each agent.
pub const TASKS: usize = 2;

/// What all scenarios share.
pub struct Site {
    binary: String,
    evening: OnceLock<Overnight>,
    server: OnceLock<Server>,
    broker: OnceLock<Broker>,
}

impl Site {
    /// A site for the program at `binary`.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        let (evening, server, broker) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { binary: binary.to_owned(), evening, server, broker }
    }

    /// The PostgreSQL server of this run, which nobody else uses; no scenario may stop it.
    pub fn server(&self) -> &Server {
        self.server.get_or_init(Server::start)
    }

    /// The same of RabbitMQ.
    pub fn broker(&self) -> &Broker {
        self.broker.get_or_init(Broker::start)
    }

    /// The program with an environment that talks to `provider` as to `OpenAI`, and waits no longer than it must.
    #[must_use]
    pub fn overnight(&self, provider: &str) -> Overnight {
        Overnight::new(&self.binary)
            .with("OVERNIGHT_PROVIDER", "openai")
            .with("OPENAI_API_KEY", "test")
            .with("OPENAI_BASE_URL", provider)
            .with("BATCH_POLL_INTERVAL_MS", "1000")
            .with("BATCH_MAX_REQUESTS", "1")
            .with("BATCH_AUTO_OVERNIGHT", "false")
            .with("SUBMIT_TIMEOUT_MS", "3000")
            .with("SUBMIT_SETTLE_MS", "300")
            .with("SUBMIT_UNKNOWN", "fence")
            .with("LOG_LEVEL", "info")
    }

    /// A data folder with a backlog of [`TASKS`] tasks for each of [`AGENTS`]; made once, and copied.
    pub fn evening_into(&self, folder: &Path) {
        let evening = self.evening.get_or_init(|| {
            let home = self.overnight("http://127.0.0.1:9/v1");
            let records = write_records(home.folder(), "evening", TASKS);
            for agent in AGENTS {
                let _ = home.run(&["load", &records, "--backlog", agent]).exits(0);
            }
            home
        });
        copy(&evening.data_dir(), folder);
    }
}

/// Writes `count` issue files of a repository; answers a glob for them.
#[must_use]
pub fn write_records(folder: &Path, repo: &str, count: usize) -> String {
    let records = folder.join(format!("records-{repo}"));
    std::fs::create_dir_all(&records).expect("a folder");
    for number in 1..=count {
        let issue = json!({"number": number, "title": format!("Issue {number}"), "body": "It broke.", "state": "open",
            "labels": []});
        let record = json!({"org": "chaos", "repo": repo, "issue": issue});
        let path = records.join(format!("chaos_{repo}_issue_{number}.json"));
        std::fs::write(path, record.to_string()).expect("written");
    }
    format!("{}/*.json", records.display())
}

/// Copies a folder with what is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target: PathBuf = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
