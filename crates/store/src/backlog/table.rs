//! The table `tasks` as it stands: the platform may have made it, or have mapped its own by a view.

use domain::{JobId, Time};
use serde_json::Value;

use super::{BacklogTask, Outcome};
use crate::StoreError;
use crate::dialect::Dialect;
use crate::sql::{On, Row, Sql};

/// What a column must be able to hold; docs/integration.md says what each means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Status,
    Number,
    Json,
    Job,
    Time,
}

/// The columns. More may be there.
const COLUMNS: [(&str, Holds); 11] = [
    ("id", Holds::Text),
    ("repo", Holds::Text),
    ("agent_type", Holds::Text),
    ("status", Holds::Status),
    ("priority", Holds::Number),
    ("payload", Holds::Json),
    ("batch_job_id", Holds::Job),
    ("result", Holds::Json),
    ("error", Holds::Json),
    ("created_at", Holds::Time),
    ("updated_at", Holds::Time),
];
/// Those that a job writes.
const WRITTEN: [&str; 5] = ["status", "batch_job_id", "result", "error", "updated_at"];
/// The statuses that a job knows; a PostgreSQL enum must have them all.
const STATUSES: [&str; 4] = ["pending", "batched", "completed", "failed"];

impl Holds {
    /// The types of PostgreSQL that do. In SQLite any column holds anything.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Text | Self::Status => &["text", "varchar"],
            Self::Number => &["int8", "int4", "int2"],
            Self::Json => &["text", "varchar", "json", "jsonb"],
            Self::Job => &["text", "varchar", "uuid"],
            Self::Time => &["timestamptz", "timestamp"],
        }
    }
}

/// What statements must know of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) is_view: bool,
    pub(crate) payload: Keeps,
    pub(crate) result: Keeps,
    pub(crate) error: Keeps,
}

/// How a column keeps JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    Text,
    Json,
    Jsonb,
}

impl Table {
    /// As the schema makes it.
    const OURS: Self = Self { is_view: false, payload: Keeps::Text, result: Keeps::Text, error: Keeps::Text };

    /// Reads what is there, and refuses what can't be worked with. Where there is nothing, the schema will
    /// make it.
    pub(crate) async fn find(dialect: Dialect, on: &impl On) -> Result<Self, StoreError> {
        let rows = Sql::new(dialect, "columns of tasks", dialect.columns()).text("tasks").all(on).await?;
        if rows.is_empty() {
            return Ok(Self::OURS);
        }
        let found = rows.iter().map(Column::read).collect::<Result<Vec<_>, _>>()?;
        let wrong = wrong(dialect, &found);
        if !wrong.is_empty() {
            return Err(StoreError::Tasks { wrong });
        }
        let json = |name| found.iter().find(|column| column.name == name).map_or(Keeps::Text, Column::json);
        Ok(Self {
            is_view: found.iter().any(|column| column.in_view),
            payload: json("payload"),
            result: json("result"),
            error: json("error"),
        })
    }

    /// Adds tasks; an id that is there already stays as it is.
    pub(super) fn insert(self, dialect: Dialect, tasks: &[BacklogTask], now: Time) -> Sql {
        let insert = format!(
            "INSERT INTO tasks (id, repo, agent_type, priority, payload, created_at, updated_at) \
             SELECT column1, column2, column3, column4, {}, column6, column6 FROM (VALUES ",
            self.payload.take("column5")
        );
        Sql::new(dialect, "add_backlog", insert)
            .rows(tasks, |values, task| {
                values.text(&task.id).text_or_null(task.repo.as_deref()).text(&task.agent_type);
                values.int(task.priority).text(&self.payload.fit(&task.payload)).bind(now);
            })
            .then(") t WHERE true ON CONFLICT (id) DO NOTHING")
    }

    /// Writes the outcome of a task that is the job's still. The status is a literal, so that a column of an
    /// enum takes it.
    pub(super) fn write_back(self, dialect: Dialect, job: JobId, outcome: &Outcome, now: Time) -> Sql {
        let (status, result, error) = match &outcome.said {
            Ok(result) => ("completed", result.as_deref().map(|result| self.result.fit(result)), None),
            Err(error) => ("failed", None, Some(self.error.fit(error))),
        };
        let update = format!(
            "UPDATE tasks SET status = '{status}', result = {}, error = {}, updated_at = $5 \
             WHERE id = $1 AND {} = {} AND status = 'batched'",
            self.result.take("$3"),
            self.error.take("$4"),
            dialect.id_text("batch_job_id"),
            dialect.id_text("$2"),
        );
        let sql = Sql::new(dialect, "write_back", update).text(&outcome.id).id(job.0);
        sql.text_or_null(result.as_deref()).text_or_null(error.as_deref()).time(now)
    }
}

impl Keeps {
    /// A parameter that holds JSON text, as the column takes it.
    pub(crate) fn take(self, parameter: &str) -> String {
        match self {
            Self::Text => parameter.to_owned(),
            Self::Json => format!("CAST({parameter} AS json)"),
            Self::Jsonb => format!("CAST({parameter} AS jsonb)"),
        }
    }

    /// A JSON text as the column can keep it: PostgreSQL's `jsonb` has no character U+0000, which becomes
    /// U+FFFD.
    pub(crate) fn fit(self, text: &str) -> String {
        if self != Self::Jsonb || !text.contains("\\u0000") {
            return text.to_owned();
        }
        // What isn't JSON is refused by the column, with its own words.
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
        replace_nul(&mut value);
        value.to_string()
    }
}

fn replace_nul(value: &mut Value) {
    let without = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => *text = without(text),
        Value::Array(values) => values.iter_mut().for_each(replace_nul),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            fields.extend(old.into_iter().map(|(name, mut value)| {
                replace_nul(&mut value);
                (without(&name), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A column that is there.
struct Column {
    name: String,
    type_name: String,
    /// Of an enum, with commas.
    labels: String,
    in_view: bool,
    writable: bool,
}

impl Column {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.text("name")?,
            type_name: row.text("type")?,
            labels: row.text("labels")?,
            in_view: row.get("in_view")?,
            writable: row.get("writable")?,
        })
    }

    fn fits(&self, holds: Holds) -> bool {
        let has = |status: &&str| self.labels.split(',').any(|label| label == *status);
        holds.types().contains(&self.type_name.as_str())
            || (holds == Holds::Status && STATUSES.iter().all(has))
    }

    fn json(&self) -> Keeps {
        match self.type_name.as_str() {
            "json" => Keeps::Json,
            "jsonb" => Keeps::Jsonb,
            _ => Keeps::Text,
        }
    }
}

/// What is wrong with the table, in words that follow its name; empty: nothing.
fn wrong(dialect: Dialect, found: &[Column]) -> String {
    let column = |name: &str| found.iter().find(|column| column.name == name);
    let (mut missing, mut problems) = (Vec::new(), Vec::new());
    for (name, holds) in COLUMNS {
        match column(name) {
            None => missing.push(name),
            Some(column) if !dialect.is_a_file() && !column.fits(holds) => {
                let types = holds.types().join(" or ");
                problems.push(format!("has {name} as {}, and it must be {types}", column.type_name));
            }
            Some(_) => {}
        }
    }
    let fixed = |name: &&str| column(name).is_some_and(|column| !column.writable);
    let fixed: Vec<&str> = WRITTEN.into_iter().filter(fixed).collect();
    if !fixed.is_empty() {
        problems.push(format!("is a view through which nobody can write {}", fixed.join(", ")));
    }
    if !missing.is_empty() {
        problems.insert(0, format!("lacks {}", missing.join(", ")));
    }
    problems.join("; it ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_gets_no_nul_and_other_columns_what_was_said() {
        let said = r#"{"a\u0000":["\u0000b","\\u0000"],"n":1.50}"#;
        assert_eq!(Keeps::Text.fit(said), said);
        assert_eq!(Keeps::Json.fit(said), said);
        let fits = r#"{"a�":["�b","\\u0000"],"n":1.5}"#;
        assert_eq!(Keeps::Jsonb.fit(said), fits);
    }
}
