//! The clock of a fleet across clock changes: two schedulers, real zones, nights reached by a clock that is set off.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use testkit::Fleet;

/// How long a night may take to come on record.
const PATIENCE: Duration = Duration::from_secs(30);

/// A night whose hour doesn't exist, or comes twice.
struct Night {
    zone: &'static str,
    hour: &'static str,
    date: &'static str,
    /// The one instant at which it begins.
    at: &'static str,
}

const fn night(zone: &'static str, hour: &'static str, date: &'static str, at: &'static str) -> Night {
    Night { zone, hour, date, at }
}

/// In spring the first instant behind the gap, in autumn the first of the two.
const NIGHTS: [Night; 10] = [
    night("Europe/Berlin", "2", "2027-03-28", "2027-03-28T01:00:00Z"),
    night("Europe/Berlin", "2", "2027-10-31", "2027-10-31T00:00:00Z"),
    night("Europe/London", "1", "2027-03-28", "2027-03-28T01:00:00Z"),
    night("Europe/London", "1", "2027-10-31", "2027-10-31T00:00:00Z"),
    night("America/New_York", "2", "2027-03-14", "2027-03-14T07:00:00Z"),
    night("America/New_York", "1", "2027-11-07", "2027-11-07T05:00:00Z"),
    night("Australia/Sydney", "2", "2027-10-03", "2027-10-02T16:00:00Z"),
    night("Australia/Sydney", "2", "2027-04-04", "2027-04-03T15:00:00Z"),
    night("Pacific/Auckland", "2", "2027-09-26", "2027-09-25T14:00:00Z"),
    night("Pacific/Auckland", "2", "2027-04-04", "2027-04-03T13:00:00Z"),
];

impl Night {
    /// Two schedulers see it come: the night before it, itself while they watch, the night after it, and one
    /// after three days in which nobody was there.
    fn comes_once(&self) {
        let home =
            crate::overnight().with("BATCH_TIMEZONE", self.zone).with("BATCH_OVERNIGHT_HOUR", self.hour);
        let mut fleet = Fleet::new(home);
        let at: DateTime<Utc> = self.at.parse().unwrap();
        // Two evenings before: the night before the night is waited for.
        schedulers(&mut fleet, at - TimeDelta::hours(38));
        fleet.until("SELECT count(*) FROM schedules WHERE next_at IS NOT NULL", 1, PATIENCE);
        // The hour was missed by some hours.
        schedulers(&mut fleet, at - TimeDelta::hours(14));
        fleet.until(FINISHED, 1, PATIENCE);
        schedulers(&mut fleet, at - TimeDelta::seconds(5));
        fleet.until(FINISHED, 2, PATIENCE);
        schedulers(&mut fleet, at + TimeDelta::hours(36));
        fleet.until(FINISHED, 3, PATIENCE);
        schedulers(&mut fleet, at + TimeDelta::hours(36 + 72));
        fleet.until(FINISHED, 4, PATIENCE);
        // Seen once more, nothing comes twice.
        schedulers(&mut fleet, at + TimeDelta::hours(37 + 72));
        let runs = fleet.texts("SELECT state FROM schedule_runs ORDER BY slot_at");
        let expected = ["finished", "finished", "finished", "missed", "missed", "finished"];
        assert_eq!(runs, expected, "{} {}", self.zone, self.date);
        assert_eq!(fleet.number("SELECT count(DISTINCT slot_date) FROM schedule_runs"), 6);
        let admin = fleet.start("scheduler-3", "scheduler")["admin"].as_str().unwrap().to_owned();
        let counted = testkit::page(&format!("{admin}/metrics"));
        for (outcome, count) in [("ok", 4), ("missed", 2), ("skipped_paused", 0)] {
            let series = format!(
                "overnight_schedule_runs_total{{schedule=\"overnight\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(counted.contains(&series), "{series}{counted}");
        }
        let of_the_night = format!(
            "SELECT to_char(slot_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM schedule_runs \
             WHERE slot_date = '{}'",
            self.date
        );
        assert_eq!(fleet.texts(&of_the_night), [self.at], "{} {}", self.zone, self.date);
    }
}

const FINISHED: &str = "SELECT count(*) FROM schedule_runs WHERE state = 'finished'";

/// Two schedulers at an instant, in place of those that were there.
fn schedulers(fleet: &mut Fleet, at: DateTime<Utc>) {
    let offset = (at - Utc::now()).num_seconds();
    fleet.home.set("OVERNIGHT_CLOCK_OFFSET", &format!("{offset:+}s"));
    for name in ["scheduler-1", "scheduler-2"] {
        if fleet.names().iter().any(|there| there == name) {
            fleet.kill(name);
        }
        fleet.start(name, "scheduler");
    }
}

#[test]
fn two_schedulers_see_a_night_that_does_not_exist_and_one_that_comes_twice() {
    NIGHTS[0].comes_once();
    NIGHTS[5].comes_once();
}

#[test]
fn the_hour_of_a_repository_is_the_fleets_and_schedulers_that_disagree_are_heard() {
    let mut fleet = Fleet::new(
        crate::overnight()
            .with("BATCH_TIMEZONE", "Europe/Berlin")
            .with("BATCH_OVERNIGHT_HOUR", "3")
            .with("HTTP_ADDR", "127.0.0.1:0"),
    );
    fleet.start("scheduler-1", "scheduler");
    fleet.until("SELECT count(*) FROM schedules", 1, PATIENCE);
    // Another machine, with a clock of its own.
    fleet.home.set("BATCH_TIMEZONE", "America/New_York");
    fleet.home.set("BATCH_OVERNIGHT_HOUR", "5");
    let added = fleet.home.run(&["schedule", "add", "--repo", "by/command"]).exits(0).stdout;
    assert!(added.contains(" 03:00"), "{added}");
    let api = fleet.start("api", "api")["api"].as_str().unwrap().to_owned();
    let other = crate::overnight().with("OVERNIGHT_URL", &api);
    let _ = other.run(&["schedule", "add", "--repo", "by/request"]).exits(0);
    let rules = |fleet: &Fleet| fleet.texts("SELECT DISTINCT hour || ' ' || zone FROM schedules");
    assert_eq!(fleet.number("SELECT count(*) FROM schedules"), 3);
    assert_eq!(rules(&fleet), ["3 Europe/Berlin"]);
    assert!(!fleet.log("scheduler-1").contains("the night moves"));
    // A scheduler may change it, and names both.
    fleet.start("scheduler-2", "scheduler");
    fleet.until("SELECT count(*) FROM schedules WHERE hour = 5 AND zone = 'America/New_York'", 3, PATIENCE);
    let log = fleet.log("scheduler-2");
    let warning =
        log.lines().find(|line| line.contains("the night moves")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        warning.contains("03:00 Europe/Berlin") && warning.contains("05:00 America/New_York"),
        "{warning}"
    );
}

#[test]
fn what_waits_for_tonight_waits_for_the_night_on_record() {
    let mut fleet = Fleet::new(
        crate::overnight()
            .with("BATCH_TIMEZONE", "Europe/Berlin")
            .with("BATCH_OVERNIGHT_HOUR", "3")
            .with("OVERNIGHT_SIM", "server_error=1")
            .with("HTTP_ADDR", "127.0.0.1:0"),
    );
    fleet.start("gateway", "gateway");
    fleet.start("scheduler", "scheduler");
    fleet.until("SELECT count(*) FROM schedules", 1, PATIENCE);
    // Other machines, with a clock of their own.
    fleet.home.set("BATCH_TIMEZONE", "America/New_York");
    fleet.home.set("BATCH_OVERNIGHT_HOUR", "5");
    fleet.home.set("BATCH_RETRY", "tonight");
    let issues = testkit::sample_issues();
    let _ = fleet.home.run(&["batch", "submit", "planner", "--files", &issues, "--tonight"]).exits(0);
    let api = fleet.start("api", "api")["api"].as_str().unwrap().to_owned();
    let other = crate::overnight().with("OVERNIGHT_URL", &api);
    let _ = other.run(&["batch", "submit", "coder", "--files", &issues, "--tonight"]).exits(0);
    let held = "SELECT count(*) FROM batch_jobs j, schedules s WHERE j.hold_until = s.next_at";
    assert_eq!(fleet.number(held), 2, "{:?}", fleet.texts("SELECT hold_until::text FROM batch_jobs"));
    // What goes out again does so in the same night.
    fleet.start("submitter", "submitter");
    fleet.start("poller", "poller");
    let _ = fleet.home.run(&["batch", "submit", "fixer", "--files", &issues]).exits(0);
    let again = "SELECT count(*) FROM orders o JOIN batch_jobs j ON j.id = o.job_id, schedules s \
        WHERE o.lane = 'plan' AND j.state <> 'held' AND abs(extract(epoch FROM o.due_at - s.next_at)) < 10";
    fleet.until(again, 1, PATIENCE);
}

#[test]
#[ignore = "ten nights: make fleet"]
fn nights_of_five_zones_in_which_clocks_change() {
    let started = std::time::Instant::now();
    NIGHTS.iter().for_each(Night::comes_once);
    println!(
        "| {:<44} | {:>6} | {:>7} | {:>6} | {:>8} | {:>6.1} |",
        "two schedulers, clock changes in five zones",
        "",
        "",
        "",
        "",
        started.elapsed().as_secs_f64()
    );
}
