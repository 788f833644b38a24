//! Schedules: written with their terms, and refused with their place.

use serde_json::json;

use crate::harness::on_both;

on_both! {
    async fn asking_again_changes_the_terms(world: World) {
        let first = world.post("/api/batch/schedule", &json!({ "repo": "acme/app" })).await.is(200).body;
        assert_eq!(
            (&first["name"], &first["hour"], &first["timezone"], &first["max_tasks"], &first["priority"]),
            (&json!("repo:acme/app"), &json!(2), &json!("Europe/Berlin"), &json!(1_000), &json!("high"))
        );
        assert!(first["next_at"].is_string());
        let terms = json!({ "repo": "acme/app", "max_tasks": 5, "priority": "low" });
        let second = world.post("/api/batch/schedule", &terms).await.is(200).body;
        assert_eq!((&second["max_tasks"], &second["priority"]), (&json!(5), &json!("low")));
        let there = world.store.schedules().await.unwrap();
        assert_eq!(there.iter().map(|schedule| schedule.terms.max_tasks).collect::<Vec<_>>(), [5]);
    }

    async fn terms_that_can_t_be_are_refused(world: World) {
        for (terms, pointer) in [
            (json!({}), "#"),
            (json!({ "repo": "acme" }), "#/repo"),
            (json!({ "repo": "acme/app/x" }), "#/repo"),
            (json!({ "repo": "acme/\u{0}" }), "#/repo"),
            // Few enough characters, and too many bytes for a message.
            (json!({ "repo": format!("acme/{}", "ä".repeat(100)) }), "#/repo"),
            (json!({ "repo": "acme/app", "max_tasks": 0 }), "#/max_tasks"),
            (json!({ "repo": "acme/app", "priority": "x" }), "#/priority"),
            (json!({ "repo": "acme/app", "maxTasks": 3 }), "#/maxTasks"),
        ] {
            let refused = world.post("/api/batch/schedule", &terms).await.refuses(422, "invalid-request");
            assert_eq!(refused.pointers(), [pointer], "{terms}");
        }
        assert!(world.store.schedules().await.unwrap().is_empty());
    }
}
