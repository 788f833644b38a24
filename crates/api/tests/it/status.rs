//! Where a job stands, found by the beginning of its id.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, on_both};

on_both! {
    async fn a_job_is_found_by_the_beginning_of_its_id(world: World) {
        let id = world.job(2).await;
        for name in [&id[..], &id[..1], &id.to_uppercase()] {
            let answer = world.get(&format!("/api/batch/{name}")).await.is(200);
            assert_eq!((&answer.body["job_id"], &answer.body["tasks"]["pending"]), (&json!(id), &json!(2)));
        }
        let other = world.job_of(&["x".to_owned()]).await;
        let refused = world.get("/api/batch/0").await.refuses(409, "ambiguous-id");
        assert_eq!(refused.body["errors"].as_array().unwrap().len(), 2);
        assert!(refused.text.contains(&other));
    }

    async fn a_wrong_id_is_told_the_nearest(world: World) {
        let mut ids = Vec::new();
        for number in 0..7 {
            ids.push(world.job_of(&[format!("k{number}")]).await);
        }
        // One digit is wrong at the end.
        let last = if ids[3].ends_with('0') { "1" } else { "0" };
        let wrong = format!("{}{last}", &ids[3][..35]);
        let refused = world.get(&format!("/api/batch/{wrong}")).await.refuses(404, "no-such-job");
        assert_eq!(refused.body["errors"][0]["detail"], json!(ids[3]));
        assert_eq!(refused.body["errors"].as_array().unwrap().len(), 3);
        for path in ["/api/batch/nonsense", "/api/batch/%25", "/api/batch/nonsense/results"] {
            world.get(path).await.refuses(404, "no-such-job");
        }
        let refused = Answer::of(world.request(Method::POST, "/api/batch/nonsense/cancel")).await;
        refused.refuses(404, "no-such-job");
    }

    async fn what_has_not_changed_is_not_sent_again(world: World) {
        let id = world.job(1).await;
        let path = format!("/api/batch/{id}");
        let first = world.get(&path).await.is(200);
        let tag = first.header("etag").to_owned();
        assert_eq!(first.header("retry-after"), "7");
        let same = || world.request(Method::GET, &path).header("If-None-Match", format!("\"x\", W/{tag}"));
        let second = Answer::of(same()).await.is(304);
        assert_eq!((second.text.as_str(), second.header("etag")), ("", tag.as_str()));
        world.end_task(&id, "r1", "succeeded", None).await;
        world.end_job(&id, "completed").await;
        let third = Answer::of(same()).await.is(200);
        assert_ne!(third.header("etag"), tag);
        assert_eq!((&third.body["outcome"], third.header("retry-after")), (&json!("completed"), ""));
    }
}
