//! Pages, walked as the official clients walk them: `after` is the id of the last item.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{World, line};

async fn walk(world: &World, path: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let after = ids.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let page = world.get(&format!("{path}{after}")).await;
        assert_eq!(page["object"], "list");
        let data: Vec<String> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(page["first_id"].as_str(), data.first().map(String::as_str));
        assert_eq!(page["last_id"].as_str(), data.last().map(String::as_str));
        assert!(data.len() <= 3);
        ids.extend(data);
        if page["has_more"] == Value::Bool(false) {
            return ids;
        }
    }
}

#[tokio::test]
async fn files_are_listed_page_by_page_in_either_order() {
    let world = World::new("").await;
    let mut uploaded = Vec::new();
    for row in 0..7 {
        uploaded.push(world.upload(line(&format!("row-{row}"))).await);
    }
    assert_eq!(walk(&world, "/files?limit=3&order=asc").await, uploaded);
    uploaded.reverse();
    assert_eq!(walk(&world, "/files?limit=3&whatever=1").await, uploaded);
    assert_eq!(walk(&world, "/files?limit=3&purpose=batch").await, uploaded);
    assert!(walk(&world, "/files?limit=3&purpose=batch_output").await.is_empty());

    // A walk goes on behind a file that was deleted under way.
    world.call(Method::DELETE, &format!("/files/{}", uploaded[2])).await;
    let rest = world.get(&format!("/files?after={}", uploaded[2])).await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn batches_are_listed_page_by_page_newest_first() {
    let world = World::new("hold=true").await;
    let file = world.upload(line("a")).await;
    let mut created = Vec::new();
    for _ in 0..22 {
        created.push(world.create(&file, "/v1/responses").await["id"].as_str().unwrap().to_owned());
    }
    created.reverse();
    assert_eq!(walk(&world, "/batches?limit=3").await, created);
    let page = world.get("/batches").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 20);
    assert_eq!(page["has_more"], true);
}

#[tokio::test]
async fn a_list_refuses_what_it_cannot_do() {
    let world = World::new("").await;
    for (path, param) in [
        ("/batches?limit=0", "limit"),
        ("/batches?limit=101", "limit"),
        ("/batches?limit=many", "limit"),
        ("/batches?after=batch_1", "after"),
        ("/files?limit=10001", "limit"),
        ("/files?order=random", "order"),
        ("/files?after=file-1", "after"),
    ] {
        let (status, body) = world.call(Method::GET, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(body["error"]["param"], param, "{path}");
    }
}
