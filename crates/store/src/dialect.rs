//! What the two databases do differently: ids, the clock, transactions. Nothing else may ask which it is.

use sea_orm::{DbBackend, SqliteTransactionMode, TransactionOptions, Value};
use uuid::Uuid;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(crate) fn of(backend: DbBackend) -> Self {
        if backend == DbBackend::Postgres { Self::Postgres } else { Self::Sqlite }
    }

    pub(crate) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// PostgreSQL has a type for ids; in SQLite they are text, so that a person can read them.
    pub(crate) fn id(self, id: Option<Uuid>) -> Value {
        match self {
            Self::Sqlite => Value::String(id.map(|id| id.to_string())),
            Self::Postgres => Value::Uuid(id),
        }
    }

    /// Whether the database is a file of this machine, owned by one process at a time, and no server.
    pub(crate) fn is_a_file(self) -> bool {
        self == Self::Sqlite
    }

    /// What a SELECT adds to lock the rows that it reads; SQLite's writers take turns anyway.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// An id column as text, to look for by prefix.
    pub(crate) fn id_text(self, column: &str) -> String {
        match self {
            Self::Sqlite => column.to_owned(),
            Self::Postgres => format!("{column}::text"),
        }
    }

    /// The columns, each as `name`, of the table or view that the parameter names; none where there is none.
    pub(crate) fn columns(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT name FROM pragma_table_info($1)",
            Self::Postgres => {
                "SELECT attname::text AS name FROM pg_attribute \
                 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
            }
        }
    }

    /// A field of a JSON text, as text; `path` leads to it. The text must be JSON.
    pub(crate) fn json_text(self, column: &str, path: &[&str]) -> String {
        match self {
            Self::Sqlite => format!("json_extract({column}, '$.{}')", path.join(".")),
            Self::Postgres => format!("({column}::jsonb #>> '{{{}}}')", path.join(",")),
        }
    }

    /// The database's clock: leases and due times are told by one clock, whoever asks.
    /// SQLite's has milliseconds; the text is what a stored time looks like, so that they compare.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')",
            Self::Postgres => "clock_timestamp()",
        }
    }

    /// The same plus the milliseconds of the given parameter.
    pub(crate) fn now_plus_ms(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', ({parameter} / 1000.0) || ' seconds')")
            }
            Self::Postgres => format!("clock_timestamp() + ({parameter} * interval '1 millisecond')"),
        }
    }

    /// How every writing transaction begins. SQLite's default takes the write lock late and then fails at
    /// once instead of waiting its turn.
    pub(crate) fn begin(self) -> TransactionOptions {
        let sqlite_transaction_mode = match self {
            Self::Sqlite => Some(SqliteTransactionMode::Immediate),
            Self::Postgres => None,
        };
        TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() }
    }
}
