//! How much memory a process holds, by what it is doing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The most memory that a process held while it was at something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// What it was at.
    pub stage: String,
    /// Resident memory, in MiB.
    pub mib: u64,
}

/// Looks at a child's memory until it ends. What the child is at, it says itself: the second word of each
/// progress line on standard error. Answers a peak for each, in order, and how the child ended.
pub fn watch_memory(child: &mut Child) -> (Vec<Peak>, ExitStatus) {
    let stage = Arc::new(Mutex::new("checking".to_owned()));
    let (told, errors) = (Arc::clone(&stage), child.stderr.take().expect("standard error is piped"));
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if let Some(word) = line.split_whitespace().nth(1).filter(|_| line.starts_with("20")) {
                *told.lock().unwrap() = word.to_owned();
            }
        }
    });
    let mut peaks: Vec<Peak> = Vec::new();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return (peaks, status);
        }
        if let Some(mib) = resident_mib(child.id()) {
            let stage = stage.lock().unwrap().clone();
            match peaks.iter_mut().find(|peak| peak.stage == stage) {
                Some(peak) => peak.mib = peak.mib.max(mib),
                None => peaks.push(Peak { stage, mib }),
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The resident memory of a process, in MiB; none once it has ended.
fn resident_mib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
