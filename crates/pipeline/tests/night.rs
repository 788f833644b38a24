//! What the clock promises where many keep it, on both databases.

#![expect(clippy::disallowed_methods, reason = "the test looks into the database")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    Clock, Event, EventType, HoldReason, JobId, Kind, Lane, Limits, PriceFile, PriceTable, Priority, Rule,
    RunId, RunState, Schedule, ScheduleFact, ScheduleTerms, Stream, TaskId, Ticking, Time, decide_schedule,
};
use pipeline::{Night, Provider, run_now, tick, wind};
use reception::{set_repo, tell_schedule};
use sea_orm::{ConnectionTrait as _, Database};
use store::{
    Accepted, Backlog, BacklogTask, Claim, Commit, EventPlace, NewJob, NewTask, RunEnd, RunPart, Store,
    StoreError, StoreOptions, Was,
};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(60);

/// A database of its own.
struct World {
    url: String,
    folder: TempDir,
    // Dropped with this.
    _postgres: Option<testkit::Postgres>,
}

impl World {
    async fn all() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("night.db").display());
        let sqlite = Self { url, folder, _postgres: None };
        let (database, folder) = (testkit::Postgres::fresh().await, tempfile::tempdir().unwrap());
        vec![sqlite, Self { url: database.url().to_owned(), folder, _postgres: Some(database) }]
    }

    async fn open(&self, offset: &str) -> Store {
        let clock: Clock = offset.parse().unwrap();
        Store::open(&StoreOptions { url: self.url.clone(), migrate: true, clock }).await.unwrap()
    }

    /// Changes it behind the product's back.
    async fn run(&self, sql: &str) {
        let connection = Database::connect(&self.url).await.unwrap();
        connection.execute_unprepared(sql).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A night that strikes eleven to twelve hours from now.
    fn night(&self) -> Night {
        let hour = (Clock::default().now() + chrono::TimeDelta::hours(12)).format("%H").to_string();
        let prices = PriceFile { date: "2026-11-23".to_owned(), models: BTreeMap::new() };
        Night {
            rule: Rule::new(hour.parse().unwrap(), chrono_tz::UTC).unwrap(),
            auto: true,
            max_tasks: 1_000,
            catchup: Duration::from_secs(20 * 3_600),
            processors: self.folder.path().to_owned(),
            provider: Provider::Sim,
            enabled: true,
            limits: Limits { max_requests: 100, max_bytes: 1 << 20 },
            prices: PriceTable::new(&prices).unwrap(),
        }
    }
}

fn task(repo: &str, agent: &str, number: i64) -> BacklogTask {
    let issue = format!(r#""issue":{{"number":{number},"title":"t","body":"b"}}"#);
    BacklogTask {
        id: format!("{agent}-{repo}-{number}").replace('/', "-"),
        repo: Some(repo.to_owned()),
        agent_type: agent.to_owned(),
        priority: number,
        payload: format!(r#"{{"org":"acme","repo":"app",{issue}}}"#),
    }
}

async fn backlog(store: &Store) {
    let mut tasks = Vec::new();
    for agent in ["planner", "reviewer"] {
        for repo in ["acme/app", "acme/web"] {
            tasks.extend((1..=10).map(|number| task(repo, agent, number)));
        }
    }
    assert_eq!(store.add_backlog(tasks).await.unwrap(), 40);
}

fn job(store: &Store, hold: Option<HoldReason>, run: Option<RunPart>) -> NewJob {
    NewJob {
        id: JobId(store.clock().new_id()),
        kind: Kind::TaskProcessing,
        hold: hold.map(|reason| (reason, None)),
        provider: "sim".to_owned(),
        processor: "planner".to_owned(),
        processor_version: 1,
        definition: "{}".to_owned(),
        model: "m".to_owned(),
        endpoint: "/v1/responses".to_owned(),
        source: "a test".to_owned(),
        priority: 30,
        prices_of: "2026-11-23".to_owned(),
        run,
        origin: store::Origin::default(),
    }
}

/// Accepts a job of backlog tasks as a part of a run.
async fn accept(store: &Store, run: RunPart, tasks: &[&str]) -> Result<u64, StoreError> {
    let sha256 = "0".repeat(64);
    let task = |task: &&str| NewTask {
        id: TaskId(store.clock().new_id()),
        custom_id: (*task).to_owned(),
        record_key: (*task).to_owned(),
        record_sha256: sha256.clone(),
        backlog: Some(Claim { id: (*task).to_owned(), was: Was::Pending }),
        input_tokens: 1,
    };
    let job = job(store, Some(HoldReason::BatchApiDisabled), Some(run));
    let tasks = tasks.iter().map(task).collect();
    let accepting = store.accept(job).add(vec![], tasks, vec![(sha256.clone(), "{}".to_owned())]).await?;
    accepting
        .finish(|taken| Accepted { estimate_tokens: Some((taken.input_tokens, 0)), ..Accepted::default() })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_ticks_make_one_night() {
    for world in World::all().await {
        let store = world.open("0s").await;
        wind(&store, &world.night()).await.unwrap();
        backlog(&store).await;
        // Eight schedulers, each with connections of its own, that tick as fast as they can.
        let mut ticking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, night) = (world.open("+13h").await, world.night());
            ticking.spawn(async move {
                for _ in 0..125 {
                    tick(&store, &night).await.unwrap();
                }
            });
        }
        ticking.join_all().await;
        let runs = store.runs(None, 10).await.unwrap();
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert_eq!((runs[0].state, runs[0].jobs, runs[0].tasks), (RunState::Finished, 2, 40));
        assert_eq!(store.count_pending(&Backlog::Rest).await.unwrap(), 0);
        let jobs = store.jobs(false, None, 10).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.job.total).collect::<Vec<_>>(), [20, 20]);
        let events = store.events(EventPlace::at(Time::UNIX_EPOCH), None, 100).await.unwrap();
        let events: Vec<_> = events.iter().filter(|event| event.stream.job().is_none()).collect();
        let said: Vec<_> = events.iter().map(|event| (event.sequence, event.event_type.as_str())).collect();
        assert_eq!(said, [(1, "schedule.run.started.v1"), (2, "schedule.run.finished.v1")]);
        assert_eq!(events[0].stream, Stream::Schedule("overnight".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repositorys_tasks_belong_to_its_own_schedule() {
    for world in World::all().await {
        let (store, night) = (world.open("0s").await, world.night());
        wind(&store, &night).await.unwrap();
        backlog(&store).await;
        let terms = ScheduleTerms { rule: night.rule, max_tasks: 5, priority: Priority::Low };
        let own = set_repo(&store, night.catchup, "acme/app", terms).await.unwrap();
        assert!(set_repo(&store, night.catchup, "acme", terms).await.is_err());
        let later = world.open("+13h").await;
        assert_eq!(tick(&later, &night).await.unwrap().len(), 2);

        let whole = store.runs(Some(Schedule::OVERNIGHT), 1).await.unwrap().remove(0);
        assert_eq!((whole.selected, whole.tasks, whole.left, whole.reason), (20, 20, 0, None));
        let part = store.runs(Some(&own.name), 1).await.unwrap().remove(0);
        assert_eq!((part.selected, part.tasks, part.left), (5, 5, 15));
        assert_eq!(part.reason.as_deref(), Some("15 beyond the 5 that one run takes"));
        // The most urgent of both agents.
        let mut totals: Vec<u64> =
            store.jobs(false, None, 10).await.unwrap().iter().map(|job| job.job.total).collect();
        totals.sort_unstable();
        assert_eq!(totals, [2, 3, 10, 10]);

        // Its schedule removed, the rest is everybody's. Its history stays, and when it comes back the night
        // on record is not owed again.
        assert!(tell_schedule(&store, night.catchup, &own.name, &ScheduleFact::Removed).await.unwrap());
        assert_eq!(store.count_pending(&Backlog::Rest).await.unwrap(), 15);
        assert_eq!(store.schedules().await.unwrap().len(), 1);
        let back = set_repo(&store, night.catchup, "acme/app", terms).await.unwrap();
        assert!(back.next.unwrap().date > own.next.unwrap().date);
        assert_eq!(store.runs(Some(&own.name), 10).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_on_record_is_not_begun_again_whatever_the_schedule_says() {
    for world in World::all().await {
        let night = world.night();
        wind(&world.open("0s").await, &night).await.unwrap();
        let store = world.open("+13h").await;
        tick(&store, &night).await.unwrap();
        // A schedule that was put back by hand to the night that is on record.
        world
            .run(
                "UPDATE schedules SET next_date = last_date, last_date = NULL, \
                 next_at = (SELECT slot_at FROM schedule_runs)",
            )
            .await;
        assert_eq!(store.due_schedules(store.clock().now()).await.unwrap().len(), 1);
        assert_eq!(tick(&store, &night).await.unwrap().len(), 0);
        assert_eq!(store.due_schedules(store.clock().now()).await.unwrap(), []);
        assert_eq!(store.runs(None, 10).await.unwrap().len(), 1);
        assert_eq!(store.events(EventPlace::at(Time::UNIX_EPOCH), None, 10).await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_on_what_has_changed_meanwhile_is_not_written() {
    for world in World::all().await {
        let (store, night) = (world.open("+0s").await, world.night());
        wind(&store, &night).await.unwrap();
        let read = store.schedule(Schedule::OVERNIGHT).await.unwrap().unwrap();
        let pause = |reason: &str| ScheduleFact::Paused(reason.to_owned());
        assert!(tell_schedule(&store, night.catchup, Schedule::OVERNIGHT, &pause("first")).await.unwrap());
        let mut fresh = || RunId(store.clock().new_id());
        let mut ticking = Ticking { now: store.clock().now(), catchup: night.catchup, fresh: &mut fresh };
        let late = decide_schedule(&read, pause("late"), &mut ticking).unwrap().unwrap();
        assert_eq!(store.commit_schedule(late).await.unwrap(), Commit::Overtaken);
        let paused = store.schedule(Schedule::OVERNIGHT).await.unwrap().unwrap().paused;
        assert_eq!(paused.unwrap().reason, "first");
        assert_eq!(store.events(EventPlace::at(Time::UNIX_EPOCH), None, 10).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_its_claim_accepts_and_finishes_nothing() {
    for world in World::all().await {
        let (store, night) = (world.open("0s").await, world.night());
        wind(&store, &night).await.unwrap();
        let run = run_now(&store, &night, Schedule::OVERNIGHT, None).await.unwrap().remove(0).run;
        assert_eq!((run.state, run.tasks), (RunState::Finished, 0));
        assert_eq!(store.claim_run(run.id, LEASE).await.unwrap(), None);

        backlog(&store).await;
        world.run("UPDATE schedule_runs SET state = 'started'").await;
        let lost = store.claim_run(run.id, LEASE).await.unwrap().unwrap();
        assert_eq!(store.open_runs().await.unwrap(), []);
        assert_eq!(store.claim_run(run.id, LEASE).await.unwrap(), None);
        assert!(store.renew_run(lost, LEASE).await.unwrap());
        store.forget_run_claims().await.unwrap();
        let holds = store.claim_run(run.id, LEASE).await.unwrap().unwrap();
        assert!(!store.renew_run(lost, LEASE).await.unwrap());

        let end = RunEnd { selected: 0, left: 0, reason: None };
        let event = |occurrence: &str| {
            let finished = EventType::ScheduleRunFinished;
            Event::of_schedule(finished, Schedule::OVERNIGHT, occurrence, serde_json::Value::Null)
        };
        assert_eq!(store.finish_run(lost, end.clone(), event("a")).await.unwrap(), Commit::Overtaken);
        let part = |claim, agent: &str| RunPart { claim, agent: agent.to_owned() };
        let first = "planner-acme-app-1";
        assert!(accept(&store, part(lost, "planner"), &[first]).await.unwrap_err().is_taken());
        assert_eq!(accept(&store, part(holds, "planner"), &[first]).await.unwrap(), 1);
        // A second job of the same part, and a task that is gone.
        let second = accept(&store, part(holds, "planner"), &["planner-acme-app-2"]).await;
        assert!(second.unwrap_err().is_conflict());
        assert!(accept(&store, part(holds, "reviewer"), &[first]).await.unwrap_err().is_taken());
        assert_eq!(store.run(run.id).await.unwrap().tasks, 1);
        assert_eq!(store.finish_run(holds, end, event("b")).await.unwrap(), Commit::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_what_a_live_runner_has_left() {
    for world in World::all().await {
        let (store, night) = (world.open("0s").await, world.night());
        wind(&store, &night).await.unwrap();
        let run = run_now(&store, &night, Schedule::OVERNIGHT, None).await.unwrap().remove(0).run;
        backlog(&store).await;
        world.run("UPDATE schedule_runs SET state = 'started'").await;
        let claim = store.claim_run(run.id, LEASE).await.unwrap().unwrap();
        // The runner takes one of three between the selection and the claim, and all of another agent.
        let (planner, reviewer) =
            (["1", "2", "3"].map(|n| format!("planner-acme-app-{n}")), "reviewer-acme-web-9");
        world
            .run(
                "UPDATE tasks SET status = 'running' \
                 WHERE id IN ('planner-acme-app-2', 'reviewer-acme-web-9')",
            )
            .await;
        let part = |agent: &str| RunPart { claim, agent: agent.to_owned() };
        let wanted = planner.each_ref().map(String::as_str);
        assert_eq!(accept(&store, part("planner"), &wanted).await.unwrap(), 2);
        let error = accept(&store, part("reviewer"), &[reviewer]).await.unwrap_err();
        assert!(error.is_task_taken(), "{error}");
        let jobs = store.jobs(false, None, 10).await.unwrap();
        assert_eq!(jobs.len(), 1, "a job without tasks is none");
        assert_eq!((jobs[0].job.total, jobs[0].estimate_tokens), (2, Some((2, 0))));
        assert_eq!(store.run(run.id).await.unwrap().tasks, 2);
        let tasks = store.backlog_by_id(&planner).await.unwrap();
        let statuses: Vec<&str> = tasks.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, ["batched", "running", "batched"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_rests_and_is_taken_up_again() {
    for world in World::all().await {
        let (store, night) = (world.open("0s").await, world.night());
        wind(&store, &night).await.unwrap();
        backlog(&store).await;
        let later = world.open("+13h").await;
        world.run("ALTER TABLE tasks RENAME TO elsewhere").await;
        assert_eq!(tick(&later, &night).await.unwrap().len(), 0);
        world.run("ALTER TABLE elsewhere RENAME TO tasks").await;
        let run = store.runs(None, 1).await.unwrap().remove(0);
        assert_eq!(run.state, RunState::Started);
        assert!(run.reason.unwrap().contains("database failed"));
        assert!(store.open_runs().await.unwrap().is_empty(), "it rests");
        // Its rest is over.
        world.run("UPDATE schedule_runs SET lease_until = NULL").await;
        assert_eq!(tick(&later, &night).await.unwrap()[0].run.tasks, 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_off_takes_the_databases_clock_with_it() {
    for world in World::all().await {
        for offset in ["+36h", "-36h"] {
            let store = world.open(offset).await;
            let accepting = store.accept(job(&store, None, None));
            accepting.finish(|_| Accepted::default()).await.unwrap();
            let due = store.due_orders(Lane::Plan, "sim", 100).await.unwrap();
            assert_eq!(due.len(), 1, "{offset}");
            assert!(store.claim(due[0].command, due[0].seq, LEASE).await.unwrap().is_some(), "{offset}");
        }
    }
}
