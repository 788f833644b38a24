//! What the store promises, the same on both databases: every function here runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crash::Step;
use domain::{
    AttemptEnd, Command, ErrorClass, EventType, Fact, JobFact, JobId, JobPolicy, JobState, Lane, Money,
    Remote, Resolution, Seen, TaskId, Time, Tokens, decide_batch, decide_job,
};
use store::{
    Accepted, Backlog, BacklogTask, ChunkTally, Claim, Commit, EventPlace, Find, NewJob, NewTask, Release,
    SettleRules, SettledLine, Usage, Was,
};

use database::Fresh;
use given::{accept, batch_policy, claim, due, new_job, plan, plan_with};

mod database;
mod given;

/// Every promise, once for each database.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Fresh::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Fresh::postgres().await).await;
            })*
        }
    };
}

promises! {
    a_dropped_caller_loses_nobodys_write,
    writers_wait_their_turn,
    no_number_of_rows_is_too_many_to_bind,
    a_time_is_read_as_it_was_written,
    a_doubled_message_finds_nothing_to_do,
    a_message_of_an_older_order_finds_nothing_to_do,
    a_claim_that_ran_out_is_taken_over_and_can_be_told_apart,
    a_nudge_is_not_buried_by_whoever_holds_the_older_order,
    a_lost_message_comes_back,
    looks_are_answered_together_and_bury_no_nudge,
    a_job_is_run_by_the_provider_that_it_was_submitted_to,
    a_small_job_does_not_wait_behind_a_large_one,
    whoever_read_an_older_version_is_overtaken,
    a_record_is_on_its_way_once_across_jobs,
    a_missing_answer_is_an_outcome_and_is_written_once,
    a_line_that_answers_nothing_and_a_line_that_comes_twice_are_counted_and_change_nothing,
    of_a_torn_line_and_a_whole_one_the_answer_is_kept,
    another_database_is_known_from_this_one,
    a_backlog_task_is_claimed_once,
    a_job_is_found_by_the_beginning_of_its_id,
    a_claim_that_was_answered_renews_nothing,
    outages_are_counted_apart_from_failures,
    what_rests_before_a_submit_is_due_after_a_start,
    a_batch_that_waits_for_nobody_is_given_its_order_again,
    an_answer_that_comes_after_a_cancel_is_kept_and_billed,
    a_batch_that_waits_for_a_person_tells_its_job_why,
    a_lease_has_one_holder_at_a_time,
    a_rest_is_everybodys_and_only_grows,
    the_nearest_jobs_begin_most_like_what_was_typed,
    an_event_is_published_until_it_is_marked,
    every_view_answers,
}

const SIM: &str = "sim";
const LEASE: Duration = Duration::from_secs(60);
const POLICY: JobPolicy =
    JobPolicy { watchdog: Duration::from_secs(600), busy_rest: Duration::from_secs(30), retry_at: None };

async fn a_dropped_caller_loses_nobodys_write(database: Fresh) {
    let store = database.open().await;
    let task = |n: u32| BacklogTask {
        id: format!("t{n}"),
        repo: None,
        agent_type: "planner".to_owned(),
        priority: 0,
        payload: "{}".to_owned(),
    };
    for n in 0..50 {
        // Dropped at its first await, wherever that is.
        let writing = store.add_backlog(vec![task(n)]);
        let _ = tokio::time::timeout(Duration::from_micros(u64::from(n) * 20), writing).await;
        store.add_backlog(vec![task(1_000 + n)]).await.unwrap();
    }
    // Another connection sees every write that was answered, and nobody is stuck in a transaction.
    let other = database.open().await;
    let there = other.pending_backlog(&Backlog::Rest, None, 1_000).await.unwrap();
    let answered = there.iter().filter(|(task, _)| task.id.len() == 5).count();
    assert_eq!(answered, 50);
}

async fn writers_wait_their_turn(database: Fresh) {
    let store = database.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..25 {
                // Reads and writes in one transaction.
                accept(&store, new_job(&store), std::iter::once(writer * 100 + n)).await;
            }
        });
    }
    while let Some(result) = writers.join_next().await {
        result.unwrap();
    }
    assert_eq!(store.jobs(true, None, 1_000).await.unwrap().len(), 200);
}

async fn no_number_of_rows_is_too_many_to_bind(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=8_000).await;
    assert_eq!(store.task_tally(job).await.unwrap().pending, 8_000);
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    assert_eq!(store.task_tally(job).await.unwrap().submitted, 8_000);
}

async fn a_time_is_read_as_it_was_written(database: Fresh) {
    let store = database.open().await;
    let until = store.clock().now();
    let hold = Some((domain::HoldReason::Overnight, Some(until)));
    let job = accept(&store, NewJob { hold, ..new_job(&store) }, 1..=1).await;
    assert_eq!(store.job(job).await.unwrap().hold_until, Some(until));
}

async fn a_doubled_message_finds_nothing_to_do(database: Fresh) {
    let store = database.open().await;
    accept(&store, new_job(&store), 1..=1).await;
    let due = due(&store, Lane::Plan).await;
    assert!(store.claim(due[0].command, due[0].seq, LEASE).await.unwrap().is_some());
    assert!(store.claim(due[0].command, due[0].seq, LEASE).await.unwrap().is_none());
    assert_eq!(store.due_orders(Lane::Plan, SIM, 10).await.unwrap(), []);
    // Nor does the relay look before the claim can have run out.
    let next = store.next_send(SIM, &Lane::ALL).await.unwrap().unwrap();
    assert!(next > Duration::from_secs(50));
}

async fn a_message_of_an_older_order_finds_nothing_to_do(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    let due = due(&store, Lane::Plan).await;
    assert!(store.nudge(job.0).await.unwrap());
    assert!(store.claim(due[0].command, due[0].seq, LEASE).await.unwrap().is_none());
}

async fn a_claim_that_ran_out_is_taken_over_and_can_be_told_apart(database: Fresh) {
    let store = database.open().await;
    accept(&store, new_job(&store), 1..=1).await;
    let due = due(&store, Lane::Plan).await[0];
    let first = store.claim(due.command, due.seq, Duration::ZERO).await.unwrap().unwrap();
    let second = store.claim(due.command, due.seq, LEASE).await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    assert!(!store.renew(&first, LEASE).await.unwrap());
    assert!(store.renew(&second, LEASE).await.unwrap());
}

async fn a_nudge_is_not_buried_by_whoever_holds_the_older_order(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    let claimed = claim(&store, Lane::Plan).await;
    store.nudge(job.0).await.unwrap();
    let later = store.clock().now() + chrono::TimeDelta::hours(1);
    store.release(&claimed, Release::Later(later)).await.unwrap();
    assert_eq!(due(&store, Lane::Plan).await.len(), 1);
    // Nor by a claim that found nothing to do.
    let claimed = claim(&store, Lane::Plan).await;
    store.nudge(job.0).await.unwrap();
    store.release(&claimed, Release::Done).await.unwrap();
    assert_eq!(due(&store, Lane::Plan).await.len(), 1);
}

async fn looks_are_answered_together_and_bury_no_nudge(database: Fresh) {
    let store = database.open().await;
    accept(&store, new_job(&store), 1..=1).await;
    let second = accept(&store, new_job(&store), 2..=2).await;
    let sent: Vec<_> =
        due(&store, Lane::Plan).await.iter().map(|order| (order.command.entity(), order.seq)).collect();
    let claimed = store.claim_all(Lane::Plan, &sent, LEASE).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(store.claim_all(Lane::Plan, &sent, LEASE).await.unwrap(), [], "a claim holds");
    store.nudge(second.0).await.unwrap();
    store.look_again(&claimed, store.clock().now() + chrono::TimeDelta::hours(1)).await.unwrap();
    let left: Vec<_> = due(&store, Lane::Plan).await.iter().map(|order| order.command).collect();
    assert_eq!(left, [Command::Plan(second)], "the nudge stays");
    // Whoever held one may neither renew nor answer it.
    for claimed in &claimed {
        assert!(!store.renew(claimed, LEASE).await.unwrap());
    }
    store.look_again(&claimed, store.clock().now()).await.unwrap();
    let left: Vec<_> = due(&store, Lane::Plan).await.iter().map(|order| order.command).collect();
    assert_eq!(left, [Command::Plan(second)]);
}

async fn a_lost_message_comes_back(database: Fresh) {
    let store = database.open().await;
    accept(&store, new_job(&store), 1..=1).await;
    let sent = due(&store, Lane::Plan).await;
    assert_eq!(store.put_off(sent.clone()).await.unwrap(), sent);
    // Of several relays, one sends it.
    assert_eq!(store.put_off(sent).await.unwrap(), []);
    assert_eq!(store.unclaimed(Lane::Plan, SIM).await.unwrap(), 1);
    assert_eq!(store.due_orders(Lane::Plan, SIM, 10).await.unwrap(), []);
    // It is not gone: it has a time at which it is sent again, and a restart doesn't wait for it.
    assert!(store.next_send(SIM, &Lane::ALL).await.unwrap().unwrap() > Duration::ZERO);
    store.forget_claims().await.unwrap();
    assert_eq!(due(&store, Lane::Plan).await.len(), 1);
}

async fn a_job_is_run_by_the_provider_that_it_was_submitted_to(database: Fresh) {
    let store = database.open().await;
    accept(&store, NewJob { provider: "openai".to_owned(), ..new_job(&store) }, 1..=1).await;
    assert_eq!(store.due_orders(Lane::Plan, SIM, 10).await.unwrap(), []);
    assert!(!store.busy(SIM).await.unwrap());
    assert_eq!(store.due_orders(Lane::Plan, "openai", 10).await.unwrap().len(), 1);
}

async fn a_small_job_does_not_wait_behind_a_large_one(database: Fresh) {
    let store = database.open().await;
    for number in 1..=3 {
        let job = accept(&store, new_job(&store), std::iter::once(number)).await;
        assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    }
    let urgent = accept(&store, NewJob { priority: 99, ..new_job(&store) }, 9..=9).await;
    assert_eq!(plan(&store, urgent).await.unwrap(), Commit::Done);
    let due = due(&store, Lane::Submit).await;
    let Command::Submit(first) = due[0].command else { panic!("submit") };
    assert_eq!(store.batch(first).await.unwrap().batch.job, urgent);
}

async fn whoever_read_an_older_version_is_overtaken(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    let row = store.job(job).await.unwrap();
    let cancel =
        || decide_job(&row.job, &JobFact::CancelRequested, store.clock().now(), &POLICY).unwrap().unwrap();
    assert_eq!(store.commit_job(cancel(), None, Step::Cancel).await.unwrap(), Commit::Done);
    assert_eq!(store.commit_job(cancel(), None, Step::Cancel).await.unwrap(), Commit::Overtaken);
    assert_eq!(store.job(job).await.unwrap().job.state, JobState::Cancelling);
}

async fn a_record_is_on_its_way_once_across_jobs(database: Fresh) {
    let store = database.open().await;
    let first = accept(&store, new_job(&store), 1..=2).await;
    assert_eq!(plan(&store, first).await.unwrap(), Commit::Done);
    let second = accept(&store, new_job(&store), 2..=3).await;
    let left: Vec<_> = store.unplanned(second, 0, 10).await.unwrap().iter().map(|task| task.seq).collect();
    assert_eq!(left, [2]);
}

async fn a_missing_answer_is_an_outcome_and_is_written_once(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=12).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let batch = store.batches(job).await.unwrap()[0].batch.id;
    let rules = SettleRules { max_attempts: 3, retry_paid: false };
    let tally = store.settle_missing(batch, job, rules).await.unwrap().unwrap();
    assert_eq!(tally.settled, 12);
    assert!(store.settle_missing(batch, job, rules).await.unwrap().is_none());
    assert_eq!(store.task_tally(job).await.unwrap().missing, 12);
    assert_eq!(store.job(job).await.unwrap().ended.missing, 12);
    let events = store.events(EventPlace::at(Time::UNIX_EPOCH), Some(job), 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event_type == EventType::TaskCompleted).count(), 12);
    // Those of one instant come as the job counted them, from any place on.
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert!(sequences.is_sorted() && sequences.len() == 13, "{sequences:?}");
    for (index, event) in events.iter().enumerate() {
        let rest = store.events(event.place(), Some(job), 100).await.unwrap();
        assert_eq!(rest.len(), events.len() - index - 1);
    }
}

/// A line that holds no answer, such as a torn one.
fn unanswered(custom_id: &str) -> SettledLine {
    SettledLine {
        custom_id: custom_id.to_owned(),
        end: AttemptEnd::Failed(ErrorClass::TransientParse),
        http_status: None,
        request_id: None,
        code: None,
        message: None,
        usage: Usage::default(),
        answer: None,
    }
}

/// A line that holds an answer.
fn answered(custom_id: &str) -> SettledLine {
    SettledLine {
        end: AttemptEnd::Succeeded,
        http_status: Some(200),
        answer: Some(("{}".to_owned(), Some("1".to_owned()))),
        ..unanswered(custom_id)
    }
}

async fn of_a_torn_line_and_a_whole_one_the_answer_is_kept(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=2).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let batch = store.batches(job).await.unwrap()[0].batch.id;
    let rules = SettleRules { max_attempts: 1, retry_paid: false };
    let lines = vec![unanswered("acme_app_issue_1"), answered("acme_app_issue_1")];
    let tally = store.settle_lines(batch, job, lines, rules).await.unwrap();
    assert_eq!((tally.settled, tally.repeated), (1, 1));
    // Where the whole one comes with a later part of the file, the task has its outcome, and the answer is kept.
    let torn = store.settle_lines(batch, job, vec![unanswered("acme_app_issue_2")], rules).await.unwrap();
    let late = store.settle_lines(batch, job, vec![answered("acme_app_issue_2")], rules).await.unwrap();
    assert_eq!((torn.settled, late.late), (1, 1));
    let row = store.job(job).await.unwrap();
    assert_eq!((row.ended.succeeded, row.ended.failed), (1, 1));
    // A part of the file in which nothing can be read changes nothing.
    let nothing = store.settle_lines(batch, job, Vec::new(), rules).await.unwrap();
    assert_eq!(nothing, ChunkTally::default());
}

async fn another_database_is_known_from_this_one(database: Fresh) {
    let store = database.open().await;
    let tag = store.instance_tag().await.unwrap();
    let before = store.incarnation().await.unwrap();
    assert_eq!(store.incarnation().await.unwrap(), before);
    let is_a_server = !before.is_empty();
    // As a backup brings it back.
    for sql in [
        "ALTER TABLE instance RENAME TO instance_of_before",
        "CREATE TABLE instance AS SELECT * FROM instance_of_before",
    ] {
        database.run(sql).await;
    }
    let after = store.incarnation().await.unwrap();
    assert_eq!(after != before, is_a_server, "{before} and {after}");
    assert!(!tag.is_empty());
}

async fn a_line_that_answers_nothing_and_a_line_that_comes_twice_are_counted_and_change_nothing(
    database: Fresh,
) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let batch = store.batches(job).await.unwrap()[0].batch.id;
    let rules = SettleRules { max_attempts: 3, retry_paid: false };
    let lines = vec![answered("nobody"), answered("acme_app_issue_1"), answered("acme_app_issue_1")];
    let tally = store.settle_lines(batch, job, lines, rules).await.unwrap();
    assert_eq!((tally.settled, tally.repeated, tally.unexpected), (1, 1, 1));
    // A chunk that is repeated after a crash changes nothing.
    let again = store.settle_lines(batch, job, vec![answered("acme_app_issue_1")], rules).await.unwrap();
    assert_eq!((again.settled, again.repeated), (0, 1));
    assert_eq!(store.job(job).await.unwrap().ended.succeeded, 1);
    assert_eq!(store.results(job, None, false, 0, 10).await.unwrap().len(), 1);
}

async fn a_backlog_task_is_claimed_once(database: Fresh) {
    let store = database.open().await;
    let task = BacklogTask {
        id: "1".to_owned(),
        repo: None,
        agent_type: "planner".to_owned(),
        priority: 0,
        payload: "{}".to_owned(),
    };
    store.add_backlog(vec![task]).await.unwrap();
    let new_task = || NewTask {
        id: TaskId(store.clock().new_id()),
        custom_id: "task-1".to_owned(),
        record_key: "task:1".to_owned(),
        record_sha256: "x".to_owned(),
        backlog: Some(Claim { id: "1".to_owned(), was: Was::Pending }),
        input_tokens: 1,
    };
    let first = store.accept(new_job(&store)).add(vec![], vec![new_task()], vec![]).await.unwrap();
    first.finish(|_| Accepted::default()).await.unwrap();
    let second = async {
        let accept = store.accept(new_job(&store)).add(vec![], vec![new_task()], vec![]).await?;
        accept.finish(|_| Accepted::default()).await
    };
    assert!(second.await.is_err());
    assert_eq!(store.jobs(true, None, 10).await.unwrap().len(), 1, "the second job left nothing behind");
}

async fn a_job_is_found_by_the_beginning_of_its_id(database: Fresh) {
    let store = database.open().await;
    assert_eq!(store.find_job("0").await.unwrap(), Find::None(vec![]));
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(store.find_job(&job.to_string()[..13]).await.unwrap(), Find::One(job));
    assert_eq!(store.find_job("ffff").await.unwrap(), Find::None(vec![job]));
    assert_eq!(store.find_job("%").await.unwrap(), Find::None(vec![job]));
    let other = accept(&store, new_job(&store), 2..=2).await;
    assert_eq!(store.find_job(&job.to_string()[..8]).await.unwrap(), Find::Many(vec![job, other]));
}

async fn the_nearest_jobs_begin_most_like_what_was_typed(database: Fresh) {
    let store = database.open().await;
    let id = |text: &str| -> JobId { text.parse().unwrap() };
    let old = id("01a20884-0000-7000-8000-000000000001");
    let near = id("01a2aaaa-0000-7000-8000-000000000002");
    let far = ["0299", "0388", "0477"].map(|start| id(&format!("{start}0000-0000-7000-8000-000000000003")));
    for (number, job) in (1..).zip([old, near, far[0], far[1], far[2]]) {
        accept(&store, NewJob { id: job, ..new_job(&store) }, number..=number).await;
    }
    // As typed with a slip in the eighth place; the rest are the newest.
    let found = store.find_job("01a20885").await.unwrap();
    assert_eq!(found, Find::None(vec![old, near, far[2]]));
    let found = store.find_job("01a2 0884").await.unwrap();
    assert_eq!(found, Find::None(vec![near, old, far[2]]));
    let found = store.find_job("nonsense").await.unwrap();
    assert_eq!(found, Find::None(vec![far[2], far[1], far[0]]));
}

async fn a_claim_that_was_answered_renews_nothing(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    let held = claim(&store, Lane::Plan).await;
    assert_eq!(plan_with(&store, job, held).await.unwrap(), Commit::Done);
    assert!(!store.renew(&held, LEASE).await.unwrap(), "the next order is nobody's");
    assert_eq!(store.next_send(SIM, &Lane::ALL).await.unwrap(), Some(Duration::ZERO));
}

async fn outages_are_counted_apart_from_failures(database: Fresh) {
    let store = database.open().await;
    accept(&store, new_job(&store), 1..=1).await;
    let now = store.clock().now();
    let counts = async |release: Release| {
        let held = claim(&store, Lane::Plan).await;
        store.release(&held, release).await.unwrap();
        let next = claim(&store, Lane::Plan).await;
        store.release(&next, Release::Outage(now, String::new())).await.unwrap();
        (next.failures, next.outages)
    };
    assert_eq!(counts(Release::Outage(now, "down".to_owned())).await, (0, 1));
    assert_eq!(counts(Release::Failed(now, "broken".to_owned())).await, (1, 2));
    assert_eq!(counts(Release::Later(now)).await, (0, 0));
}

async fn what_rests_before_a_submit_is_due_after_a_start(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let held = claim(&store, Lane::Submit).await;
    let later = store.clock().now() + chrono::TimeDelta::hours(1);
    store.release(&held, Release::Later(later)).await.unwrap();
    assert_eq!(store.due_orders(Lane::Submit, SIM, 10).await.unwrap(), []);
    assert_eq!(store.wake("openai").await.unwrap(), 0);
    assert_eq!(store.wake(SIM).await.unwrap(), 1);
    assert_eq!(due(&store, Lane::Submit).await.len(), 1);
}

async fn a_batch_that_waits_for_nobody_is_given_its_order_again(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    assert_eq!(store.place_lost_orders(job).await.unwrap(), 0);
    let held = claim(&store, Lane::Submit).await;
    store.release(&held, Release::Done).await.unwrap();
    assert_eq!(store.due_orders(Lane::Submit, SIM, 10).await.unwrap(), []);
    assert_eq!(store.place_lost_orders(job).await.unwrap(), 1);
    assert_eq!(due(&store, Lane::Submit).await.len(), 1);
}

async fn an_answer_that_comes_after_a_cancel_is_kept_and_billed(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let row = store.batches(job).await.unwrap().remove(0);
    let decision = decide_batch(&row.batch, &Fact::CancelRequested, store.clock().now(), &batch_policy());
    let rules = SettleRules { max_attempts: 3, retry_paid: false };
    assert_eq!(store.commit_batch(decision.unwrap(), None, rules, Step::Cancel).await.unwrap(), Commit::Done);
    assert_eq!(store.job(job).await.unwrap().ended.cancelled, 1);
    let tokens = Tokens { input: 7, cached: 0, output: 3, reasoning: 0 };
    let line = || SettledLine {
        custom_id: "acme_app_issue_1".to_owned(),
        end: AttemptEnd::Succeeded,
        http_status: Some(200),
        request_id: None,
        code: None,
        message: None,
        usage: Usage { tokens: Some(tokens), cost: Some((Money(5), Money(10))) },
        answer: Some(("{}".to_owned(), Some("1".to_owned()))),
    };
    let tally = store.settle_lines(row.batch.id, job, vec![line()], rules).await.unwrap();
    assert_eq!((tally.late, tally.settled, tally.repeated), (1, 0, 0));
    // A chunk that is repeated after a crash, or read by two at once, is not billed again.
    let twice = tokio::join!(
        store.settle_lines(row.batch.id, job, vec![line()], rules),
        store.settle_lines(row.batch.id, job, vec![line()], rules)
    );
    assert_eq!((twice.0.unwrap().late, twice.1.unwrap().late), (0, 0));
    let again = store.settle_lines(row.batch.id, job, vec![line()], rules).await.unwrap();
    assert_eq!((again.late, again.repeated), (0, 1));
    let row = store.job(job).await.unwrap();
    assert_eq!((row.cost, row.normal_cost, row.tokens.input, row.unpriced), (Money(5), Money(10), 7, 0));
    assert_eq!((row.ended.cancelled, row.ended.succeeded), (1, 0), "the task keeps its outcome");
    let events = store.events(EventPlace::at(Time::UNIX_EPOCH), Some(job), 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event_type == EventType::TaskAnsweredLate).count(), 1);
}

async fn a_batch_that_waits_for_a_person_tells_its_job_why(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=1).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let rules = SettleRules { max_attempts: 3, retry_paid: false };
    let tell = async |fact: Fact| {
        let row = store.batches(job).await.unwrap().remove(0);
        let decision = decide_batch(&row.batch, &fact, store.clock().now(), &batch_policy()).unwrap();
        assert_eq!(store.commit_batch(decision, None, rules, Step::Poll).await.unwrap(), Commit::Done);
        let batch = store.batches(job).await.unwrap().remove(0);
        (batch.last_error, store.job(job).await.unwrap().last_error)
    };
    let why = || Some("no disk".to_owned());
    assert_eq!(tell(Fact::GaveUp { lane: Lane::Submit, why: "no disk".to_owned() }).await, (why(), why()));
    let resolved = Fact::Resolved { resolution: Resolution::TryAgain, upload: 1 };
    assert_eq!(tell(resolved).await, (None, None), "it gets on");
    let (provider_id, input_file_id) = ("batch_1".to_owned(), "file-1".into());
    let (end, refusal, remote) = (None, None, Remote::default());
    let seen = Seen { provider_id, input_file_id, instance: None, upload: Some(1), end, refusal, remote };
    assert_eq!(tell(Fact::Observed(seen)).await, (None, None));
    // What is told twice is told once, and leaves no gap in the numbers.
    for provider_id in ["batch_2", "batch_2", "batch_2", "batch_3"] {
        let _ = tell(Fact::SpareFound { provider_id: provider_id.to_owned(), ended: false }).await;
    }
    let events = store.events(EventPlace::at(Time::UNIX_EPOCH), Some(job), 100).await.unwrap();
    let mut sequence: Vec<_> = events.iter().map(|event| event.sequence).collect();
    sequence.sort_unstable();
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>());
    let spares = events.iter().filter(|event| event.event_type == EventType::BatchSpareFound);
    assert_eq!(spares.count(), 2);
}

async fn an_event_is_published_until_it_is_marked(database: Fresh) {
    let store = database.open().await;
    let job = accept(&store, new_job(&store), 1..=3).await;
    assert_eq!(plan(&store, job).await.unwrap(), Commit::Done);
    let batch = store.batches(job).await.unwrap()[0].batch.id;
    let rules = SettleRules { max_attempts: 3, retry_paid: false };
    let _ = store.settle_missing(batch, job, rules).await.unwrap();
    let waiting = store.unpublished_events(100).await.unwrap();
    let sequence: Vec<_> = waiting.iter().map(|event| event.sequence).collect();
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>());
    let first: Vec<_> = waiting[..2].iter().map(|event| event.id).collect();
    store.mark_published(&first).await.unwrap();
    let left = store.unpublished_events(100).await.unwrap();
    assert_eq!(left.len(), waiting.len() - 2);
    assert!(left.iter().all(|event| !first.contains(&event.id)));
}

/// People query them, and nothing of ours does: each is asked for every column.
async fn every_view_answers(database: Fresh) {
    let store = database.open().await;
    let _ = accept(&store, new_job(&store), 1..=2).await;
    for (view, rows) in [("batch_items", 2), ("results", 0), ("batch_job_overview", 1)] {
        assert_eq!(database.rows(view).await, rows, "{view}");
    }
    let _ = database.rows("issues").await;
}

async fn a_lease_has_one_holder_at_a_time(database: Fresh) {
    let store = database.open().await;
    let (one, other) = (store.clock().new_id(), store.clock().new_id());
    assert!(store.take_lease("events", one, LEASE).await.unwrap());
    assert!(!store.take_lease("events", other, LEASE).await.unwrap());
    assert!(store.take_lease("events", one, Duration::ZERO).await.unwrap(), "its holder renews it");
    assert!(store.take_lease("events", other, LEASE).await.unwrap(), "it has run out");
    store.give_lease("events", one).await.unwrap();
    assert!(!store.take_lease("events", one, LEASE).await.unwrap(), "only its holder gives it back");
    store.give_lease("events", other).await.unwrap();
    assert!(store.take_lease("events", one, LEASE).await.unwrap(), "nobody has it");
}

async fn a_rest_is_everybodys_and_only_grows(database: Fresh) {
    let store = database.open().await;
    assert_eq!(store.rest_left("rest/sim").await.unwrap(), None);
    store.rest("rest/sim", LEASE).await.unwrap();
    store.rest("rest/sim", Duration::ZERO).await.unwrap();
    let left = store.rest_left("rest/sim").await.unwrap().unwrap();
    assert!(left > LEASE / 2 && left <= LEASE, "{left:?}");
    store.rest("rest/sim", 3 * LEASE).await.unwrap();
    assert!(store.rest_left("rest/sim").await.unwrap().unwrap() > LEASE);
    assert_eq!(store.rest_left("rest/openai").await.unwrap(), None, "another account");
    store.rest("rest/openai", Duration::ZERO).await.unwrap();
    assert_eq!(store.rest_left("rest/openai").await.unwrap(), None, "it is over");
}
