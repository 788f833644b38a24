//! Records in any number and size, the same every time.

use std::fs;
use std::path::Path;

use serde_json::json;

/// Words of a text that is as varied as an issue's.
const WORDS: [&str; 24] = [
    "the",
    "window",
    "closes",
    "when",
    "saving",
    "a",
    "large",
    "file",
    "after",
    "update",
    "error",
    "in",
    "worker",
    "thread",
    "expected",
    "value",
    "but",
    "found",
    "nothing",
    "please",
    "reproduce",
    "with",
    "attached",
    "steps",
];

/// Writes `count` issue files with bodies of about `bytes` bytes into `folder`, and answers a glob for them.
pub fn write_records(folder: &Path, count: u32, bytes: usize) -> String {
    let records = folder.join("records");
    fs::create_dir_all(&records).expect("a folder");
    for number in 1..=count {
        let mut body = String::with_capacity(bytes + 16);
        let mut state = u64::from(number);
        while body.len() < bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = usize::try_from(state >> 33).unwrap_or_default() % WORDS.len();
            body.push_str(WORDS[word]);
            body.push(' ');
        }
        let record = json!({
            "org": "generated", "repo": "many",
            "issue": { "number": number, "title": format!("Issue {number}"), "body": body, "state": "open", "labels": [] },
        });
        fs::write(records.join(format!("generated_many_issue_{number}.json")), record.to_string())
            .expect("written");
    }
    format!("{}/*.json", records.display())
}
