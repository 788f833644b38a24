//! A platform's own table is the backlog: as it is, or mapped by a view, in both databases.

use std::fs;

use testkit::{Database, Overnight, Postgres};

const ISSUE: &str = r#"{"org":"acme","repo":"app","issue":{"number":7,"title":"Crash","body":"b"}}"#;

/// The installation, the platform's connection, and the database itself where it is a server's.
struct Platform {
    overnight: Overnight,
    database: Database,
    _server: Option<Postgres>,
}

fn sqlite() -> Platform {
    let overnight = crate::overnight();
    fs::create_dir_all(overnight.data_dir()).unwrap();
    fs::write(overnight.data_dir().join("overnight.db"), "").unwrap();
    let database = overnight.database();
    Platform { overnight, database, _server: None }
}

fn postgres() -> Platform {
    let server = testkit::postgres_blocking();
    let database = Database::at(server.url());
    // Beside the platform's tables, in a schema of its own: neither minds what the other's are called.
    database.run("CREATE SCHEMA overnight");
    let url = format!("{}?options[search_path]=overnight,public", server.url());
    let overnight = crate::overnight().with("DATABASE_URL", &url);
    Platform { overnight, database, _server: Some(server) }
}

impl Platform {
    /// Adds items: two that can be used, the more urgent one younger; one without a payload; and one that the
    /// platform's own runner has.
    fn fill(&self) {
        let other = ISSUE.replace(":7", ":8");
        for (id, urgency, state, input) in [
            ("1", "NULL", "pending", format!("'{ISSUE}'")),
            ("2", "5", "pending", format!("'{other}'")),
            ("3", "9", "pending", "NULL".to_owned()),
            ("4", "9", "running", format!("'{ISSUE}'")),
        ] {
            self.database.run(&format!(
                "INSERT INTO work_items (id, repository, agent, state, urgency, input, opened_at, touched_at) VALUES \
                 ({id}, 'acme/app', 'planner', '{state}', {urgency}, {input}, '2026-11-23 13:0{id}:00', '2026-11-23 13:07:00')"
            ));
        }
    }

    /// One night takes what can be used, and the answers are in the platform's table; what the platform has
    /// failed itself is taken up on demand.
    fn works(&self) {
        let (overnight, database) = (&self.overnight, &self.database);
        let _ = overnight.run(&["migrate"]).exits(0);
        self.fill();
        let night = overnight.run(&["schedule", "run"]).exits(0);
        assert!(night.stderr.contains("left out: backlog task 3: empty"), "{}", night.stderr);
        let states = "SELECT CAST(id AS TEXT) || ' ' || state FROM work_items ORDER BY id";
        assert_eq!(database.texts(states), ["1 completed", "2 completed", "3 pending", "4 running"]);
        let answered =
            "SELECT CAST(output AS TEXT) FROM work_items WHERE claimed_by IS NOT NULL AND failure IS NULL";
        let answers = database.texts(answered);
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert!(serde_json::from_str::<serde_json::Value>(&answer).unwrap().is_object(), "{answer}");
        }
        // The runner has written its own name where a job of ours writes its id.
        database.run("UPDATE work_items SET state = 'failed', claimed_by = 'runner 7' WHERE id = 4");
        let _ = overnight.run(&["batch", "retry", "--backlog", "--agent", "planner", "--wait"]).exits(0);
        assert_eq!(database.texts(states)[3], "4 completed");
    }
}

#[test]
fn a_table_with_other_names_is_mapped_by_a_view_in_sqlite() {
    let platform = sqlite();
    platform.database.run(
        "CREATE TABLE work_items (id INTEGER PRIMARY KEY, repository TEXT, agent TEXT, state TEXT, urgency INTEGER, \
         input TEXT, claimed_by TEXT, output TEXT, failure TEXT, opened_at TEXT, touched_at TEXT)",
    );
    platform.database.run(include_str!("../../deploy/backlog/sqlite.sql"));
    platform.works();
    let ran = platform.overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(78);
    assert!(ran.stderr.contains("the table tasks is a view: add tasks to what it reads"), "{}", ran.stderr);
    // Without the trigger nothing could be claimed.
    platform.database.run("DROP TRIGGER tasks_written");
    let ran = platform.overnight.run(&["doctor"]).exits(78);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("is a view through which nobody can write status, batch_job_id, result"), "{said}");
}

#[test]
fn a_task_of_no_age_stops_no_night() {
    let Platform { overnight, database, _server } = postgres();
    let _ = overnight.run(&["migrate"]).exits(0);
    database.run("SET search_path TO overnight, public");
    for (number, created) in (1..).zip(["2026-11-23 13:07:00Z", "infinity", "-infinity", "290000-01-01"]) {
        let issue = ISSUE.replace('7', &number.to_string());
        database.run(&format!(
            "INSERT INTO tasks (id, agent_type, payload, created_at, updated_at) \
             VALUES ('t{number}', 'planner', '{issue}', '{created}', clock_timestamp())"
        ));
    }
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    assert_eq!(database.number("SELECT count(*) FROM tasks WHERE status = 'completed'"), 4);
}

#[test]
fn a_table_with_other_names_and_types_is_mapped_by_a_view_in_postgresql() {
    let platform = postgres();
    platform.database.run(
        "CREATE TYPE work_state AS ENUM ('pending', 'running', 'batched', 'completed', 'failed'); \
         CREATE TABLE work_items (id bigint PRIMARY KEY, repository varchar(99), agent text, state work_state, \
         urgency smallint, input jsonb, claimed_by text, output jsonb, failure jsonb, opened_at timestamp, \
         touched_at timestamptz); CREATE TABLE events (ours boolean); SET search_path TO overnight, public",
    );
    platform.database.run(include_str!("../../deploy/backlog/postgres.sql"));
    platform.works();
    let ran = platform.overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner"]).exits(78);
    assert!(ran.stderr.contains("the table tasks is a view: add tasks to what it reads"), "{}", ran.stderr);
}

#[test]
fn a_table_of_postgresql_with_types_of_its_own_is_the_backlog() {
    let platform = postgres();
    platform.database.run(
        "CREATE TABLE public.tasks (id varchar(200) PRIMARY KEY, repo text, agent_type text NOT NULL, \
         status text NOT NULL DEFAULT 'pending', priority integer, payload jsonb, batch_job_id uuid, result jsonb, \
         error json, created_at timestamptz NOT NULL, updated_at timestamp NOT NULL, owner text)",
    );
    let (overnight, database) = (&platform.overnight, &platform.database);
    let _ = overnight.run(&["migrate"]).exits(0);
    let loaded =
        overnight.run(&["load", &testkit::sample_issues(), "--backlog", "planner", "--json"]).exits(0);
    assert_eq!(loaded.json()["backlog_added"], 36);
    let _ = overnight.run(&["schedule", "run"]).exits(0);
    let done = "SELECT count(*) FROM tasks WHERE status = 'completed' AND jsonb_typeof(result) = 'object'";
    assert_eq!(database.number(done), 36);
    // Nobody made an index on it, nor anything else.
    assert_eq!(database.number("SELECT count(*) FROM pg_indexes WHERE tablename = 'tasks'"), 1);

    database
        .run("ALTER TABLE tasks ALTER created_at TYPE text; ALTER TABLE tasks ALTER priority TYPE numeric");
    for command in [&["doctor"][..], &["migrate"], &["schedule", "run"]] {
        let ran = overnight.run(command).exits(78);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let what = "the table tasks has priority as numeric, and it must be int8 or int4 or int2; \
            it has created_at as text, and it must be timestamptz or timestamp";
        assert!(said.contains(what), "{command:?}: {said}");
    }
}
