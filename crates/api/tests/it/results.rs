//! Results: lines or a table, streamed, with a last line that says that they are all there.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Answer, Kind as Which, World as Server, on_both};

/// A job that has ended, with two answers and a failure.
async fn ended(world: &Server) -> String {
    let job = world.job(3).await;
    world.end_task(&job, "r1", "succeeded", None).await;
    world.end_task(&job, "r2", "failed", Some("context_length")).await;
    world.end_task(&job, "r3", "succeeded", None).await;
    world.end_job(&job, "completed_with_errors").await;
    job
}

on_both! {
    async fn lines_end_with_what_a_reader_can_count(world: World) {
        let id = ended(&world).await;
        let answer = world.get(&format!("/api/batch/{id}/results")).await.is(200);
        assert_eq!((answer.header("content-type"), answer.header("overnight-complete")), ("application/x-ndjson", "true"));
        let lines: Vec<&str> = answer.text.lines().collect();
        let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), 4);
        assert_eq!(parsed[1]["issue_reference"]["custom_id"], json!("r2"));
        assert_eq!(parsed[1]["error"]["class"], json!("context_length"));
        let summary = &parsed[3]["summary"];
        assert_eq!((&summary["written"], &summary["succeeded"], &summary["complete"]), (&json!(3), &json!(2), &json!(true)));
        let body = &answer.text[..answer.text.len() - lines[3].len() - 1];
        let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(summary["sha256"], json!(hash));
    }

    async fn a_table_has_a_header_and_a_row_each(world: World) {
        let id = ended(&world).await;
        let path = format!("/api/batch/{id}/results?state=succeeded&join_input=true");
        let sent = world.request(Method::GET, &path).header("Accept", "application/json, text/csv;q=0.5");
        let answer = Answer::of(sent).await.is(200);
        assert_eq!(answer.header("content-type"), "text/csv");
        let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next_back(), Some("input"));
        let names: Vec<String> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
        assert_eq!(names, ["r1", "r3"]);
    }

    async fn what_is_not_there_yet_is_said(world: World) {
        let id = world.job(2).await;
        world.end_task(&id, "r1", "succeeded", None).await;
        let answer = world.get(&format!("/api/batch/{id}/results")).await.is(200);
        assert_eq!(answer.header("overnight-complete"), "false");
        assert_eq!(answer.text.lines().count(), 2);
    }

    async fn another_form_is_refused(world: World) {
        let id = world.job(1).await;
        let path = format!("/api/batch/{id}/results");
        for accept in ["application/json", "text/csv;q=0", "image/png"] {
            let sent = world.request(Method::GET, &path).header("Accept", accept);
            Answer::of(sent).await.refuses(406, "not-acceptable");
        }
        world.get(&format!("{path}?state=pending")).await.refuses(422, "invalid-request");
    }
}

/// Kibibytes of this process at most, since the mark was set back.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_results_pass_without_being_held() {
    let world = Server::new(Which::Sqlite).await;
    for part in 0..2 {
        let keys: Vec<String> = (0..10_000).map(|n| format!("p{part}-{n}")).collect();
        world.job_of(&keys).await;
    }
    let ids = world.store.jobs(true, None, 2).await.unwrap();
    let (one, other) = (ids[0].job.id, ids[1].job.id);
    // One job of all of them; each with a message of 4 KiB: 80 MiB to read.
    world.sql(&format!(
        "UPDATE batch_job_tasks SET batch_job_id = '{one}', seq = seq + 10000 WHERE batch_job_id = '{other}'"
    )).await;
    world.sql("UPDATE batch_job_tasks SET status = 'failed', error_message = hex(zeroblob(2048))").await;
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_kib();
    let response = world.request(Method::GET, &format!("/api/batch/{one}/results")).send().await.unwrap();
    let (mut lines, mut bytes, mut body) = (0, 0, response.bytes_stream());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.unwrap();
        bytes += chunk.len();
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    let grown = peak_kib() - before;
    assert_eq!(lines, 20_001);
    assert!(bytes > 80 << 20, "{bytes}");
    println!("{bytes} bytes read, {grown} KiB more at most");
    assert!(grown < 24 << 10, "{grown} KiB");
}
