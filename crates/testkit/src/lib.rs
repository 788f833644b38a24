//! What tests need: the binary on a folder of its own, and its databases to look into.
//!
//! Everything panics where a test could not go on anyway. Nothing here is part of the product.

#![expect(clippy::disallowed_methods, reason = "a test looks into databases")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broker;
mod cable;
mod collector;
mod database;
mod fleet;
mod havoc;
mod letters;
mod memory;
mod postgres;
mod records;
mod relay;
mod server;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use broker::Broker;
pub use cable::Cable;
pub use collector::{Collector, Span};
pub use database::Database;
pub use fleet::{BROKER, Fleet};
pub use letters::DeadLetter;
pub use memory::{Peak, watch_memory};
pub use postgres::{Postgres, postgres_blocking};
pub use records::write_records;
pub use relay::{Loss, Relay};
pub use server::Server;

/// The binary with a data folder and an environment of its own.
#[derive(Debug)]
pub struct Overnight {
    binary: PathBuf,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none: it was killed.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Overnight {
    /// The binary at `binary`, with an empty data folder. Waiting is short, since the provider is simulated.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let quick = Self { binary: PathBuf::from(binary), folder, environment: Vec::new() };
        quick
            .with("BATCH_POLL_INTERVAL_MS", "50")
            .with("SUBMIT_TIMEOUT_MS", "4000")
            .with("SUBMIT_SETTLE_MS", "200")
            .with("BATCH_TIMEZONE", "Europe/Berlin")
            .with("LOG_FORMAT", "text")
    }

    /// The same binary on a folder of its own, as on another machine.
    ///
    /// # Panics
    /// A path that isn't text.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        Self::new(self.binary.to_str().expect("a path of text"))
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for the runs to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(there, _)| there != name);
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The variables that are set for its runs.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        let output = self.command(arguments).output().expect("the binary runs");
        Ran::of(&output)
    }

    /// Runs a command whose standard output is `out`; the run has no output then.
    pub fn run_into<S: AsRef<OsStr>>(&self, arguments: &[S], out: impl Into<Stdio>) -> Ran {
        let child = self.command(arguments).stdout(out).stderr(Stdio::piped()).spawn();
        Ran::of(&child.expect("the binary runs").wait_with_output().expect("it ends"))
    }

    /// Starts a command.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs")
    }

    /// A command, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", self.folder.path()).env("OVERNIGHT_DATA_DIR", self.data_dir());
        // The path of the folder is not the shell's: relative names are the test's own.
        command.current_dir(self.folder.path()).envs(self.environment.iter().cloned());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// The database of the product.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::open(&self.data_dir().join("overnight.db"))
    }

    /// The ledger of the gateway: what it accepted and what it ran.
    #[must_use]
    pub fn ledger(&self) -> Database {
        Database::open(&self.data_dir().join("gateway/served.db"))
    }

    /// The one job of the data folder, as `batch details` prints it.
    #[must_use]
    pub fn only_job(&self) -> Value {
        let jobs = self.run(&["batch", "list", "--json"]).json();
        let jobs = jobs["jobs"].as_array().expect("jobs").clone();
        assert_eq!(jobs.len(), 1, "one job: {jobs:?}");
        self.run(&["batch", "details", jobs[0]["job_id"].as_str().unwrap(), "--json"]).json()
    }
}

impl Ran {
    /// What is left of a process that has ended.
    #[must_use]
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Demands an exit code.
    #[track_caller]
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Its standard output as one JSON document, and nothing else.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\nstderr: {}", self.stdout, self.stderr))
    }
}

/// Waits until something is so; a minute later the test has failed.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port of this machine that nobody listens on now.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// What a server of ours shows at an address of this machine.
///
/// # Panics
/// Where nobody answers.
#[must_use]
pub fn page(url: &str) -> String {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("an address and a path");
    let mut socket = std::net::TcpStream::connect(host).expect("somebody listens");
    write!(socket, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    answer
}

/// Sends a body to a server of ours on this machine; answers the status, or none where the connection ends without
/// one.
///
/// # Panics
/// Where nobody listens.
#[must_use]
pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Option<u16> {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("an address and a path");
    let mut socket = std::net::TcpStream::connect(host).expect("somebody listens");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let sent = write!(
        socket,
        "POST /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let mut answer = String::new();
    // A server that dies of what it is sent cuts the connection at any time.
    let _ = sent.and_then(|()| socket.read_to_string(&mut answer));
    answer.split(' ').nth(1)?.parse().ok()
}

/// The sample issues that ship with the product.
#[must_use]
pub fn sample_issues() -> String {
    format!("{}/../../examples/issues/*.json", env!("CARGO_MANIFEST_DIR"))
}
