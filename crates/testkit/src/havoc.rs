//! What is done to a fleet's processes while they work.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use crate::Fleet;

impl Fleet {
    /// Starts a role with a crash point armed, which may end it before it is up.
    ///
    /// # Panics
    /// Where the binary doesn't run.
    pub fn start_armed(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        self.start_unwatched(name, role, environment);
        let mut line = String::new();
        let out = self.processes.get_mut(name).and_then(|process| process.stdout.take());
        BufReader::new(out.expect("its output")).read_line(&mut line).expect("a line, or its end");
    }

    /// The same, and doesn't wait until it is up: it may stop before.
    ///
    /// # Panics
    /// Where the binary doesn't run.
    pub fn start_unwatched(&mut self, name: &str, role: &str, environment: &[(&str, &str)]) {
        let mut command = self.home.command(&["serve", role, "--json"]);
        command.envs(environment.iter().copied());
        let log = std::fs::File::options().create(true).append(true).open(self.log_path(name));
        let command = command.stdout(Stdio::piped()).stderr(log.expect("a log"));
        self.processes.insert(name.to_owned(), command.spawn().expect("the binary runs"));
    }

    /// Processes that have ended by themselves since the last look.
    ///
    /// # Panics
    /// Where a child can't be waited for.
    pub fn reap(&mut self) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        for (name, process) in &mut self.processes {
            if let Some(status) = process.try_wait().expect("a child of ours") {
                ended.push((name.clone(), status));
            }
        }
        ended.iter().for_each(|(name, _)| drop(self.processes.remove(name)));
        ended
    }

    /// The process of a name.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.processes.get(name).map(std::process::Child::id)
    }

    /// Sends a signal to a process, by the signal's name.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn signal(&self, name: &str, signal: &str) {
        let pid = self.pid(name).expect("a process of this name").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("kill runs").success(), "{signal} reaches {name}");
    }

    /// Cuts every connection to its database but ours.
    ///
    /// # Panics
    /// Where the database is away.
    pub fn cut_connections(&self) {
        self.change(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND datname = current_database()",
        );
    }

    /// Where its database is.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.database.url()
    }
}
