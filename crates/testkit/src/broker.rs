//! A broker of the test's own, that may be killed, wiped, starved and refused. It ends with the test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{free_port, until};

/// What a client of AMQP 0-9-1 says first.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A broker of the test's own.
pub struct Broker {
    folder: TempDir,
    programs: PathBuf,
    ports: [u16; 3],
    _names: Process,
    broker: Option<Process>,
}

/// A child that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().expect("a child of ours");
    }
}

impl Broker {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// Where RabbitMQ isn't installed.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with settings, and waits until it answers.
    ///
    /// # Panics
    /// Where RabbitMQ isn't installed.
    #[must_use]
    pub fn start_with(settings: &str) -> Self {
        let (programs, folder) = (programs(), tempfile::tempdir().expect("a folder"));
        let ports = [free_port(), free_port(), free_port()];
        std::fs::write(folder.path().join("enabled_plugins"), "[].").expect("written");
        let settings = format!("listeners.tcp.1 = 127.0.0.1:{}\n{settings}", ports[0]);
        std::fs::write(folder.path().join("rabbitmq.conf"), settings).expect("written");
        // How often a channel looks at what is held too long; a minute, unless told otherwise.
        let often = "[{rabbit, [{channel_tick_interval, 500}]}].\n";
        std::fs::write(folder.path().join("advanced.config"), often).expect("written");
        // Erlang's register of names would be started as a daemon, and outlive the test.
        let names = Command::new("epmd")
            .args(["-port", &ports[1].to_string(), "-address", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need epmd (Debian: apt-get install rabbitmq-server)");
        let mut broker = Self { folder, programs, ports, _names: Process(names), broker: None };
        broker.run();
        broker
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// The same for a client, with its guest.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.host())
    }

    /// Starts the broker where it is not running, and waits until it answers.
    ///
    /// # Panics
    /// Where it doesn't come up.
    pub fn run(&mut self) {
        let mut command = self.command("rabbitmq-server");
        let log = std::fs::File::create(self.folder.path().join("out")).expect("a file");
        // Without a shell in between, so that killing the child kills the broker.
        command.env("RUNNING_UNDER_SYSTEMD", "true").stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.broker = Some(Process(command.spawn().expect("rabbitmq-server starts")));
        let host = self.host();
        until("the private broker answers", || answers(&host));
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        self.broker = None;
    }

    /// Everything that the broker ever knew is gone.
    ///
    /// # Panics
    /// Where it is running.
    pub fn wipe(&self) {
        assert!(self.broker.is_none());
        std::fs::remove_dir_all(self.folder.path().join("mnesia")).expect("removed");
    }

    /// Runs `rabbitmqctl`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn ctl(&self, arguments: &[&str]) {
        let _ = self.asked(arguments);
    }

    /// Whether it keeps somebody from publishing, as it does while it has an alarm.
    ///
    /// # Panics
    /// Where it can't be asked.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        // It calls them `blocking` before they try, and `blocked` behind that.
        self.asked(&["list_connections", "state"]).contains("block")
    }

    fn asked(&self, arguments: &[&str]) -> String {
        let done = self.command("rabbitmqctl").args(arguments).output().expect("rabbitmqctl starts");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let answer = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{arguments:?}: {said}{answer}");
        answer
    }

    fn command(&self, program: &str) -> Command {
        let (folder, [_, names, distribution]) = (self.folder.path(), self.ports);
        let mut command = Command::new(self.programs.join(program));
        command
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("test{names}@localhost"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none");
        command
    }
}

/// Where the broker's own programs are. Those in the path change the user.
fn programs() -> PathBuf {
    let roots =
        ["/usr/lib/rabbitmq/lib", "/opt/rabbitmq", "/usr/local/lib/rabbitmq", "/opt/homebrew/opt/rabbitmq"];
    let inside = |root: &&str| -> Vec<PathBuf> {
        let found =
            std::fs::read_dir(root).map(|found| found.filter_map(Result::ok).map(|entry| entry.path()));
        let mut found: Vec<PathBuf> = found.into_iter().flatten().collect();
        found.push(Path::new(root).to_path_buf());
        found
    };
    let mut candidates = roots.iter().flat_map(inside).map(|folder| folder.join("sbin"));
    candidates
        .find(|folder| folder.join("rabbitmq-server").exists())
        .expect("these tests start a RabbitMQ of their own: install rabbitmq-server (Debian: apt-get install rabbitmq-server)")
}

/// Whether a broker greets there.
fn answers(host: &str) -> bool {
    let greeted = TcpStream::connect(host).and_then(|mut socket| {
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        socket.write_all(GREETING)?;
        let mut first = [0];
        socket.read_exact(&mut first).map(|()| first)
    });
    // A frame of the kind "method": anything else would be the refusal of our version.
    matches!(greeted, Ok([1]))
}
