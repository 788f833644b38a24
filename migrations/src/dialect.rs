//! What the two databases call the same thing: the words that the scripts leave open.

use minijinja::{Environment, Value, context};

/// Which database a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.35 or later.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
}

/// Bodies are compressed by the file system or not at all: PostgreSQL's own compression costs more time
/// than all the rest of a large insert.
const LARGE_BODIES: &str = "\
ALTER TABLE record_bodies ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE task_requests ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE answers ALTER COLUMN response SET STORAGE EXTERNAL;
ALTER TABLE answers ALTER COLUMN result SET STORAGE EXTERNAL;";

impl Dialect {
    /// A script with its words filled in.
    ///
    /// # Errors
    /// A word that nobody defines.
    pub fn render(self, script: &str) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.add_function("json_text", move |column: &str, object: &str, field: &str| {
            Value::from_safe_string(self.json_text(column, object, field))
        });
        environment.add_function("json_field", move |column: &str, field: &str| {
            Value::from_safe_string(self.json_field(column, field))
        });
        environment.add_function("list", move |column: &str| Value::from_safe_string(self.list(column)));
        environment.render_str(script, self.words())
    }

    /// A row where a table or a view is called `tasks`.
    pub(crate) fn has_backlog(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT 1 FROM sqlite_schema WHERE name = 'tasks' AND type IN ('table', 'view')",
            Self::Postgres => "SELECT 1 WHERE to_regclass('tasks') IS NOT NULL",
        }
    }

    fn words(self) -> Value {
        match self {
            Self::Sqlite => {
                context! { id => "TEXT", time => "TEXT", json => "TEXT", bool => "BOOLEAN", large_bodies => "" }
            }
            Self::Postgres => context! {
                id => "uuid", time => "timestamptz", json => "jsonb", bool => "boolean",
                large_bodies => Value::from_safe_string(LARGE_BODIES.to_owned()),
            },
        }
    }

    fn json_text(self, column: &str, object: &str, field: &str) -> String {
        match self {
            Self::Sqlite => format!("json_extract({column}, '$.{object}.{field}')"),
            Self::Postgres => format!("({column}::jsonb -> '{object}' ->> '{field}')"),
        }
    }

    fn json_field(self, column: &str, field: &str) -> String {
        match self {
            Self::Sqlite => format!("json_extract({column}, '$.{field}')"),
            Self::Postgres => format!("({column}::jsonb ->> '{field}')"),
        }
    }

    fn list(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("group_concat({column})"),
            Self::Postgres => format!("string_agg({column}, ',')"),
        }
    }
}
