//! A test's hold on a stand-in: it starts one, tells it what to do, and reads its ledger.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Serialize;
use tokio::sync::oneshot;

use crate::ledger::{Entry, Ledger};
use crate::rule::{Rule, Settings};

/// A stand-in that serves until this is dropped.
#[derive(Debug)]
pub struct Liar {
    folder: PathBuf,
    address: SocketAddr,
    home: Home,
}

/// Where it runs.
#[derive(Debug)]
enum Home {
    /// In a thread of the test's process, which is not that of the program under test.
    Here { _stop: oneshot::Sender<()> },
    /// In a process of its own.
    Process { binary: PathBuf, child: Child },
}

impl Liar {
    /// Starts one in this process.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket that doesn't block");
        let (stop, stopped) = oneshot::channel();
        let served = folder.to_owned();
        // A runtime of its own, whatever the test has.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let serving = tokio::spawn(crate::serve(listener, served));
                // It never comes: the other end is dropped.
                let _ = stopped.await;
                serving.abort();
            });
        });
        Self { folder: folder.to_owned(), address, home: Home::Here { _stop: stop } }
    }

    /// Starts one in a process of its own, from the program at `binary`.
    #[must_use]
    pub fn spawn(binary: &Path, folder: &Path) -> Self {
        let (child, address) = spawn(binary, folder, "127.0.0.1:0");
        let home = Home::Process { binary: binary.to_owned(), child };
        Self { folder: folder.to_owned(), address, home }
    }

    /// Kills its process, as a power cut would, and starts it again at the same address. Rules are forgotten.
    ///
    /// # Panics
    /// Where it has no process of its own.
    pub fn kill_and_restart(&mut self) {
        let Home::Process { binary, child } = &mut self.home else {
            panic!("it has no process of its own");
        };
        end(child);
        let (again, address) = spawn(binary, &self.folder, &self.address.to_string());
        (*child, self.address) = (again, address);
    }

    /// What a client is given.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives it one more rule.
    pub fn tell(&self, rule: Rule) {
        self.say("rule", &rule);
    }

    /// It is honest again.
    pub fn forget_rules(&self) {
        self.say("forget", &());
    }

    /// Changes what holds for everything.
    pub fn set(&self, settings: &Settings) {
        self.say("settings", settings);
    }

    /// Carries out what was put off until now.
    pub fn release(&self) {
        self.say("release", &());
    }

    /// What it did.
    #[must_use]
    pub fn ledger(&self) -> Vec<Entry> {
        Ledger::read(&self.folder)
    }

    /// Batches that it accepted.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.ledger().iter().filter(|entry| matches!(entry, Entry::Batch { .. })).count()
    }

    fn say(&self, word: &str, what: &impl Serialize) {
        let body = serde_json::to_string(what).expect("it is JSON");
        let mut socket = TcpStream::connect(self.address).expect("the stand-in is there");
        let length = body.len();
        let head = format!(
            "POST /liar/{word} HTTP/1.1\r\nHost: liar\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all((head + &body).as_bytes()).expect("it listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{word}: {answer}");
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        if let Home::Process { child, .. } = &mut self.home {
            end(child);
        }
    }
}

fn spawn(binary: &Path, folder: &Path, address: &str) -> (Child, SocketAddr) {
    let mut command = Command::new(binary);
    command.arg(folder).arg(address).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the stand-in's program runs");
    let mut line = String::new();
    let out = child.stdout.take().expect("its output is piped");
    BufReader::new(out).read_line(&mut line).expect("it says where it is");
    (child, line.trim().parse().expect("an address"))
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("a child of ours");
}
