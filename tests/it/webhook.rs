//! The provider says that a batch has ended, over real HTTP: it is looked at now and not at the next interval.

use std::time::Duration;

use standardwebhooks::Webhook;
use testkit::until;

use crate::api::Up;

const SECRET: &str = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=";

/// Says that a batch has ended, signed with this secret; answers the status.
fn say(api: &str, secret: &str, batch: &str) -> u16 {
    let now = domain::Clock::default().now().timestamp();
    let body = format!(
        r#"{{"id":"evt_1","object":"event","created_at":{now},"type":"batch.completed","data":{{"id":"{batch}"}}}}"#
    );
    let signer = Webhook::new(secret).unwrap();
    let signature = signer.sign("wh_1", now, body.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let request = client.post(format!("{api}/hooks/openai")).header("webhook-id", "wh_1");
        let request =
            request.header("webhook-timestamp", now.to_string()).header("webhook-signature", signature);
        request.body(body).send().await.unwrap().status().as_u16()
    })
}

#[test]
fn word_of_a_batch_whose_id_is_not_stored_yet_disturbs_nothing() {
    let here = ["HTTP_ADDR", "ADMIN_ADDR", "GATEWAY_ADDR"];
    let overnight = here.into_iter().fold(crate::overnight(), |all, name| all.with(name, "127.0.0.1:0"));
    let mut overnight = overnight.with("OPENAI_WEBHOOK_SECRET", SECRET);
    let api = Up::of(&overnight, &["serve", "api"]);
    // The create was answered, and the answer waits to be written down.
    overnight.set("OVERNIGHT_CRASH", "provider.create.after:1:sleep:3000");
    let up = Up::of(&overnight, &["up"]);
    let url = api.said["api"].as_str().unwrap();
    let other = crate::overnight().with("OVERNIGHT_URL", url);
    let _ = other.run(&["batch", "submit", "planner", "--files", &testkit::sample_issues()]).exits(0);
    let served = || overnight.ledger().texts("SELECT id FROM served_batches");
    until("the provider has it", || !served().is_empty());
    assert_eq!(say(url, SECRET, &served().remove(0)), 204);
    let states = || overnight.database().texts("SELECT state FROM batches");
    assert_eq!(states(), ["creating"], "its id is not stored yet");
    until("its answers are collected", || states() == ["collected"]);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 36);
    assert_eq!((up.stop(), api.stop()), (Some(0), Some(0)));
}

#[test]
fn a_batch_is_looked_at_when_the_provider_says_that_it_has_ended() {
    let here = ["HTTP_ADDR", "ADMIN_ADDR", "GATEWAY_ADDR"];
    let overnight = here.into_iter().fold(crate::overnight(), |all, name| all.with(name, "127.0.0.1:0"));
    let overnight = overnight.with("BATCH_POLL_INTERVAL_MS", "3600000").with("OPENAI_WEBHOOK_SECRET", SECRET);
    let api = Up::of(&overnight, &["serve", "api"]);
    let up = Up::of(&overnight, &["up"]);
    let database = overnight.database();
    let url = api.said["api"].as_str().unwrap();
    // Before the batch is known: a hint about nothing.
    assert_eq!(say(url, SECRET, "batch_unknown"), 204);
    let other = crate::overnight().with("OVERNIGHT_URL", url);
    let _ = other.run(&["batch", "submit", "planner", "--files", &testkit::sample_issues()]).exits(0);
    until("the batch is open, and nobody looks at it for an hour", || {
        database.number("SELECT count(*) FROM batches WHERE state = 'open'") == 1
    });
    until("the provider has ended it", || {
        overnight.ledger().number("SELECT count(*) FROM served_runs") == 36
    });
    let batch = database.texts("SELECT provider_id FROM batches").remove(0);
    assert_eq!(say(url, "whsec_bm90IHRoZSBzZWNyZXQ=", &batch), 401);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(database.number("SELECT count(*) FROM batch_job_tasks WHERE status = 'succeeded'"), 0);
    until("what the provider says is looked at", || {
        assert_eq!(say(url, SECRET, &batch), 204);
        database.number("SELECT count(*) FROM batch_job_tasks WHERE status = 'succeeded'") == 36
    });
    assert_eq!((up.stop(), api.stop()), (Some(0), Some(0)));

    let silent = here.into_iter().fold(crate::overnight(), |all, name| all.with(name, "127.0.0.1:0"));
    let api = Up::of(&silent, &["serve", "api"]);
    assert_eq!(say(api.said["api"].as_str().unwrap(), SECRET, &batch), 404);
    let wrong =
        crate::overnight().with("OPENAI_WEBHOOK_SECRET", "whsec_§").run(&["config", "check"]).exits(78);
    assert!(
        wrong.stdout.contains("not whsec_ and base64") && !wrong.stdout.contains('§'),
        "{}",
        wrong.stdout
    );
}
