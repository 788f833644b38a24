//! A store on SQLite with one batch that is planned, and a second connection that turns the database's clock: it
//! moves what is stored into the past, and never changes anything else.

#![expect(
    clippy::disallowed_methods,
    reason = "the second connection is the test's hand on the clock, no write of the product's"
)]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use domain::{
    AttemptId, Batch, BatchDecision, BatchId, Claimed, Clock, JobFact, JobId, JobPolicy, Kind, Lane, TaskId,
    decide_job,
};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use store::{
    Accepted, Commit, NewJob, NewTask, PlanChunk, PlannedBatch, PlannedLine, RecordRow, SettleRules, Store,
    StoreOptions,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) const PROVIDER: &str = "sim";
const RULES: SettleRules = SettleRules { max_attempts: 3, retry_paid: false };

pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) id: BatchId,
    side: DatabaseConnection,
    runtime: Runtime,
    /// When the stored times were right.
    anchor: Instant,
    _folder: TempDir,
}

/// An order as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) lane: String,
    pub(crate) failures: i64,
    pub(crate) outages: i64,
}

impl Rig {
    /// A database of its own, in which one job has one planned batch that waits for nobody but the submit lane.
    pub(crate) fn with_a_planned_batch() -> Self {
        static TEMPLATE: OnceLock<(TempDir, BatchId)> = OnceLock::new();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (template, id) = TEMPLATE.get_or_init(|| runtime.block_on(template()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        std::fs::copy(template.path().join("store.db"), &file).unwrap();
        let url = format!("sqlite://{}", file.display());
        let (store, side) = runtime.block_on(async {
            let side = Database::connect(&url).await.unwrap();
            side.execute_unprepared("PRAGMA synchronous = OFF").await.unwrap();
            (open(file, false).await, side)
        });
        Self { store, id: *id, side, runtime, anchor: Instant::now(), _folder: folder }
    }

    pub(crate) fn wait<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    pub(crate) fn batch(&self) -> Batch {
        self.wait(self.store.batch(self.id)).unwrap().batch
    }

    /// Whether it was written.
    pub(crate) fn write(&self, decision: BatchDecision, claimed: Option<Claimed>) -> bool {
        let commit = self.store.commit_batch(decision, claimed, RULES, crash::Step::Poll);
        self.wait(commit).unwrap() == Commit::Done
    }

    /// What the batch waits for.
    pub(crate) fn order(&self) -> Option<OrderRow> {
        let text = format!("SELECT lane, failures, outages FROM orders WHERE entity_id = '{}'", self.id);
        let statement = Statement::from_string(self.side.get_database_backend(), text);
        let row = self.wait(self.side.query_one_raw(statement)).unwrap()?;
        let number = |column| row.try_get::<i64>("", column).unwrap();
        Some(OrderRow {
            lane: row.try_get("", "lane").unwrap(),
            failures: number("failures"),
            outages: number("outages"),
        })
    }

    /// Lets so much time pass, and hardly more: of what the test itself takes, all but a second is taken back.
    pub(crate) fn pass(&mut self, time: Duration) {
        let taken = self.anchor.elapsed();
        let back =
            if taken > Duration::from_secs(1) { taken - Duration::from_millis(500) } else { Duration::ZERO };
        self.anchor += back;
        if time.is_zero() && back.is_zero() {
            return;
        }
        let seconds = time.as_secs_f64() - back.as_secs_f64();
        let moved = |column: &str| {
            format!("{column} = strftime('%Y-%m-%dT%H:%M:%f000+00:00', {column}, '{:+.3} seconds')", -seconds)
        };
        let columns = ["due_at", "send_at", "lease_until"].map(moved).join(", ");
        self.wait(self.side.execute_unprepared(&format!("UPDATE orders SET {columns}"))).unwrap();
    }
}

async fn open(file: PathBuf, migrate: bool) -> Store {
    let url = format!("sqlite://{}?mode=rwc", file.display());
    Store::open(&StoreOptions { url, migrate, clock: Clock::default() }).await.unwrap()
}

async fn template() -> (TempDir, BatchId) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("store.db"), true).await;
    let job = accept(&store).await;
    let batch = plan(&store, job).await;
    // Only the batch is looked at.
    for order in store.due_orders(Lane::Settle, PROVIDER, 10).await.unwrap() {
        let claimed = store.claim(order.command, order.seq, Duration::ZERO).await.unwrap().unwrap();
        store.release(&claimed, store::Release::Done).await.unwrap();
    }
    store.close().await.unwrap();
    (folder, batch)
}

async fn accept(store: &Store) -> JobId {
    let id = JobId(store.clock().new_id());
    let record = RecordRow {
        key: "acme/app#1".to_owned(),
        custom_id: "acme_app_issue_1".to_owned(),
        org: "acme".to_owned(),
        repo: "app".to_owned(),
        number: 1,
        title: "t".to_owned(),
        state: None,
        path: "1.json".to_owned(),
        payload: "{}".to_owned(),
        sha256: "1".repeat(64),
    };
    let task = NewTask {
        id: TaskId(store.clock().new_id()),
        custom_id: record.custom_id.clone(),
        record_key: record.key.clone(),
        record_sha256: record.sha256.clone(),
        backlog: None,
        input_tokens: 0,
    };
    let job = NewJob {
        id,
        kind: Kind::TaskProcessing,
        hold: None,
        provider: PROVIDER.to_owned(),
        processor: "p".to_owned(),
        processor_version: 1,
        definition: "{}".to_owned(),
        model: "m".to_owned(),
        endpoint: "/v1/responses".to_owned(),
        source: "a test".to_owned(),
        priority: 30,
        prices_of: "2026-11-23".to_owned(),
        run: None,
        origin: store::Origin::default(),
    };
    let accept = store.accept(job).add(vec![record], vec![task], vec![]).await.unwrap();
    accept.finish(|_| Accepted::default()).await.unwrap();
    id
}

async fn plan(store: &Store, job: JobId) -> BatchId {
    let due = loop {
        let due = store.due_orders(Lane::Plan, PROVIDER, 1).await.unwrap();
        if let Some(due) = due.first() {
            break *due;
        }
    };
    let claimed = store.claim(due.command, due.seq, Duration::from_secs(60)).await.unwrap().unwrap();
    let row = store.job(job).await.unwrap();
    let tasks = store.unplanned(job, 0, 10).await.unwrap();
    let id = BatchId(store.clock().new_id());
    let line = PlannedLine {
        attempt: AttemptId(store.clock().new_id()),
        task: tasks[0].id,
        batch: id,
        line: 1,
        number: 1,
        custom_id: tasks[0].custom_id.clone(),
        record_key: tasks[0].record_key.clone(),
        request: Some("{}".to_owned()),
    };
    let policy =
        JobPolicy { watchdog: Duration::from_secs(600), busy_rest: Duration::from_secs(30), retry_at: None };
    let fact = JobFact::Planned { more: false, attempted: true };
    let chunk = PlanChunk {
        job: decide_job(&row.job, &fact, store.clock().now(), &policy).unwrap().unwrap(),
        processor: row.processor,
        cursor: 1,
        batches: vec![PlannedBatch {
            id,
            number: 1,
            model: row.model,
            endpoint: row.endpoint,
            requests: 1,
            bytes: 1,
            new: true,
            sealed: true,
        }],
        lines: vec![line],
        unusable: vec![],
    };
    assert_eq!(store.commit_plan(chunk, claimed).await.unwrap(), Commit::Done);
    id
}
