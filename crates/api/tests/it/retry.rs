//! Failed tasks of a job go again as a job of their own, with what they were given then.

use serde_json::{Value, json};

use crate::harness::{World as Server, on_both};

/// A job with a task of each sort: r1 succeeded, r2 to r4 ended badly, r5 is cancelled, r6 is at work.
async fn ended(world: &Server) -> String {
    let job = world.job(6).await;
    world.end_task(&job, "r1", "succeeded", None).await;
    world.end_task(&job, "r2", "failed", Some("rate_limited")).await;
    world.end_task(&job, "r3", "expired", Some("batch_expired")).await;
    world.end_task(&job, "r4", "missing", Some("no_response")).await;
    world.end_task(&job, "r5", "cancelled", Some("cancelled_by_user")).await;
    job
}

async fn names(world: &Server, job: &Value) -> Vec<String> {
    let tasks = world.store.tasks(job.as_str().unwrap().parse().unwrap(), None, 0, 10).await.unwrap();
    tasks.into_iter().map(|task| task.custom_id).collect()
}

on_both! {
    async fn what_ended_badly_goes_again_and_nothing_else(world: World) {
        let parent = ended(&world).await;
        let answer = world.create(&json!({ "reprocess_failed": { "job": parent } })).await.is(202);
        let job = &answer.body["job"];
        assert_eq!(job["parent_job_id"], json!(parent));
        assert_eq!((&job["kind"], &job["priority"]), (&json!("reprocess_failed"), &json!(10)));
        assert_eq!(answer.body["left_out"], json!({ "succeeded": 1, "live": 1, "cancelled": 1, "excluded": 0 }));
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["r2", "r3", "r4"]);
        let (old, new) = (world.store.job(parent.parse().unwrap()).await.unwrap(), world.store.job(answer.body["job_id"].as_str().unwrap().parse().unwrap()).await.unwrap());
        assert_eq!((old.definition, old.model), (new.definition, new.model));
        // Once more: all are on their way.
        let again = world.create(&json!({ "reprocess_failed": { "job": parent } })).await.is(200).body;
        assert_eq!((&again["job_id"], &again["on_their_way"][0]["count"]), (&json!(null), &json!(3)));
    }

    async fn a_class_and_an_age_narrow_it(world: World) {
        let parent = ended(&world).await;
        let wish = json!({ "reprocess_failed": { "job": parent, "older_than": "1h" } });
        let refused = world.create(&wish).await.refuses(422, "nothing-to-retry");
        assert!(refused.body["detail"].as_str().unwrap().contains("3 not asked for"), "{}", refused.text);
        world.sql("UPDATE batch_job_tasks SET updated_at = '2026-11-01T00:00:00.000000+00:00' WHERE custom_id = 'r4'").await;
        let job = world.create(&wish).await.is(202).body["job_id"].clone();
        assert_eq!(names(&world, &job).await, ["r4"]);
        let wish = json!({ "reprocess_failed": { "job": parent[..13], "error_class": "batch_expired" } });
        let answer = world.create(&wish).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["r3"]);
        assert_eq!(answer.body["left_out"]["excluded"], json!(2));
    }

    async fn a_record_that_was_answered_meanwhile_stays_out(world: World) {
        let parent = ended(&world).await;
        let child = world.create(&json!({ "reprocess_failed": { "job": parent, "error_class": "rate_limited" } })).await.is(202);
        world.end_task(child.body["job_id"].as_str().unwrap(), "r2", "succeeded", None).await;
        let answer = world.create(&json!({ "reprocess_failed": { "job": parent } })).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["r3", "r4"]);
        assert_eq!(answer.body["answered"], json!([{ "job_id": child.body["job_id"], "count": 1 }]));
    }

    async fn a_backlog_task_is_taken_back_only_while_it_is_ours(world: World) {
        world.backlog(&[("t1", "acme/app", "planner"), ("t2", "acme/app", "planner")]).await;
        let parent = world.create(&json!({ "processor": "planner", "task_ids": ["t1", "t2"] })).await.is(202).body["job_id"].as_str().unwrap().to_owned();
        for task in ["task-t1", "task-t2"] {
            world.end_task(&parent, task, "failed", Some("server_error")).await;
        }
        world.sql("UPDATE tasks SET status = 'failed' WHERE id = 't1'").await;
        // The platform has begun t2 itself.
        world.sql("UPDATE tasks SET status = 'running' WHERE id = 't2'").await;
        let answer = world.create(&json!({ "reprocess_failed": { "job": parent } })).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["task-t1"]);
        assert_eq!(answer.body["left_out"]["excluded"], json!(1));
        let found = world.store.backlog_by_id(&["t1".to_owned(), "t2".to_owned()]).await.unwrap();
        let statuses: Vec<_> = found.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, ["batched", "running"]);
    }

    async fn a_retry_keeps_processor_model_and_kind(world: World) {
        let parent = ended(&world).await;
        for (field, value) in [("processor", "coder"), ("model", "gpt-5-mini"), ("kind", "eval_run")] {
            let mut wish = json!({ "reprocess_failed": { "job": parent } });
            wish[field] = json!(value);
            let refused = world.create(&wish).await.refuses(422, "invalid-request");
            assert_eq!(refused.pointers(), [format!("#/{field}")]);
        }
        let wish = json!({ "kind": "reprocess_failed", "processor": "planner", "task_ids": ["t"] });
        assert_eq!(world.create(&wish).await.refuses(422, "invalid-request").pointers(), ["#/kind"]);
    }

    async fn a_class_or_an_age_finds_what_failed_in_all_jobs(world: World) {
        let first = ended(&world).await;
        let second = world.job_of(&["s1".to_owned(), "s2".to_owned()]).await;
        world.end_task(&second, "s1", "failed", Some("rate_limited")).await;
        world.end_task(&second, "s2", "failed", Some("content_filter")).await;
        let limited = json!({ "reprocess_failed": { "error_class": "rate_limited" } });
        // What was taken up since stays out, also where that ended badly again: it is the later one's.
        let again = world.create(&json!({ "reprocess_failed": { "job": first, "error_class": "rate_limited" } })).await.is(202);
        world.end_task(again.body["job_id"].as_str().unwrap(), "r2", "failed", Some("server_error")).await;
        let answer = world.create(&limited).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["s1"]);
        assert_eq!(answer.body["job"]["parent_job_id"], json!(second));
        world.create(&limited).await.refuses(422, "nothing-to-retry");

        // By age: r3 and r4 of the first job, and r2 of its retry. Of two jobs, so without a parent.
        world.sql("UPDATE batch_job_tasks SET updated_at = '2026-11-01T00:00:00.000000+00:00' WHERE custom_id IN ('r2', 'r3', 'r4')").await;
        let aged = json!({ "reprocess_failed": { "older_than": "1h", "limit": 2 } });
        let answer = world.create(&aged).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["r3", "r4"]);
        assert_eq!(answer.body["left_out"]["beyond_limit"], json!(1));
        let answer = world.create(&aged).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["r2"]);
        assert_eq!(answer.body["left_out"].get("beyond_limit"), None);
    }

    async fn a_job_has_one_processor_so_several_are_told_apart(world: World) {
        let first = world.job_of(&["a".to_owned()]).await;
        world.end_task(&first, "a", "failed", Some("server_error")).await;
        let other = json!({ "processor": "planner", "records": [{ "key": "b", "data": crate::harness::issue(1) }] });
        let other = world.create(&other).await.is(202).body["job_id"].as_str().unwrap().to_owned();
        world.end_task(&other, "b", "failed", Some("server_error")).await;
        // Another provider's job is another provider's.
        let theirs = world.job_of(&["c".to_owned()]).await;
        world.end_task(&theirs, "c", "failed", Some("server_error")).await;
        world.sql(&format!("UPDATE batch_jobs SET provider = 'openai' WHERE id = '{theirs}'")).await;
        let mut wish = json!({ "reprocess_failed": { "error_class": "server_error" } });
        let refused = world.create(&wish).await.refuses(422, "several-processors");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("planner with ") && detail.contains("product-labeling with "), "{detail}");
        wish["processor"] = json!("planner");
        let answer = world.create(&wish).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["b"]);
        wish["processor"] = json!("product-labeling");
        assert_eq!(world.create(&wish).await.is(202).body["submitted"], json!(1));
    }

    async fn the_platform_s_own_failed_tasks_are_claimed_where_they_still_are(world: World) {
        world.backlog(&[("t1", "acme/app", "planner"), ("t2", "acme/app", "planner"), ("t3", "acme/app", "coder"), ("t4", "acme/app", "planner")]).await;
        // t1 to t3 were failed by the platform's runner, t4 by a job of ours.
        let ours = world.create(&json!({ "processor": "planner", "task_ids": ["t4"] })).await.is(202).body["job_id"].as_str().unwrap().to_owned();
        world.end_task(&ours, "task-t4", "failed", Some("server_error")).await;
        world.sql("UPDATE tasks SET status = 'failed'").await;
        let wish = json!({ "reprocess_failed": { "backlog": { "agent_type": "planner", "repo": "acme/app" } } });
        let old = json!({ "reprocess_failed": { "backlog": { "agent_type": "planner" }, "older_than": "1d" } });
        world.create(&old).await.refuses(422, "nothing-to-retry");
        let answer = world.create(&wish).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["task-t1", "task-t2"]);
        assert_eq!((&answer.body["job"]["kind"], &answer.body["job"]["processor"]["name"]), (&json!("reprocess_failed"), &json!("planner")));
        world.create(&wish).await.refuses(422, "nothing-to-retry");
        let all = ["t1", "t2", "t3", "t4"].map(str::to_owned);
        let found = world.store.backlog_by_id(&all).await.unwrap();
        let statuses: Vec<_> = found.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, ["batched", "batched", "failed", "failed"]);
        // One that our job has failed is ours again, and is found by its reason.
        let answer = world.create(&json!({ "reprocess_failed": { "error_class": "server_error" } })).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["task-t4"]);
    }

    async fn a_failed_task_that_can_t_be_used_fails_nobody_else(world: World) {
        world.backlog(&[("t1", "acme/app", "planner"), ("t2", "acme/app", "planner")]).await;
        world.sql("UPDATE tasks SET status = 'failed'").await;
        world.sql("UPDATE tasks SET payload = '' WHERE id = 't1'").await;
        let wish = json!({ "reprocess_failed": { "backlog": { "agent_type": "planner" } } });
        let answer = world.create(&wish).await.is(202);
        assert_eq!(names(&world, &answer.body["job_id"]).await, ["task-t2"]);
        assert_eq!(answer.body["left_out"]["invalid"], json!(1));
        // Alone it is told what is wrong with it.
        let refused = world.create(&wish).await.refuses(422, "invalid-records");
        assert!(refused.text.contains("backlog task t1"), "{}", refused.text);
    }

    async fn a_failed_task_that_the_runner_takes_meanwhile_is_not_claimed(world: World) {
        world.backlog(&[("t1", "acme/app", "planner")]).await;
        world.sql("UPDATE tasks SET status = 'failed'").await;
        let asked = serde_json::from_value(json!({ "reprocess_failed": { "backlog": { "agent_type": "planner" } } })).unwrap();
        let wish = reception::Wish::of(&asked, world.store.clock().now()).unwrap();
        let prepared = wish.prepare(&world.store, &crate::harness::house()).await.unwrap();
        world.sql("UPDATE tasks SET status = 'running'").await;
        assert!(prepared.intake.accept(&world.store, &prepared.request).await.is_err());
        let found = world.store.backlog_by_id(&["t1".to_owned()]).await.unwrap();
        assert_eq!(found[0].1, "running");
    }

    async fn a_selection_that_says_nothing_or_too_much_is_refused(world: World) {
        for (reprocess, pointer) in [
            (json!({}), "job"),
            (json!({ "job": "0", "backlog": {} }), "backlog"),
            (json!({ "job": "0", "limit": 1 }), "limit"),
            (json!({ "backlog": {}, "limit": 1 }), "limit"),
            (json!({ "backlog": {}, "error_class": "auth" }), "error_class"),
            (json!({ "error_class": "auth", "limit": 0 }), "limit"),
            (json!({ "backlog": { "limit": 10_001 } }), "backlog/limit"),
        ] {
            let refused = world.create(&json!({ "reprocess_failed": reprocess })).await.refuses(422, "invalid-request");
            assert_eq!(refused.pointers(), [format!("#/reprocess_failed/{pointer}")]);
        }
        // The backlog has no processor, where no agent is named.
        world.backlog(&[("t1", "acme/app", "planner")]).await;
        world.sql("UPDATE tasks SET status = 'failed'").await;
        let refused = world.create(&json!({ "reprocess_failed": { "backlog": {} } })).await.refuses(422, "invalid-request");
        assert_eq!(refused.pointers(), ["#/processor"]);
    }
}
