//! What a promise begins with: records, jobs, orders and plans as the pipeline would write them.

use std::time::Duration;

use domain::{
    BatchId, Claimed, JobFact, JobId, Kind, Lane, Policy, SettleWindow, TaskId, UnknownCreate, decide_job,
};
use store::{
    Accepted, Commit, DueOrder, NewJob, NewTask, PlanChunk, PlannedBatch, PlannedLine, RecordRow, Store,
};

use crate::{LEASE, POLICY, SIM};
pub fn record(number: i64) -> RecordRow {
    RecordRow {
        key: format!("acme/app#{number}"),
        custom_id: format!("acme_app_issue_{number}"),
        org: "acme".to_owned(),
        repo: "app".to_owned(),
        number,
        title: "t".to_owned(),
        state: None,
        path: format!("{number}.json"),
        payload: format!(r#"{{"issue":{{"number":{number},"body":"b"}}}}"#),
        sha256: format!("{number:064}"),
    }
}

pub fn new_job(store: &Store) -> NewJob {
    NewJob {
        id: JobId(store.clock().new_id()),
        kind: Kind::TaskProcessing,
        hold: None,
        provider: "sim".to_owned(),
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
    }
}

pub async fn accept(store: &Store, job: NewJob, numbers: impl Iterator<Item = i64>) -> JobId {
    let id = job.id;
    let records: Vec<_> = numbers.map(record).collect();
    let task = |record: &RecordRow| NewTask {
        id: TaskId(store.clock().new_id()),
        custom_id: record.custom_id.clone(),
        record_key: record.key.clone(),
        record_sha256: record.sha256.clone(),
        backlog: None,
        input_tokens: 1,
    };
    let tasks = records.iter().map(task).collect();
    let accept = store.accept(job).add(records, tasks, vec![]).await.unwrap();
    accept.finish(|_| Accepted::default()).await.unwrap();
    id
}

/// What is due in a lane, once something is: SQLite's clock tells milliseconds, and ours is ahead of it by less.
pub async fn due(store: &Store, lane: Lane) -> Vec<DueOrder> {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        let due = store.due_orders(lane, SIM, 10).await.unwrap();
        if !due.is_empty() || std::time::Instant::now() > deadline {
            return due;
        }
    }
}

/// Claims the one order of a job's lane.
pub async fn claim(store: &Store, lane: Lane) -> Claimed {
    let due = due(store, lane).await;
    store.claim(due[0].command, due[0].seq, LEASE).await.unwrap().unwrap()
}

/// Plans all of a job's tasks into one batch.
pub async fn plan(store: &Store, job: JobId) -> Result<Commit, store::StoreError> {
    let claimed = claim(store, Lane::Plan).await;
    plan_with(store, job, claimed).await
}

pub async fn plan_with(store: &Store, job: JobId, claimed: Claimed) -> Result<Commit, store::StoreError> {
    let row = store.job(job).await.unwrap();
    let tasks = store.unplanned(job, 0, 10_000).await.unwrap();
    let batch = BatchId(store.clock().new_id());
    let lines = (1..).zip(&tasks).map(|(line, task)| PlannedLine {
        attempt: domain::AttemptId(store.clock().new_id()),
        task: task.id,
        batch,
        line,
        number: 1,
        custom_id: task.custom_id.clone(),
        record_key: task.record_key.clone(),
        request: Some(r#"{"model":"m"}"#.to_owned()),
    });
    let lines: Vec<_> = lines.collect();
    let fact = JobFact::Planned { more: false, attempted: true };
    let decision = decide_job(&row.job, &fact, store.clock().now(), &POLICY).unwrap().unwrap();
    let planned = PlannedBatch {
        id: batch,
        number: 1,
        model: row.model.clone(),
        endpoint: row.endpoint.clone(),
        requests: u32::try_from(lines.len()).unwrap(),
        bytes: 1,
        new: true,
        sealed: true,
    };
    let cursor = tasks.last().map_or(0, |task| task.seq);
    let chunk = PlanChunk {
        job: decision,
        processor: row.processor,
        cursor,
        batches: vec![planned],
        lines,
        unusable: vec![],
    };
    store.commit_plan(chunk, claimed).await
}

pub fn batch_policy() -> Policy {
    Policy {
        poll_interval: Duration::from_secs(60),
        create_within: Duration::from_secs(90),
        settle: SettleWindow { looks: 3, over: Duration::from_secs(900) },
        unknown: UnknownCreate::Park,
        account_rest: Duration::from_secs(300),
        create_rest: Duration::from_secs(10),
    }
}
