//! `overnight schedule next`: the nights to come, and what the clocks do to them.

use chrono::{Days, SecondsFormat, TimeDelta};
use domain::{ClockChange, Date, Rule, Schedule, Slot, Time};
use serde_json::{Value, json};

use super::find;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, table};
use crate::world::Desk;

pub(crate) async fn run(
    config: &Config,
    name: &str,
    number: u16,
    from: Option<Date>,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "schedule next").await?;
    let schedule = find(config, &desk.store, name).await?;
    let (rule, now) = (schedule.terms.rule, desk.store.clock().now());
    let slots = nights(&schedule, number, from).map_err(Trouble::other)?;
    let documents: Vec<Value> = slots.iter().map(|slot| document(rule, *slot, now)).collect();
    let result = json!({
        "schedule": name,
        "zone": rule.zone().name(),
        "paused": schedule.paused.as_ref().map(|pause| &pause.reason),
        "nights": documents,
    });
    output.result(&result, || text(&schedule, &slots, now));
    desk.store.close().await?;
    Ok(Exit::Success)
}

/// The nights that the schedule waits for; those from a date on, whether it is switched on or not.
fn nights(schedule: &Schedule, number: u16, from: Option<Date>) -> Result<Vec<Slot>, domain::NightError> {
    let rule = schedule.terms.rule;
    let mut slot = match from {
        None => schedule.next,
        // Two days are more than any zone is away from UTC.
        Some(date) => {
            let before = date.checked_sub_days(Days::new(2)).unwrap_or(date).and_time(chrono::NaiveTime::MIN);
            Some(rule.next_beyond(before.and_utc(), date.pred_opt())?)
        }
    };
    let mut slots = Vec::new();
    while let Some(next) = slot.filter(|_| slots.len() < usize::from(number)) {
        slots.push(next);
        slot = Some(rule.following(next)?);
    }
    Ok(slots)
}

fn document(rule: Rule, slot: Slot, now: Time) -> Value {
    json!({
        "date": slot.date,
        "local": slot.at.with_timezone(&rule.zone()).to_rfc3339_opts(SecondsFormat::Secs, false),
        "utc": slot.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "in_seconds": (slot.at - now).num_seconds(),
        "note": note(rule, slot),
    })
}

fn text(schedule: &Schedule, slots: &[Slot], now: Time) -> String {
    let rule = schedule.terms.rule;
    if slots.is_empty() {
        return format!("{} is switched off: BATCH_AUTO_OVERNIGHT is false", schedule.name);
    }
    let local = format!("LOCAL ({})", rule.zone());
    let rows = slots.iter().map(|slot| {
        vec![
            schedule.name.clone(),
            slot.at.with_timezone(&rule.zone()).format("%a %Y-%m-%d %H:%M %:z").to_string(),
            slot.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            until(slot.at - now),
            note(rule, *slot).unwrap_or_default(),
        ]
    });
    let mut text = table(&["SCHEDULE", &local, "UTC", "IN", "NOTE"], rows);
    if let Some(pause) = &schedule.paused {
        text.push_str(&format!("\n\npaused: {}; these nights are skipped until it is resumed", pause.reason));
    }
    text
}

fn note(rule: Rule, slot: Slot) -> Option<String> {
    let hour = rule.hour();
    Some(match rule.change(slot)? {
        ClockChange::Gap => format!("clocks go forward: {hour:02}:00 does not exist"),
        ClockChange::Overlap => format!("clocks go back: {hour:02}:00 comes twice, this is the first"),
    })
}

/// A distance that a person grasps; nothing for the past.
fn until(distance: TimeDelta) -> String {
    let minutes = distance.num_minutes();
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        _ if minutes < 0 => String::new(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_said_in_two_units() {
        let said = [-5, 0, 59, 552, 1_989, 100_000].map(|minutes| until(TimeDelta::minutes(minutes)));
        assert_eq!(said, ["", "0 min", "59 min", "9 h 12 min", "1 d 9 h", "69 d 10 h"]);
    }
}
