//! Every zone, hour and date: one slot for each date that exists, in order, where the zone's table says.
//!
//! 4,096 of them are drawn from 1990 to 2038, most near a change of clocks; and every change of every zone from 1970 to
//! 2037 is tried at the hours that it touches, and at those beside them.

use std::collections::BTreeSet;

use chrono::{Datelike as _, Days, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use proptest::prelude::*;

use crate::{Date, Rule, Time};

/// What the zone's table says, without croner: the hour's first instant; where it doesn't exist, the first
/// one behind the gap; where the whole date doesn't exist, none.
fn by_table(hour: u8, zone: Tz, date: Date) -> Option<Time> {
    let strike = date.and_hms_opt(u32::from(hour), 0, 0).unwrap();
    if let Some(at) = zone.from_local_datetime(&strike).earliest() {
        return Some(at.with_timezone(&Utc));
    }
    let gap = GapInfo::new(&strike, &zone).unwrap();
    let (begin, end) = (gap.begin.unwrap().0, gap.end.unwrap());
    let next_date = date.succ_opt().unwrap().and_time(NaiveTime::MIN);
    let whole_date = begin <= date.and_time(NaiveTime::MIN) && end.naive_local() >= next_date;
    (!whole_date).then(|| end.with_timezone(&Utc))
}

fn offset(zone: Tz, date: Date) -> i32 {
    zone.offset_from_utc_datetime(&date.and_time(NaiveTime::MIN)).fix().local_minus_utc()
}

/// The last date before the zone's next change of clocks within a year; else the date itself.
fn before_a_change(zone: Tz, date: Date) -> Date {
    let days = date.iter_days().zip(date.iter_days().skip(1)).take(366);
    days.into_iter()
        .find(|(day, next)| offset(zone, *day) != offset(zone, *next))
        .map_or(date, |(day, _)| day)
}

/// Whether the rule and the table agree on the nights from the day before a date on.
fn nights_around(zone: Tz, hour: u8, date: Date) -> Result<(), String> {
    let dates = (date - Days::new(1)).iter_days().take(4);
    let expected: Vec<(Date, Time)> =
        dates.filter_map(|date| by_table(hour, zone, date).map(|at| (date, at))).collect();
    let rule = Rule::new(hour, zone).unwrap();
    let mut after = expected[0].1 - TimeDelta::microseconds(1);
    let mut found = Vec::new();
    for _ in &expected {
        let slot = rule.next(after).map_err(|error| format!("{zone} {hour} {date}: {error}"))?;
        if slot.at <= after {
            return Err(format!("{zone} {hour} {date}: {slot:?} is not after {after}"));
        }
        after = slot.at;
        found.push((slot.date, slot.at));
    }
    if found == expected {
        Ok(())
    } else {
        Err(format!("{zone} {hour} {date}: {found:?}, and not {expected:?}"))
    }
}

/// The hours that a change of clocks touches, and those beside them; all, where it touches none by the clock.
fn hours_near_the_change(zone: Tz, day: Date) -> BTreeSet<u8> {
    let dates: Vec<Date> = (day - Days::new(1)).iter_days().take(4).collect();
    let is_plain = |hour: u8, date: &Date| {
        zone.from_local_datetime(&date.and_hms_opt(u32::from(hour), 0, 0).unwrap()).single().is_some()
    };
    let touched: Vec<u8> = (0..24).filter(|hour| !dates.iter().all(|date| is_plain(*hour, date))).collect();
    if touched.is_empty() {
        return (0..24).collect();
    }
    touched.into_iter().flat_map(|hour| [(hour + 23) % 24, hour, (hour + 1) % 24]).collect()
}

#[test]
fn every_change_of_clocks_in_every_zone_has_its_nights() {
    let (first, last) = (Date::from_ymd_opt(1970, 1, 2).unwrap(), Date::from_ymd_opt(2037, 12, 31).unwrap());
    let (mut changes, mut nights, mut wrong) = (0, 0, Vec::new());
    for zone in TZ_VARIANTS {
        let mut before = offset(zone, first);
        for day in first.iter_days().take_while(|day| *day < last) {
            let after = offset(zone, day.succ_opt().unwrap());
            if after != before {
                changes += 1;
                let hours = hours_near_the_change(zone, day);
                nights += hours.len();
                wrong.extend(hours.into_iter().filter_map(|hour| nights_around(zone, hour, day).err()));
            }
            before = after;
        }
    }
    assert!(wrong.is_empty(), "{} of {nights} nights: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    println!("{nights} nights of {changes} changes of {} zones", TZ_VARIANTS.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_date_has_one_night_in_every_zone(
        zone in prop::sample::select(TZ_VARIANTS.to_vec()),
        hour in 0_u8..24,
        day in 0_u64..17_300,
        near_a_change in prop::bool::weighted(0.75),
    ) {
        let date = Date::from_ymd_opt(1990, 1, 1).unwrap() + Days::new(day);
        let date = if near_a_change { before_a_change(zone, date) } else { date };
        prop_assert!(date.year() < 2039);
        if let Err(wrong) = nights_around(zone, hour, date) {
            prop_assert!(false, "{}", wrong);
        }
    }
}
