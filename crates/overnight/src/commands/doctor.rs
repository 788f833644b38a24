//! `overnight doctor`: folder, database, provider, time zone, clock — each checked, each named.

use chrono::{DateTime, TimeDelta};
use pipeline::Holds;
use serde_json::json;
use store::without_password;

use crate::commands::probe;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, when};
use crate::world::{Desk, ping, tonight};

/// A clock further off than this makes times in logs and events misleading.
const SKEW: TimeDelta = TimeDelta::seconds(30);

struct Finding {
    name: &'static str,
    result: Result<String, Trouble>,
}

pub(crate) async fn run(config: &Config, output: &Output) -> Result<Exit, Trouble> {
    let mut findings = vec![night(config)];
    match Desk::open(config, "doctor").await {
        Err(trouble) => findings.push(Finding { name: "database", result: Err(trouble) }),
        Ok(desk) => {
            let address = match config.database_path() {
                Some(_) => config.data_dir.display().to_string(),
                None => without_password(&config.database_url),
            };
            let text = format!("{address}, schema version {}", migrations::VERSION);
            findings.push(Finding { name: "database", result: Ok(text) });
            findings.push(Finding { name: "probe", result: probe(config, &desk).await });
            findings.push(Finding { name: "provider", result: provider(config, desk).await });
        }
    }
    let exit = findings
        .iter()
        .find_map(|finding| finding.result.as_ref().err())
        .map_or(Exit::Success, |bad| bad.exit);
    let document: Vec<_> = findings
        .iter()
        .map(|finding| match &finding.result {
            Ok(text) => json!({ "check": finding.name, "ok": true, "detail": text }),
            Err(bad) => json!({ "check": finding.name, "ok": false, "detail": bad.what, "why": bad.why, "hint": bad.fix }),
        })
        .collect();
    output.result(&json!({ "checks": document }), || {
        let lines = findings.iter().map(|finding| match &finding.result {
            Ok(text) => format!("✓ {:<9} {text}", finding.name),
            Err(bad) => {
                let more: String =
                    bad.why.iter().chain(&bad.fix).map(|line| format!("\n            {line}")).collect();
                format!("✗ {:<9} {}{more}", finding.name, bad.what)
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(exit)
}

fn night(config: &Config) -> Finding {
    let result = tonight(config).map(|next| {
        let local = next.with_timezone(&config.zone);
        format!("next night {} {}", local.format("%a %Y-%m-%d %H:%M %:z"), config.zone)
    });
    Finding { name: "night", result }
}

/// What is known of the assumptions; that nobody has looked is no failure.
async fn probe(config: &Config, desk: &Desk) -> Result<String, Trouble> {
    let Some((row, findings)) = probe::latest(config, &desk.store).await? else {
        return Ok("never probed; overnight probe tries the assumptions, for a few cents".to_owned());
    };
    let bad: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.holds == Holds::No)
        .map(|finding| finding.check.as_str())
        .collect();
    if bad.is_empty() {
        return Ok(format!("probed {}, overnight probe show says more", when(row.ended_at, config.zone)));
    }
    Err(Trouble::other(format!("an assumption does not hold: {}", bad.join(", ")))
        .fix("overnight probe show says more; keep SUBMIT_UNKNOWN=park"))
}

async fn provider(config: &Config, desk: Desk) -> Result<String, Trouble> {
    if desk.is_elsewhere() {
        return Ok("another process runs the stages; it talks to the provider".to_owned());
    }
    let now = desk.store.clock().now();
    let ping = ping(config).await?;
    let skew = ping
        .date
        .as_deref()
        .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
        .map(|date| now - date.to_utc());
    match skew {
        Some(skew) if skew.abs() > SKEW => {
            Err(Trouble::config(format!("the clock is off by {} s", skew.num_seconds()))
                .why("the provider's clock says otherwise")
                .fix("set the machine's clock, such as with NTP"))
        }
        _ => Ok(format!("{} answers, the clock agrees", config.provider)),
    }
}
