//! A fleet: roles as processes of their own, on a PostgreSQL database and broker names of the test's own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{Broker, Overnight, Postgres, Server, free_port, postgres_blocking};

/// Where the broker is, if the environment doesn't say.
pub const BROKER: &str = "amqp://guest:guest@127.0.0.1:5672";
/// The variable that says it.
const VARIABLE: &str = "TEST_AMQP_URL";

/// Longest time that a process has to stop: more than any of ours may take.
const STOPPED: Duration = Duration::from_secs(40);

/// A fleet that is stopped when it is dropped.
pub struct Fleet {
    /// The environment that all share; commands run in it.
    pub home: Overnight,
    /// How the broker's names begin.
    pub prefix: String,
    pub(crate) broker: String,
    pub(crate) processes: BTreeMap<String, Child>,
    pub(crate) runtime: Runtime,
    connection: DatabaseConnection,
    // Dropped last, in this order: the processes use them.
    pub(crate) database: Postgres,
    private: Option<Private>,
}

/// Services of a fleet's own, that may be taken from it.
pub struct Private {
    /// The database server.
    pub server: Server,
    /// The broker.
    pub broker: Broker,
}

impl Fleet {
    /// A fleet without processes: the database with its schema, the broker with its queues.
    ///
    /// # Panics
    /// Where there is no database server or no broker.
    #[must_use]
    pub fn new(home: Overnight) -> Self {
        let broker = std::env::var(VARIABLE).unwrap_or_else(|_| BROKER.to_owned());
        Self::on(home, postgres_blocking(), broker, None)
    }

    /// The same on a database server and a broker of its own.
    ///
    /// # Panics
    /// Where PostgreSQL or RabbitMQ isn't installed.
    #[must_use]
    pub fn private(home: Overnight) -> Self {
        let private = Private { server: Server::start(), broker: Broker::start() };
        Self::on(home, private.server.database(), private.broker.url(), Some(private))
    }

    /// The same on a database and at a broker of the test's choice.
    ///
    /// # Panics
    /// Where one of them doesn't answer.
    #[must_use]
    pub fn on(home: Overnight, database: Postgres, broker: String, private: Option<Private>) -> Self {
        let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
        let home = home
            .with("DATABASE_URL", database.url())
            .with("QUEUE_URL", &broker)
            .with("QUEUE_PREFIX", &prefix)
            .with("CLAIM_LEASE_MS", "3000")
            .with("ADMIN_ADDR", "127.0.0.1:0")
            .with("GATEWAY_ADDR", &format!("127.0.0.1:{}", free_port()))
            .with("LOG_LEVEL", "info");
        let _ = home.run(&["migrate"]).exits(0);
        let _ = home.run(&["topology", "apply"]).exits(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connection = runtime.block_on(sea_orm::Database::connect(database.url())).expect("it opens");
        Self { home, prefix, broker, processes: BTreeMap::new(), runtime, connection, database, private }
    }

    /// Starts a role under a name, such as `submitter` under `submitter-2`; answers what it says of itself.
    ///
    /// # Panics
    /// Where it doesn't come up.
    pub fn start(&mut self, name: &str, role: &str) -> Value {
        self.start_unwatched(name, role, &[]);
        self.comes_up(name)
    }

    /// Waits until a process that was started says that it is up; answers what it says of itself.
    ///
    /// # Panics
    /// Where it doesn't come up.
    pub fn comes_up(&mut self, name: &str) -> Value {
        let process = self.processes.get_mut(name).expect("a process of this name");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{name} did not come up: {error}\n{}", self.log(name)))
    }

    /// Kills a process as a power cut would, and answers how it ended: it may have been gone by then.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn kill(&mut self, name: &str) -> ExitStatus {
        let mut process = self.processes.remove(name).expect("a process of this name");
        process.kill().expect("it is there");
        process.wait().expect("it ends")
    }

    /// Asks a process to stop, and answers how it ended.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn stop(&mut self, name: &str) -> Option<i32> {
        self.stop_and_see(name).code()
    }

    /// The same, where it may end by a signal all the same, and it matters by which: it is killed if it hasn't ended in
    /// [`STOPPED`].
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn stop_and_see(&mut self, name: &str) -> ExitStatus {
        let mut process = self.processes.remove(name).expect("a process of this name");
        let pid = process.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        let deadline = Instant::now() + STOPPED;
        while Instant::now() < deadline {
            if let Some(status) = process.try_wait().expect("it can be asked") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        process.kill().expect("it is there");
        process.wait().expect("it ends")
    }

    /// Waits for a process that ends by itself, and answers how it ended.
    ///
    /// # Panics
    /// Where there is none of this name, or it doesn't end in time.
    pub fn ends(&mut self, name: &str, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        loop {
            let process = self.processes.get_mut(name).expect("a process of this name");
            if let Some(status) = process.try_wait().expect("it can be asked") {
                self.processes.remove(name);
                return status.code();
            }
            assert!(Instant::now() < deadline, "{name} doesn't end\n{}", self.log(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The services of its own.
    ///
    /// # Panics
    /// Where it has none.
    pub fn services(&mut self) -> &mut Private {
        self.private.as_mut().expect("a fleet with services of its own")
    }

    /// Deletes a queue of the broker under those that listen to it.
    ///
    /// # Panics
    /// Where the broker doesn't obey.
    pub fn delete_queue(&self, name: &str) {
        let queue = format!("{}.{name}", self.prefix);
        self.runtime.block_on(async {
            let connection = lapin::Connection::connect(&self.broker, lapin::ConnectionProperties::default());
            let connection = connection.await.expect("the broker answers");
            let channel = connection.create_channel().await.expect("a channel");
            let options = lapin::options::QueueDeleteOptions::default();
            channel.queue_delete(queue.as_str().into(), options).await.expect("the queue goes");
        });
    }

    /// Seconds of processor time that a process has used.
    ///
    /// # Panics
    /// Where there is none of this name.
    #[must_use]
    pub fn cpu_seconds(&self, name: &str) -> f64 {
        let pid = self.processes[name].id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // Behind the name in brackets; utime and stime are fields 14 and 15, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("ticks")).sum();
        ticks / 100.0
    }

    /// The names of the processes that run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    /// What a process has logged.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    pub(crate) fn log_path(&self, name: &str) -> std::path::PathBuf {
        self.home.folder().join(format!("{name}.log"))
    }

    /// The one number that a query on the database answers; 0 for null.
    ///
    /// # Panics
    /// Where the query fails.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.runtime.block_on(self.connection.query_one_raw(statement)).expect("the query runs");
        row.expect("one row").try_get_by_index::<Option<i64>>(0).expect("a number").unwrap_or_default()
    }

    /// The first column of every row, as text.
    ///
    /// # Panics
    /// Where the query fails.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let rows = self.runtime.block_on(self.connection.query_all_raw(statement)).expect("the query runs");
        rows.iter().map(|row| row.try_get_by_index::<String>(0).expect("text")).collect()
    }

    /// Changes the database behind the product's back.
    ///
    /// # Panics
    /// Where the statement fails.
    pub fn change(&self, sql: &str) {
        self.runtime.block_on(self.connection.execute_unprepared(sql)).expect("the statement runs");
    }

    /// Takes the database away from everybody, or gives it back.
    pub fn take_database_away(&self, away: bool) {
        self.runtime.block_on(self.database.take_away(away));
    }

    /// Keeps the database as it is now, and answers the address of what is kept. Whoever is in is put out.
    pub fn back_up(&self) -> String {
        self.runtime.block_on(self.database.back_up())
    }

    /// The database is again what it was when it was kept.
    pub fn restore(&self) {
        self.runtime.block_on(self.database.restore());
    }

    /// Keeps everybody else from a table, and returns when that is over.
    ///
    /// # Panics
    /// Where the database doesn't answer.
    pub fn lock_table(&self, table: &str, time: Duration) {
        let seconds = time.as_secs_f64();
        let text = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep({seconds}); COMMIT");
        self.runtime.block_on(self.connection.execute_unprepared(&text)).expect("the table is locked");
    }

    /// Waits until a query answers this number.
    ///
    /// # Panics
    /// Where it doesn't in time; the logs are shown.
    pub fn until(&self, sql: &str, wanted: i64, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let found = self.number(sql);
            if found == wanted {
                return;
            }
            if Instant::now() > deadline {
                let logs: String =
                    self.names().iter().map(|name| format!("--- {name}\n{}", self.log(name))).collect();
                panic!("{sql}: {found} instead of {wanted} after {patience:?}\n{logs}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            // It may have ended by itself, which is what the test is about.
            let _ = process.kill();
            let _ = process.wait();
        }
        let deleted = self.home.run(&["topology", "delete"]);
        if deleted.code != Some(0) {
            eprintln!("the broker keeps the test's queues: {}", deleted.stderr);
        }
    }
}
