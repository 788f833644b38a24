//! Cancelling: the wish is written down, whoever runs the stages carries it out.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, on_both};

on_both! {
    async fn a_job_is_cancelled_once(world: World) {
        let id = world.job(1).await;
        let cancel = || world.request(Method::POST, &format!("/api/batch/{}/cancel", &id[..13]));
        let first = Answer::of(cancel()).await.is(202);
        assert_eq!((&first.body["asked"], &first.body["job"]["state"]), (&json!(true), &json!("cancelling")));
        assert_eq!(first.header("location"), format!("/api/batch/{id}"));
        assert_eq!(world.store.due_orders(domain::Lane::Settle, "sim", 10).await.unwrap().len(), 1);
        assert_eq!(Answer::of(cancel()).await.is(202).body["asked"], json!(false));
    }

    async fn what_has_ended_can_t_be_cancelled(world: World) {
        let id = world.job(1).await;
        world.end_job(&id, "failed").await;
        let refused = Answer::of(world.request(Method::POST, &format!("/api/batch/{id}/cancel"))).await;
        let refused = refused.refuses(409, "already-ended");
        assert_eq!(refused.body["detail"], json!(format!("job {id} is failed")));
    }
}
