//! 50,000 records and 200 MB: done, in bounded memory.

use std::io::{BufRead as _, BufReader};

use testkit::Peak;

/// What a stage may hold above an idle process, in MiB.
const ABOVE_IDLE: u64 = 100;

#[test]
fn memory_does_not_grow_with_the_work() {
    let overnight =
        crate::overnight().with("BATCH_MAX_REQUESTS", "50000").with("GATEWAY_ADDR", "127.0.0.1:0");
    let files = testkit::write_records(overnight.folder(), 50_000, 3_900);

    // Idle is a process that is up.
    let mut idle = overnight.spawn(&["up"]);
    let mut first_line = String::new();
    BufReader::new(idle.stdout.as_mut().unwrap()).read_line(&mut first_line).unwrap();
    let idle_mib = testkit::resident_mib(idle.id()).unwrap();
    idle.kill().unwrap();
    idle.wait().unwrap();

    let mut child = overnight.spawn(&["batch", "submit", "product-labeling", "--wait", "--files", &files]);
    let (peaks, status) = testkit::watch_memory(&mut child);
    assert_eq!(status.code(), Some(0));
    println!("idle         {idle_mib} MiB");
    for Peak { stage, mib } in &peaks {
        println!("{stage:<12} {mib} MiB, {} above idle", mib.saturating_sub(idle_mib));
    }
    for Peak { stage, mib } in &peaks {
        assert!(mib.saturating_sub(idle_mib) <= ABOVE_IDLE, "{stage} held {mib} MiB, idle is {idle_mib}");
    }
    let job = overnight.only_job();
    assert_eq!(job["tasks"]["succeeded"], 50_000);
    assert_eq!(overnight.ledger().number("SELECT count(DISTINCT custom_id) FROM served_runs"), 50_000);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 50_000);
}
