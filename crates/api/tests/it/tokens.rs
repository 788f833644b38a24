//! Who may come in.

use reqwest::Method;
use serde_json::json;
use web::{Door, Role, ServeError};

use crate::harness::{Answer, Kind as Which, World as Server, issue, on_both};

async fn as_who(world: &Server, token: &str, method: Method, path: &str) -> Answer {
    let body = json!({ "processor": "planner", "records": [{ "data": issue(1) }] });
    Answer::of(world.request(method, path).bearer_auth(token).json(&body)).await
}

on_both! {
    async fn a_token_opens_what_its_role_may_do(world: World) {
        let viewer = world.token("v", Role::Viewer).await;
        let operator = world.token("o", Role::Operator).await;
        let admin = world.token("a", Role::Admin).await;
        for (path, method, allowed) in [
            ("/api/batch", Method::GET, [200, 200, 200]),
            ("/version", Method::GET, [200, 200, 200]),
            ("/api/batch/create", Method::POST, [403, 202, 200]),
            ("/api/batch/0/cancel", Method::POST, [403, 202, 202]),
            // A body that is no schedule: whoever is let in is told so.
            ("/api/batch/schedule", Method::POST, [403, 403, 422]),
        ] {
            for (token, status) in [&viewer, &operator, &admin].into_iter().zip(allowed) {
                let answer = as_who(&world, token, method.clone(), path).await.is(status);
                if status == 403 {
                    answer.refuses(403, "forbidden");
                }
            }
        }
    }

    async fn a_stranger_and_a_revoked_token_stay_outside(world: World) {
        let token = world.token("o", Role::Operator).await;
        let refused = world.get("/api/batch").await.refuses(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        as_who(&world, "on_wrong", Method::GET, "/api/batch").await.refuses(401, "unauthorized");
        as_who(&world, &token, Method::GET, "/api/batch").await.is(200);
        let other = world.token("other", Role::Viewer).await;
        assert!(world.store.revoke_token("o").await.unwrap());
        as_who(&world, &token, Method::GET, "/api/batch").await.refuses(401, "unauthorized");
        as_who(&world, &other, Method::GET, "/api/batch").await.is(200);
        // Neither the token nor its hash is ever said.
        assert!(!as_who(&world, &token, Method::GET, "/api/batch").await.text.contains(&token));
    }

    async fn the_last_use_of_a_token_is_known(world: World) {
        let token = world.token("o", Role::Viewer).await;
        assert_eq!(world.store.tokens().await.unwrap()[0].last_used_at, None);
        as_who(&world, &token, Method::GET, "/api/batch").await.is(200);
        let first = world.store.tokens().await.unwrap()[0].last_used_at;
        assert!(first.is_some());
        as_who(&world, &token, Method::GET, "/api/batch").await.is(200);
        assert_eq!(world.store.tokens().await.unwrap()[0].last_used_at, first);
    }

    async fn a_name_has_one_token(world: World) {
        world.token("o", Role::Viewer).await;
        assert!(!world.store.add_token("o", "another", "admin").await.unwrap());
        assert!(!world.store.revoke_token("nobody").await.unwrap());
    }
}

#[tokio::test]
async fn without_a_token_nobody_listens_beyond_loopback() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = web::listen(everywhere, false).await.unwrap_err();
    assert!(matches!(refused, ServeError::NeedsToken { .. }));
    assert!(refused.to_string().contains("overnight token add"));
    assert_eq!(web::listen(everywhere, true).await.unwrap().1, Door::Network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_the_network_is_shut_once_its_last_token_is_revoked() {
    let world = Server::with(Which::Sqlite, |api| api.door = Door::Network).await;
    world.get("/api/batch").await.refuses(401, "unauthorized");
    world.get("/livez").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_does_not_get_in() {
    let world = Server::new(Which::Sqlite).await;
    for (name, value) in [("Host", "evil.example"), ("Origin", "https://evil.example")] {
        let sent = world.request(Method::GET, "/api/batch").header(name, value);
        Answer::of(sent).await.refuses(403, "forbidden");
    }
}
