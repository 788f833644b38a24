//! Manners of the command line: what it says while it waits, when it is refused, and when nobody listens.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let overnight = crate::overnight();
    for command in [&["completions", "bash"][..], &["processor", "list"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ran = overnight.run_into(command, writer).exits(0);
        assert_eq!(ran.stderr, "", "{command:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = overnight.run_into(command, full).exits(1);
        assert!(ran.stderr.contains("can't write to standard output"), "{}", ran.stderr);
    }
}

/// Whatever the format: what is lost behind the reader's back is not asked for.
#[test]
fn a_reader_of_results_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let overnight = crate::overnight();
    let files = testkit::write_records(overnight.folder(), 100, 2_000);
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &files]).exits(0);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    for format in ["jsonl", "csv"] {
        let collect = ["batch", "collect", &job, "--join-input", "--format", format];
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(overnight.run_into(&collect, writer).exits(0).stderr, "", "{format}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = overnight.run_into(&collect, full).exits(1);
        assert!(ran.stderr.contains("while writing -"), "{format}: {}", ran.stderr);
    }
}

#[test]
fn quiet_is_without_remarks_of_the_log() {
    let overnight = crate::overnight().with("OVERNIGHT_SIM", "missing=1").with("LOG_FORMAT", "json");
    let files = testkit::write_records(overnight.folder(), 1, 50);
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &files];
    let loud = overnight.run(&submit).exits(5);
    assert!(loud.stderr.contains("WARN"), "{}", loud.stderr);
    let quiet = overnight.run(&[&submit[..], &["--again", "-q"]].concat()).exits(5);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_missing_source_names_both_there_are() {
    let ran = crate::overnight().run(&["batch", "submit", "product-labeling"]).exits(2);
    assert!(ran.stderr.contains("--files") && ran.stderr.contains("--task-ids"), "{}", ran.stderr);
}

#[test]
fn a_list_without_end_or_without_jobs_is_refused() {
    for limit in ["0", "1001"] {
        let ran = crate::overnight().run(&["batch", "list", "--limit", limit]).exits(2);
        assert!(ran.stderr.contains(limit) && ran.stderr.contains("1..=1000"), "{}", ran.stderr);
    }
    let _ = crate::overnight().run(&["batch", "list", "--limit", "1000"]).exits(0);
}

/// The reason and the time are said once, before anything is waited for.
#[test]
fn whoever_waits_for_a_held_job_hears_why_and_until_when() {
    let overnight = crate::overnight();
    let files = testkit::write_records(overnight.folder(), 1, 50);
    let submit = ["batch", "submit", "product-labeling", "--tonight", "--files", &files];
    let submitted = overnight.run(&submit).exits(0);
    assert!(submitted.stdout.contains("is held for the night, until"), "{}", submitted.stdout);
    assert!(submitted.stderr.contains("accepted: 1 task in 1 batch\n"), "{}", submitted.stderr);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    let waited = overnight.run(&["batch", "wait", &job, "--timeout", "1s"]).exits(3);
    let held = format!("job {job} is held for the night, until");
    assert_eq!(waited.stderr.matches(&held).count(), 1, "{}", waited.stderr);
    assert!(waited.stderr.contains("02:00 Europe/Berlin"), "{}", waited.stderr);
}

#[test]
fn nobody_waits_for_a_job_that_a_setting_holds() {
    let mut overnight = crate::overnight().with("ENABLE_BATCH_API", "false");
    let files = testkit::write_records(overnight.folder(), 1, 50);
    let submit = ["batch", "submit", "product-labeling", "--wait", "--files", &files];
    let submitted = overnight.run(&submit).exits(8);
    let job = overnight.only_job()["job_id"].as_str().unwrap().to_owned();
    assert!(submitted.stdout.contains(&job), "{}", submitted.stdout);
    assert!(submitted.stderr.contains("set ENABLE_BATCH_API=true"), "{}", submitted.stderr);
    let waited = overnight.run(&["batch", "wait", &job, "--timeout", "20s"]).exits(8);
    assert!(waited.stderr.contains("ENABLE_BATCH_API is off"), "{}", waited.stderr);
    let status = overnight.run(&["batch", "status", &job]).exits(0);
    assert!(status.stdout.contains("ENABLE_BATCH_API is off"), "{}", status.stdout);
    overnight.set("ENABLE_BATCH_API", "true");
    let _ = overnight.run(&["batch", "wait", &job]).exits(0);
}

#[test]
fn where_no_record_is_usable_nothing_is_skipped() {
    let overnight = crate::overnight();
    let folder = overnight.folder().join("in");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["a.json", "b.json"] {
        std::fs::write(folder.join(name), "nonsense").unwrap();
    }
    let files = folder.join("*.json").display().to_string();
    let submit = ["batch", "submit", "product-labeling", "--skip-invalid", "--files", &files];
    for command in [&submit[..], &[&submit[..], &["--dry-run"]].concat(), &["load", "--skip-invalid", &files]]
    {
        let ran = overnight.run(command).exits(2);
        for word in ["no record is usable: 2 records left out", "a.json", "b.json"] {
            assert!(ran.stderr.contains(word), "{command:?}: {}", ran.stderr);
        }
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_dry_run_of_what_is_known_says_so() {
    let overnight = crate::overnight();
    let files = testkit::write_records(overnight.folder(), 1, 50);
    let submit = ["batch", "submit", "product-labeling", "--files", &files];
    let dry = overnight.run(&[&submit[..], &["--dry-run"]].concat()).exits(0);
    assert!(dry.stdout.contains("Checked   1 record: 1 to submit"), "{}", dry.stdout);
    let _ = overnight.run(&[&submit[..], &["--wait"]].concat()).exits(0);
    let dry = overnight.run(&[&submit[..], &["--dry-run"]].concat()).exits(0);
    let said = "nothing to submit: the one record is known to product-labeling\n  1 answered by job";
    assert!(dry.stdout.starts_with(said), "{}", dry.stdout);
    assert!(dry.stdout.ends_with("Nothing was stored or sent.\n"), "{}", dry.stdout);
}

#[test]
fn an_event_that_was_committed_late_is_followed_too() {
    let overnight = crate::overnight();
    let files = testkit::write_records(overnight.folder(), 3, 50);
    let _ = overnight.run(&["batch", "submit", "product-labeling", "--wait", "--files", &files]).exits(0);
    let all = overnight.run(&["events", "tail", "--json"]).exits(0).stdout;
    let mut tail = overnight.spawn(&["events", "tail", "--json", "--follow"]);
    let (told, lines) = mpsc::channel();
    let stdout = BufReader::new(tail.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    let next = || lines.recv_timeout(Duration::from_secs(30)).unwrap();
    for line in all.lines() {
        assert_eq!(next(), line);
    }
    // What was written a moment ago, and comes to light only now.
    overnight.database().run(
        "INSERT INTO events (id, type, subject, job_id, sequence, data, created_at) \
         SELECT '01a20884-57de-7f68-bf6b-8d69b34fa069', type, 'late', job_id, 1000, data, created_at FROM events \
         ORDER BY created_at LIMIT 1",
    );
    assert!(next().contains("\"subject\":\"late\""));
    // It, and all others, come once.
    overnight.database().run(
        "INSERT INTO events (id, type, subject, job_id, sequence, data, created_at) \
         SELECT '01a20884-57de-7f68-bf6b-8d69b34fa070', type, 'last', job_id, 1001, data, created_at FROM events \
         ORDER BY created_at DESC LIMIT 1",
    );
    assert!(next().contains("\"subject\":\"last\""));
    tail.kill().unwrap();
    tail.wait().unwrap();
}
