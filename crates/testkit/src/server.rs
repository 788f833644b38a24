//! A PostgreSQL server of the test's own, that may be stopped, crashed and started again. It ends with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{Postgres, free_port};

/// A PostgreSQL server of the test's own.
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Server {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// Where PostgreSQL isn't installed.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            // PostgreSQL refuses to run as root, and its user has to come in.
            done(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let server = Self { folder, programs: programs(), port: free_port() };
        let data = server.data();
        done(server.command("initdb").arg("--pgdata").arg(&data).args([
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
        ]));
        server.run();
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same for a client, without a database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}", self.host())
    }

    /// An empty database on it.
    #[must_use]
    pub fn database(&self) -> Postgres {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(Postgres::fresh_on(&self.url()))
    }

    /// Starts it where it is stopped, and waits until it answers.
    ///
    /// # Panics
    /// Where it doesn't come up.
    pub fn run(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=400",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        done(self.control("start").args(["--wait", "--options", &options, "--log"]).arg(log));
    }

    /// Crashes it: nothing is finished, and the next start recovers what was committed.
    ///
    /// # Panics
    /// Where it isn't running.
    pub fn crash(&self) {
        done(self.control("stop").args(["--mode", "immediate"]));
    }

    /// Changes a setting of it, for connections to come.
    ///
    /// # Panics
    /// Where it doesn't obey.
    pub fn set(&self, setting: &str) {
        let url = format!("{}/postgres", self.url());
        done(Command::new(self.programs.join("psql")).args([
            &url,
            "-qc",
            &format!("ALTER SYSTEM SET {setting}"),
        ]));
        done(&mut self.control("reload"));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn control(&self, verb: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(verb).arg("--pgdata").arg(self.data());
        command
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be stopped, which is what the test was about.
        let _ = self.control("stop").args(["--mode", "immediate"]).output();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0\n")
}

fn done(command: &mut Command) {
    // A server that keeps our pipes open would keep us waiting: its output goes to its log.
    let Output { status, stderr, .. } =
        command.stdout(std::process::Stdio::null()).output().expect("it starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
}

/// The newest that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|version| version.path()).max_by_key(|path| number(path));
    newest
        .map(|version| version.join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .expect("this starts a PostgreSQL of its own: install it (Debian: apt-get install postgresql)")
}
