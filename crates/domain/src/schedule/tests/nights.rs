//! Nights that clocks move, by hand: what the calendar of each zone says.

use crate::{ClockChange, Rule, Time};

fn rule(hour: u8, zone: &str) -> Rule {
    Rule::new(hour, zone.parse().unwrap()).unwrap()
}

/// `DATE INSTANT CHANGE` of the slots after an instant.
fn nights<const N: usize>(hour: u8, zone: &str, after: &str) -> [String; N] {
    let rule = rule(hour, zone);
    let mut after: Time = after.parse().unwrap();
    std::array::from_fn(|_| {
        let slot = rule.next(after).unwrap();
        after = slot.at;
        let change = match rule.change(slot) {
            None => "",
            Some(ClockChange::Gap) => " gap",
            Some(ClockChange::Overlap) => " overlap",
        };
        format!("{} {}{change}", slot.date, slot.at.format("%m-%dT%H:%MZ"))
    })
}

#[test]
fn the_night_is_local() {
    assert_eq!(nights(2, "Europe/Berlin", "2026-11-23T15:48:00Z"), ["2026-11-24 11-24T01:00Z"]);
    assert_eq!(nights(2, "America/New_York", "2026-11-23T15:48:00Z"), ["2026-11-24 11-24T07:00Z"]);
    // Far from Greenwich the date is not the one of UTC.
    assert_eq!(nights(2, "Pacific/Auckland", "2026-11-23T15:48:00Z"), ["2026-11-25 11-24T13:00Z"]);
    assert_eq!(nights(22, "Pacific/Honolulu", "2026-11-23T15:48:00Z"), ["2026-11-23 11-24T08:00Z"]);
}

#[test]
fn a_night_that_does_not_exist_runs_at_the_first_instant_that_does() {
    let cases: [(u8, &str, &str, [&str; 2]); 6] = [
        (
            2,
            "Europe/Berlin",
            "2027-03-27T12:00:00Z",
            ["2027-03-28 03-28T01:00Z gap", "2027-03-29 03-29T00:00Z"],
        ),
        (
            2,
            "America/New_York",
            "2027-03-13T12:00:00Z",
            ["2027-03-14 03-14T07:00Z gap", "2027-03-15 03-15T06:00Z"],
        ),
        (
            1,
            "Europe/London",
            "2027-03-27T12:00:00Z",
            ["2027-03-28 03-28T01:00Z gap", "2027-03-29 03-29T00:00Z"],
        ),
        // By half an hour.
        (
            2,
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            ["2026-10-04 10-03T15:30Z gap", "2026-10-05 10-04T15:00Z"],
        ),
        // At midnight.
        (
            0,
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            ["2026-04-24 04-23T22:00Z gap", "2026-04-25 04-24T21:00Z"],
        ),
        (
            0,
            "America/Santiago",
            "2026-09-05T12:00:00Z",
            ["2026-09-06 09-06T04:00Z gap", "2026-09-07 09-07T03:00Z"],
        ),
    ];
    for (hour, zone, after, expected) in cases {
        assert_eq!(nights(hour, zone, after), expected, "{hour}:00 {zone}");
    }
}

#[test]
fn the_hours_beside_a_gap_run_once() {
    for (hour, expected) in [
        (0, ["2027-03-28 03-28T00:00Z", "2027-03-29 03-28T23:00Z"]),
        (1, ["2027-03-28 03-28T01:00Z gap", "2027-03-29 03-29T00:00Z"]),
        (2, ["2027-03-28 03-28T01:00Z", "2027-03-29 03-29T01:00Z"]),
    ] {
        assert_eq!(nights(hour, "Europe/London", "2027-03-27T12:00:00Z"), expected, "{hour}");
    }
}

#[test]
fn a_night_that_exists_twice_runs_once_and_first() {
    let cases: [(u8, &str, &str, [&str; 2]); 5] = [
        (
            2,
            "Europe/Berlin",
            "2027-10-30T12:00:00Z",
            ["2027-10-31 10-31T00:00Z overlap", "2027-11-01 11-01T01:00Z"],
        ),
        (
            1,
            "America/New_York",
            "2027-11-06T12:00:00Z",
            ["2027-11-07 11-07T05:00Z overlap", "2027-11-08 11-08T06:00Z"],
        ),
        (
            1,
            "Europe/London",
            "2027-10-30T12:00:00Z",
            ["2027-10-31 10-31T00:00Z overlap", "2027-11-01 11-01T01:00Z"],
        ),
        // Half an hour twice, and the hour is not in it.
        (
            2,
            "Australia/Lord_Howe",
            "2027-04-03T00:00:00Z",
            ["2027-04-04 04-03T15:30Z", "2027-04-05 04-04T15:30Z"],
        ),
        // The last hour of a day, twice.
        (
            23,
            "Asia/Beirut",
            "2027-10-30T12:00:00Z",
            ["2027-10-30 10-30T20:00Z overlap", "2027-10-31 10-31T21:00Z"],
        ),
    ];
    for (hour, zone, after, expected) in cases {
        assert_eq!(nights(hour, zone, after), expected, "{hour}:00 {zone}");
    }
}

#[test]
fn a_date_that_was_skipped_has_no_night() {
    // Apia had no 30 December 2011, Kwajalein no 21 August 1993.
    assert_eq!(
        nights(2, "Pacific/Apia", "2011-12-28T23:00:00Z"),
        ["2011-12-29 12-29T12:00Z", "2011-12-31 12-30T12:00Z"]
    );
    assert_eq!(
        nights(2, "Pacific/Kwajalein", "1993-08-20T00:00:00Z"),
        ["1993-08-20 08-20T14:00Z", "1993-08-22 08-21T14:00Z"]
    );
}

#[test]
fn clocks_that_leap_by_hours_stop_no_schedule() {
    // Casey, 4 October 2019, from +08 to +11 at 03:00.
    assert_eq!(
        nights(3, "Antarctica/Casey", "2019-10-03T12:00:00Z"),
        ["2019-10-04 10-03T19:00Z gap", "2019-10-05 10-04T16:00Z"]
    );
}

#[test]
fn there_is_no_hour_24() {
    let error = Rule::new(24, chrono_tz::UTC).unwrap_err();
    assert_eq!(error.to_string(), "24 is not an hour; take 0 to 23");
}
