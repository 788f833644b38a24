//! The broker or the database is away: a role says so and goes on once it is back, and its start waits for a bounded time.

use std::process::Child;
use std::time::{Duration, Instant};

use testkit::{Broker, Fleet, Ran, Server, page, postgres_blocking, until};

/// Roles that are told by the broker what is due.
const ROLES: [&str; 3] = ["scheduler", "submitter", "poller"];
/// How long a start is told to wait; and by when it has given up, on a machine that has much to do.
const BOOT: Duration = Duration::from_secs(6);
const GIVEN_UP: Duration = Duration::from_secs(40);
/// How long a small night may take here.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whether a page of an admin port has this status and says all of this.
fn says(admin: &str, path: &str, status: u16, words: &[&str]) -> bool {
    let page = page(&format!("{admin}{path}"));
    page.starts_with(&format!("HTTP/1.0 {status} ")) && words.iter().all(|word| page.contains(word))
}

fn admin(up: &serde_json::Value) -> String {
    up["admin"].as_str().unwrap().to_owned()
}

/// Starts of roles that must give up, at once: each after the time that it was told, with 69 and these words.
fn all_give_up(fleet: &mut Fleet, roles: &[&str], words: &[&str]) {
    fleet.home.set("BOOT_TIMEOUT_MS", &BOOT.as_millis().to_string());
    let started = Instant::now();
    let starts: Vec<Child> = roles.iter().map(|role| fleet.home.spawn(&["serve", role])).collect();
    for (role, start) in roles.iter().zip(starts) {
        let ran = Ran::of(&start.wait_with_output().unwrap()).exits(69);
        assert!(
            (BOOT..GIVEN_UP).contains(&started.elapsed()),
            "{role} gave up after {:?}",
            started.elapsed()
        );
        for word in words {
            assert!(ran.stderr.contains(word), "{role} doesn't say {word:?}: {}", ran.stderr);
        }
    }
    fleet.home.unset("BOOT_TIMEOUT_MS");
}

/// Starts of roles that find what they wait for when it comes.
fn all_come_up(fleet: &mut Fleet, roles: &[&str], waiting: &str, comes: impl FnOnce()) {
    for role in roles {
        fleet.start_unwatched(role, role, &[]);
    }
    for role in roles {
        until(&format!("{role} waits"), || fleet.log(role).contains(waiting));
    }
    comes();
    for role in roles {
        let admin = admin(&fleet.comes_up(role));
        until(&format!("{role} is ready"), || says(&admin, "/readyz", 200, &["ok database\n"]));
    }
}

/// Wishes for answers of an agent to the sample issues.
fn wish(fleet: &Fleet, agent: &str) -> Child {
    let _ = fleet.home.run(&["load", &testkit::sample_issues(), "--backlog", agent]).exits(0);
    fleet.home.spawn(&["schedule", "run"])
}

/// So many tasks have been run once, and outsiders hear of all of them.
fn is_done(fleet: &Fleet, tasks: i64) {
    fleet.until("SELECT count(*) FROM tasks WHERE status = 'completed'", tasks, PATIENCE);
    fleet.until("SELECT count(*) FROM events WHERE published_at IS NULL", 0, PATIENCE);
    assert_eq!(fleet.home.ledger().number("SELECT count(*) FROM served_runs"), tasks);
}

#[test]
fn a_role_that_loses_its_broker_says_so_and_works_on_once_it_is_back() {
    let home = crate::overnight().with("BATCH_MAX_REQUESTS", "10");
    let mut fleet = Fleet::private(home);
    fleet.start("gateway", "gateway");
    let admins = ROLES.map(|role| (role, admin(&fleet.start(role, role))));
    for (role, admin) in &admins {
        until(&format!("{role} is ready"), || says(admin, "/readyz", 200, &["ok database\n", "ok broker\n"]));
    }
    assert!(wish(&fleet, "planner").wait().unwrap().success());
    is_done(&fleet, 36);
    let host = fleet.services().broker.host();
    fleet.services().broker.kill();
    for (role, admin) in &admins {
        let words = ["ok database\n", "failed broker: ", &host];
        until(&format!("{role} misses its broker"), || says(admin, "/readyz", 503, &words));
        assert!(says(admin, "/livez", 200, &["ok\n"]), "{role} lives");
    }
    // A wish needs no broker: it waits in the database.
    let mut night = wish(&fleet, "coder");
    fleet.until("SELECT count(*) FROM batch_jobs", 2, PATIENCE);
    fleet.services().broker.run();
    for (role, admin) in &admins {
        let words = ["ok database\n", "ok broker\n"];
        until(&format!("{role} is ready again"), || says(admin, "/readyz", 200, &words));
    }
    for (role, admin) in &admins {
        let metrics = page(&format!("{admin}/metrics"));
        let series = format!("overnight_amqp_reconnects_total{{role=\"{role}\"}} ");
        let times = metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok());
        assert!(times.is_some_and(|times| times > 0), "{metrics}");
    }
    assert!(night.wait().unwrap().success());
    is_done(&fleet, 72);
}

#[test]
fn a_role_that_loses_its_database_says_so_and_works_on_once_it_is_back() {
    let home = crate::overnight().with("BATCH_MAX_REQUESTS", "10").with("HTTP_ADDR", "127.0.0.1:0");
    let mut fleet = Fleet::private(home);
    fleet.start("gateway", "gateway");
    let roles = [ROLES.as_slice(), &["api"]].concat();
    let admins: Vec<_> = roles.iter().map(|role| (role, admin(&fleet.start(role, role)))).collect();
    for (role, admin) in &admins {
        until(&format!("{role} is ready"), || says(admin, "/readyz", 200, &["ok database\n"]));
    }
    // In the midst of a night.
    let mut night = wish(&fleet, "planner");
    fleet.until("SELECT count(*) FROM batch_jobs", 1, PATIENCE);
    fleet.services().server.crash();
    for (role, admin) in &admins {
        let words = ["failed database: "];
        until(&format!("{role} misses its database"), || says(admin, "/readyz", 503, &words));
        assert!(says(admin, "/livez", 200, &["ok\n"]), "{role} lives");
    }
    fleet.services().server.run();
    for (role, admin) in &admins {
        until(&format!("{role} is ready again"), || says(admin, "/readyz", 200, &["ok database\n"]));
    }
    // The command has lost the database, too, and may have given up; the roles have not.
    let _ = night.wait().unwrap();
    is_done(&fleet, 36);
    assert!(wish(&fleet, "coder").wait().unwrap().success());
    is_done(&fleet, 72);
}

#[test]
fn a_start_waits_for_the_broker_as_long_as_it_is_told() {
    let mut broker = Broker::start();
    let mut fleet = Fleet::on(crate::overnight(), postgres_blocking(), broker.url(), None);
    broker.kill();
    let host = broker.host();
    all_give_up(&mut fleet, &ROLES, &["no broker answers at ", &host, "check QUEUE_URL"]);
    all_come_up(&mut fleet, &ROLES, "the broker isn't there yet", || broker.run());
    // Before the broker, which keeps the names of this test.
    drop(fleet);
}

#[test]
fn a_broker_that_a_person_must_mend_is_told_apart_from_one_that_is_away() {
    let mut fleet = Fleet::new(crate::overnight());
    let check = ["topology", "check"];
    let _ = fleet.home.run(&["topology", "delete"]).exits(0);
    for command in [&check, &["serve", "poller"]] {
        let ran = fleet.home.run(command).exits(78);
        assert!(ran.stderr.contains("run `overnight topology apply`"), "{}", ran.stderr);
    }
    fleet.home.set("QUEUE_URL", "amqp://nobody:wrong@127.0.0.1:5672");
    let ran = fleet.home.run(&check).exits(78);
    assert!(ran.stderr.contains("refuses us"), "{}", ran.stderr);
    fleet.home.set("QUEUE_URL", "amqp://127.0.0.1:1");
    let _ = fleet.home.run(&check).exits(69);
}

#[test]
fn a_start_waits_for_the_database_as_long_as_it_is_told() {
    let server = Server::start();
    let broker = std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| testkit::BROKER.to_owned());
    let mut fleet =
        Fleet::on(crate::overnight().with("HTTP_ADDR", "127.0.0.1:0"), server.database(), broker, None);
    server.crash();
    let roles = [ROLES.as_slice(), &["api"]].concat();
    let address = server.url().replace("postgres://", "");
    all_give_up(&mut fleet, &roles, &["can't open the database at", &address, "check DATABASE_URL"]);
    all_come_up(&mut fleet, &roles, "the database isn't there yet", || server.run());
}
