//! 50,000 records and 200 MB: done, in bounded memory.

use testkit::{Overnight, Peak};

/// What a stage may hold above a job of one record, in MiB.
const ABOVE_IDLE: u64 = 100;

fn submit(overnight: &Overnight, records: u32) -> Vec<Peak> {
    let files = testkit::write_records(overnight.folder(), records, 3_900);
    let mut child = overnight.spawn(&["batch", "submit", "product-labeling", "--wait", "--files", &files]);
    let (peaks, status) = testkit::watch_memory(&mut child);
    assert_eq!(status.code(), Some(0));
    peaks
}

#[test]
fn memory_does_not_grow_with_the_work() {
    // Idle is what the process holds that doesn't come from the work: a job of one record.
    let one = submit(&crate::overnight().with("OVERNIGHT_SIM", "latency_ms=500"), 1);
    let idle = one.iter().map(|peak| peak.mib).max().unwrap();

    let overnight = crate::overnight().with("BATCH_MAX_REQUESTS", "50000");
    let peaks = submit(&overnight, 50_000);
    println!("idle         {idle} MiB");
    for Peak { stage, mib } in &peaks {
        println!("{stage:<12} {mib} MiB, {} above idle", mib.saturating_sub(idle));
    }
    for Peak { stage, mib } in &peaks {
        assert!(mib.saturating_sub(idle) <= ABOVE_IDLE, "{stage} held {mib} MiB, idle is {idle}");
    }
    let job = overnight.only_job();
    assert_eq!(job["tasks"]["succeeded"], 50_000);
    assert!(overnight.database().number("SELECT sum(bytes) FROM batches") > 200_000_000);
    assert_eq!(overnight.ledger().number("SELECT count(DISTINCT custom_id) FROM served_runs"), 50_000);
    assert_eq!(overnight.ledger().number("SELECT count(*) FROM served_runs"), 50_000);
}
