//! Lists: newest first, by pages, narrowed by state, kind and time.

use serde_json::{Value, json};

use crate::harness::{World as Server, issue, on_both};

async fn ids(world: &Server, query: &str) -> Vec<String> {
    let list = world.get(&format!("/api/batch{query}")).await.is(200).body;
    list["data"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn pages_show_each_job_once_newest_first(world: World) {
        let mut made = Vec::new();
        for number in 0..5 {
            made.push(world.job_of(&[format!("k{number}")]).await);
        }
        made.reverse();
        let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
        loop {
            let page = world.get(&format!("/api/batch{query}")).await.is(200).body;
            seen.extend(page["data"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
            let Value::String(cursor) = &page["next_cursor"] else { break };
            query = format!("?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, made);
    }

    async fn a_list_is_narrowed(world: World) {
        let queued = world.job_of(&["a".to_owned()]).await;
        let ended = world.job_of(&["b".to_owned()]).await;
        world.end_job(&ended, "expired").await;
        let active = world.job_of(&["c".to_owned()]).await;
        world.sql(&format!("UPDATE batch_jobs SET state = 'active' WHERE id = '{active}'")).await;
        let body = json!({ "kind": "eval_run", "processor": "planner", "records": [{ "data": issue(1) }] });
        let eval = world.create(&body).await.is(202).body["job_id"].as_str().unwrap().to_owned();
        assert_eq!(ids(&world, "?state=queued").await, [eval.clone(), queued.clone()]);
        assert_eq!(ids(&world, "?state=expired").await, [ended]);
        assert_eq!(ids(&world, "?state=open").await, [eval.clone(), active.clone(), queued]);
        // What is shown is finer than what is stored: no batch is left, so its results are fetched.
        assert_eq!(ids(&world, "?state=collecting").await, [active]);
        assert_eq!(ids(&world, "?state=running").await, [""; 0]);
        assert_eq!(ids(&world, "?kind=eval_run").await, [eval]);
        assert_eq!(ids(&world, "?created_after=2999-01-01T00:00:00Z").await, [""; 0]);
    }

    async fn a_wrong_parameter_is_refused(world: World) {
        for (query, slug) in [
            ("?limit=0", "#/limit"), ("?limit=201", "#/limit"), ("?state=busy", "#/state"), ("?kind=x", "#/kind"),
            ("?cursor=x", "#/cursor"), ("?limit=x", ""), ("?status=open", ""), ("?created_after=yesterday", ""),
        ] {
            let refused = world.get(&format!("/api/batch{query}")).await.refuses(422, "invalid-request");
            assert_eq!(refused.pointers(), [slug], "{query}: {}", refused.text);
        }
    }
}
