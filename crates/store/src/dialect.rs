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

    /// What is another one where the database may have come back older.
    pub(crate) fn incarnation(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT '' AS incarnation",
            Self::Postgres => {
                "SELECT pg_postmaster_start_time()::text || ' ' || 'instance'::regclass::oid::text AS incarnation"
            }
        }
    }

    /// An id column as text, to look for by prefix.
    pub(crate) fn id_text(self, column: &str) -> String {
        match self {
            Self::Sqlite => column.to_owned(),
            Self::Postgres => format!("{column}::text"),
        }
    }

    /// The columns of the table or view that the parameter names: `name`, `type`, `labels` (of an enum, with
    /// commas), whether they are `in_view`, and whether they are `writable`. None where there is no such table.
    pub(crate) fn columns(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT c.name, c.type, '' AS labels, s.type = 'view' AS in_view, \
                 s.type = 'table' OR EXISTS (SELECT 1 FROM sqlite_schema t WHERE t.type = 'trigger' \
                 AND t.tbl_name = s.name AND t.sql LIKE '%INSTEAD%OF%UPDATE%') AS writable \
                 FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.name = $1 AND s.type IN ('table', 'view')"
            }
            Self::Postgres => {
                "SELECT a.attname::text AS name, t.typname::text AS type, c.relkind = 'v' AS in_view, \
                 coalesce((SELECT string_agg(e.enumlabel, ',') FROM pg_enum e WHERE e.enumtypid = t.oid), '') AS labels, \
                 pg_column_is_updatable(c.oid, a.attnum, true) AS writable \
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type d ON d.oid = a.atttypid \
                 JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END \
                 WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped"
            }
        }
    }

    /// A time of the platform's, whichever way it writes times, as ours are; the earliest where there is none, or none
    /// that can be read: one such row must not stop the others. In SQLite to the millisecond.
    pub(crate) fn foreign_time(self, time: &str) -> String {
        match self {
            Self::Sqlite => {
                let read = format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', {time})");
                format!("coalesce({read}, '1970-01-01T00:00:00.000000+00:00')")
            }
            // It knows times without end, and years that the driver panics at.
            Self::Postgres => format!(
                "least(greatest(CAST(coalesce({time}, 'epoch') AS timestamptz), 'epoch'), '9999-12-31')"
            ),
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
