//! Creating a job: from records, task ids or a filter, whole or not at all.

use serde_json::json;

use crate::harness::{issue, on_both};

on_both! {
    async fn records_become_a_job_with_its_estimate(world: World) {
        let body = json!({
            "processor": "product-labeling",
            "records": [{ "data": issue(7) }, { "key": "row/8", "data": issue(8) }],
            "priority": "low",
            "labels": { "team": "web" },
            "metadata": { "run": [1, 2] },
        });
        let answer = world.create(&body).await.is(202);
        let (id, job) = (answer.body["job_id"].as_str().unwrap(), &answer.body["job"]);
        assert_eq!(answer.header("location"), format!("/api/batch/{id}"));
        assert_eq!(answer.header("retry-after"), "7");
        assert_eq!((&job["state"], &job["kind"]), (&json!("queued"), &json!("task_processing")));
        assert_eq!((&job["total"], &job["priority"]), (&json!(2), &json!(10)));
        assert!(job["estimate"]["input_tokens"].as_u64().unwrap() > 10);
        assert_eq!(job["planned_start"], job["created_at"]);
        assert_eq!((&job["labels"], &job["metadata"]), (&json!({ "team": "web" }), &json!({ "run": [1, 2] })));
        let tasks = world.store.tasks(id.parse().unwrap(), None, 0, 10).await.unwrap();
        let names: Vec<_> = tasks.iter().map(|task| (&*task.custom_id, &*task.record_key)).collect();
        assert_eq!(names[0], ("acme_app_issue_7", "acme/app#7"));
        assert!(names[1].0.starts_with("row_8_") && names[1].1 == "record:row/8", "{names:?}");
        // It waits for plan as any other job does.
        assert_eq!(world.store.due_orders(domain::Lane::Plan, "sim", 10).await.unwrap().len(), 1);
    }

    async fn tonight_is_a_hold_with_its_end(world: World) {
        let body = json!({ "processor": "product-labeling", "records": [{ "data": issue(1) }], "tonight": true });
        let job = world.create(&body).await.is(202).body["job"].clone();
        assert_eq!((&job["state"], &job["hold"]["reason"]), (&json!("held"), &json!("overnight")));
        assert_eq!(job["hold"]["until"], job["planned_start"]);
        assert!(job["planned_start"].is_string());
    }

    async fn a_dry_run_stores_nothing(world: World) {
        let body = json!({ "processor": "product-labeling", "records": [{ "data": issue(1) }], "dry_run": true });
        let answer = world.create(&body).await.is(200);
        assert_eq!((&answer.body["records"], &answer.body["batches"]), (&json!(1), &json!([1])));
        assert!(answer.body["estimate"]["input_tokens"].as_u64().unwrap() > 10);
        assert_eq!(world.get("/api/batch").await.is(200).body["data"], json!([]));
    }

    async fn what_is_on_its_way_is_no_second_job(world: World) {
        let body = json!({ "processor": "product-labeling", "records": [{ "data": issue(1) }] });
        let first = world.create(&body).await.is(202).body["job_id"].clone();
        let second = world.create(&body).await.is(200).body;
        assert_eq!(second["job_id"], json!(null));
        assert_eq!(second["on_their_way"], json!([{ "job_id": first, "count": 1 }]));
    }

    async fn backlog_tasks_are_claimed_by_id(world: World) {
        world.backlog(&[("t1", "acme/app", "planner"), ("t2", "acme/app", "planner")]).await;
        let body = json!({ "processor": "planner", "task_ids": ["t2", "t1"] });
        world.create(&body).await.is(202);
        let found = world.store.backlog_by_id(&["t1".to_owned(), "t2".to_owned()]).await.unwrap();
        assert!(found.iter().all(|(_, status)| status == "batched"));
        // Each that can't be had is named, and nothing is stored.
        world.backlog(&[("t3", "acme/app", "planner")]).await;
        let body = json!({ "processor": "planner", "task_ids": ["t3", "t1", "nobody", "t3"] });
        let refused = world.create(&body).await.refuses(422, "invalid-records");
        assert_eq!(refused.pointers(), ["#/task_ids/1", "#/task_ids/2", "#/task_ids/3"]);
        assert_eq!(world.store.backlog_of("", "", 10).await.unwrap().1, 1);
    }

    async fn a_task_is_worked_on_by_its_own_agent(world: World) {
        world.backlog(&[("t1", "acme/app", "planner"), ("t2", "acme/app", "coder")]).await;
        let body = json!({ "processor": "planner", "task_ids": ["t1", "t2"] });
        let refused = world.create(&body).await.refuses(422, "invalid-records");
        assert_eq!(refused.pointers(), ["#/task_ids/1"]);
        assert!(refused.text.contains("t2 is for coder, and not for planner"), "{}", refused.text);
        // A filter without an agent is the processor's own, and one with another is a contradiction.
        let body = json!({ "processor": "planner", "filter": { "agent_type": "coder" } });
        let refused = world.create(&body).await.refuses(422, "invalid-request");
        assert_eq!(refused.pointers(), ["#/filter/agent_type"]);
        let body = json!({ "processor": "planner", "filter": { "repo": "acme/app" } });
        assert_eq!(world.create(&body).await.is(202).body["job"]["total"], json!(1));
        assert_eq!(world.store.backlog_of("", "coder", 10).await.unwrap().1, 1);
    }

    async fn a_filter_takes_the_backlog_of_a_repository_and_an_agent(world: World) {
        let tasks = [("a", "acme/app", "planner"), ("b", "acme/app", "coder"), ("c", "acme/web", "planner"), ("d", "acme/app", "planner")];
        world.backlog(&tasks).await;
        let body = json!({ "filter": { "repo": "acme/app", "agent_type": "planner", "limit": 1 } });
        let job = world.create(&body).await.is(202).body["job"].clone();
        assert_eq!((&job["total"], &job["processor"]["name"]), (&json!(1), &json!("planner")));
        let left: Vec<_> = world.store.backlog_of("", "", 10).await.unwrap().0.into_iter().map(|task| task.id).collect();
        assert_eq!(left, ["b", "c", "d"]);
        // An empty backlog is nobody's mistake.
        let body = json!({ "filter": { "repo": "acme/none", "agent_type": "planner" } });
        assert_eq!(world.create(&body).await.is(200).body["job_id"], json!(null));
    }

    async fn a_filter_counts_what_it_leaves_and_one_task_fails_nobody_else(world: World) {
        let tasks = ["a", "b", "c", "d", "e"].map(|id| (id, "acme/app", "planner"));
        world.backlog(&tasks).await;
        world.sql("UPDATE tasks SET payload = '' WHERE id = 'a'").await;
        let mut body = json!({ "filter": { "agent_type": "planner", "limit": 3 }, "dry_run": true });
        let left_out = json!({ "succeeded": 0, "live": 0, "cancelled": 0, "excluded": 0, "beyond_limit": 2, "invalid": 1 });
        let weighed = world.create(&body).await.is(200).body;
        assert_eq!((&weighed["records"], &weighed["left_out"]), (&json!(2), &left_out));
        body["dry_run"] = json!(false);
        let answer = world.create(&body).await.is(202);
        assert_eq!((&answer.body["submitted"], &answer.body["left_out"]), (&json!(2), &left_out));
        // Whoever names it is refused.
        let body = json!({ "processor": "planner", "task_ids": ["a", "d"] });
        world.create(&body).await.refuses(422, "invalid-records");
    }

    async fn one_wrong_record_refuses_them_all(world: World) {
        let body = json!({ "processor": "product-labeling", "records": [
            { "data": issue(1) },
            { "data": { "org": "acme" } },
            { "key": "k", "data": [1] },
            { "data": issue(1) },
        ] });
        let refused = world.create(&body).await.refuses(422, "invalid-records");
        assert_eq!(refused.pointers(), ["#/records/1/data", "#/records/2/data", "#/records/3"]);
        assert_eq!(world.get("/api/batch").await.is(200).body["data"], json!([]));
    }
}
