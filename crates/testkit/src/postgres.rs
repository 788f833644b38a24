//! A PostgreSQL database of a test's own, on the server that `make services` found or started.

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};

/// Where the server is, if the environment doesn't say.
const SERVER: &str = "postgres://postgres@127.0.0.1:5432";
/// The variable that says it, without a database.
const VARIABLE: &str = "TEST_POSTGRES_URL";

/// An empty database, dropped with this.
pub struct Postgres {
    name: String,
    url: String,
    server: String,
}

impl Postgres {
    /// Makes one.
    ///
    /// # Panics
    /// Where there is no server: what to do is said.
    pub async fn fresh() -> Self {
        Self::fresh_on(&server()).await
    }

    /// Makes one on this server.
    pub(crate) async fn fresh_on(server: &str) -> Self {
        let name = format!("overnight_test_{}", uuid::Uuid::new_v4().simple());
        on_server(server, &format!("CREATE DATABASE {name}")).await;
        let url = format!("{server}/{name}");
        Self { name, url, server: server.to_owned() }
    }

    /// Lets nobody in any more, and puts out who is in; or lets them in again.
    pub(crate) async fn take_away(&self, away: bool) {
        let name = &self.name;
        on_server(&self.server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {}", !away)).await;
        if away {
            let out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname";
            on_server(&self.server, &format!("{out} = '{name}'")).await;
        }
    }

    /// Copies it as it is now beside itself, in place of an earlier copy, and answers the copy's address. Whoever is in is put
    /// out first.
    pub(crate) async fn back_up(&self) -> String {
        let (name, copy) = (&self.name, self.copy());
        self.take_away(true).await;
        on_server(&self.server, &format!("DROP DATABASE IF EXISTS {copy} WITH (FORCE)")).await;
        on_server(&self.server, &format!("CREATE DATABASE {copy} TEMPLATE {name}")).await;
        self.take_away(false).await;
        format!("{}/{copy}", self.server)
    }

    /// It is again what it was when it was copied.
    pub(crate) async fn restore(&self) {
        let name = &self.name;
        on_server(&self.server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        on_server(&self.server, &format!("CREATE DATABASE {name} TEMPLATE {}", self.copy())).await;
    }

    fn copy(&self) -> String {
        format!("{}_copy", self.name)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// As [`Postgres::fresh`], outside of a runtime.
///
/// # Panics
/// Where there is no server.
#[must_use]
pub fn postgres_blocking() -> Postgres {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(Postgres::fresh())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let all = [self.copy(), self.name.clone()];
        let server = self.server.clone();
        // A thread and a runtime of its own: a test may end anywhere.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for name in all {
                    on_server(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                }
            });
        });
        if dropped.join().is_err() {
            eprintln!("the database {} stays behind", self.name);
        }
    }
}

fn server() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| SERVER.to_owned())
}

async fn on_server(server: &str, sql: &str) {
    let mut options = ConnectOptions::new(format!("{server}/postgres"));
    options.max_connections(1).sqlx_logging(false);
    let connection = Database::connect(options).await.unwrap_or_else(|error| {
        panic!("no PostgreSQL at {server}: {error}; `make services` finds or starts one, or set {VARIABLE}")
    });
    connection.execute_unprepared(sql).await.expect("the server obeys");
    connection.close().await.expect("the connection closes");
}
