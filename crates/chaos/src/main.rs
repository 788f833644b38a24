//! Runs the matrix: `chaos OVERNIGHT`. `SHARD=i/n` takes a part of it, `PAIR=sqlite` or `PAIR=fleet` one pair of
//! backends, `ONLY=WORD` the scenarios in whose group, pair and name the word stands; `MINUTES` bounds it, `JOBS` says how many run
//! at once. `SOAK=MINUTES SEED=s` soaks instead.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos::ground::Pair;
use chaos::scenario::{Outcome, Scenario, run_all};
use chaos::site::Site;
use chaos::{matrix, table};

/// Longest run, unless told otherwise.
const MINUTES: u64 = 60;
/// Kills in a run of the whole, at least.
const KILLS: u32 = 1_000;
/// Laptops at once, unless told otherwise: each mostly waits.
const LAPTOPS: usize = 8;
/// The same of troops, which are four processes each.
const TROOPS: usize = 6;

fn main() -> ExitCode {
    // Scenarios have folders of their own, so the path must mean the same in all of them.
    let binary = std::env::args().nth(1).and_then(|path| std::fs::canonicalize(path).ok());
    let Some(binary) = binary.as_deref().and_then(|path| path.to_str()) else {
        eprintln!("usage: chaos OVERNIGHT, the path of the program under test; see make chaos");
        return ExitCode::from(64);
    };
    let site = Site::new(binary);
    match asked(&site) {
        Ok(verdict) => verdict,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(64)
        }
    }
}

/// Does what the environment asks for.
fn asked(site: &Site) -> Result<ExitCode, String> {
    let deadline = Instant::now() + Duration::from_secs(60 * number("MINUTES")?.unwrap_or(MINUTES));
    let jobs =
        number("JOBS")?.map(usize::try_from).transpose().map_err(|_| "JOBS is too large".to_owned())?;
    let (pairs, seed) = (pairs()?, number("SEED")?);
    if let Some(minutes) = number("SOAK")? {
        return Ok(soak(site, minutes, seed.unwrap_or_else(|| u64::from(std::process::id()))));
    }
    let all = selected(site, &pairs)?;
    if all.is_empty() {
        return Err("no scenario is like that".to_owned());
    }
    // A scenario that can't go on is a finding, told once.
    std::panic::set_hook(Box::new(|_| {}));
    let (laptops, troops): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|scenario| scenario.pair == Pair::Sqlite);
    let mut ran = run_all(site, &laptops, jobs.unwrap_or(LAPTOPS), deadline, tell);
    ran.extend(run_all(site, &troops, jobs.unwrap_or(TROOPS), deadline, tell));
    let skipped = laptops.len() + troops.len() - ran.len();
    println!("\n{}", table::table(&ran));
    if skipped > 0 {
        println!("{skipped} scenarios were not run: the time was up");
    }
    let broken = ran.iter().any(|(_, outcome)| !outcome.findings.is_empty());
    // Of a part nobody expects that it comes by everywhere.
    let whole = if word("ONLY").or(word("SHARD")).is_none() { pairs } else { Vec::new() };
    let few = whole.len() == 2 && table::kills(&ran) < KILLS;
    if few {
        println!("fewer than {KILLS} kills");
    }
    let missed: Vec<_> = whole.into_iter().flat_map(|pair| never_hit(&ran, pair)).collect();
    let well = !broken && skipped == 0 && !few && missed.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The pairs that are asked for.
fn pairs() -> Result<Vec<Pair>, String> {
    match word("PAIR").as_deref() {
        Some("sqlite") => Ok(vec![Pair::Sqlite]),
        Some("fleet") => Ok(vec![Pair::Fleet]),
        Some(other) => Err(format!("PAIR={other} is no pair; take sqlite or fleet, or none for both")),
        None => Ok(vec![Pair::Sqlite, Pair::Fleet]),
    }
}

/// Tells of the crash points that nobody has hit.
fn never_hit(ran: &[(&Scenario, Outcome)], pair: Pair) -> Vec<String> {
    let missed = table::never_hit(ran, pair);
    match missed.as_slice() {
        [] => println!("{pair}: every crash point that can be met was hit"),
        missed => println!("{pair}: crash points never hit: {}", missed.join(", ")),
    }
    missed
}

/// Nights in a row with havoc; `SEED` plays it again.
fn soak(site: &Site, minutes: u64, seed: u64) -> ExitCode {
    println!("SEED={seed} plays this again");
    let scenario =
        Scenario::new(Pair::Fleet, "soak", format!("{minutes} minutes, seed {seed}"), move |site| {
            chaos::soak::soak(site, minutes, seed)
        });
    let outcome = scenario.run(site);
    tell(&scenario, &outcome);
    let broken = !outcome.findings.is_empty();
    println!("\n{}", table::table(&[(&scenario, outcome)]));
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tell(scenario: &Scenario, outcome: &Outcome) {
    let seconds = outcome.took.as_secs_f64();
    let verdict = match outcome {
        Outcome { findings, .. } if !findings.is_empty() => "BROKEN",
        Outcome { missed: true, .. } => "missed",
        _ => "ok",
    };
    println!("{verdict:<6} {seconds:>6.1} s  {:>2} kills  {scenario}", outcome.kills);
    outcome.findings.iter().for_each(|finding| println!("       {finding}"));
    if !outcome.log.is_empty() {
        keep(scenario, &outcome.log);
    }
}

/// Keeps the log of what broke, for whoever looks into it.
#[expect(clippy::disallowed_methods, reason = "a log for whoever looks into it")]
fn keep(scenario: &Scenario, log: &str) {
    let folder = std::env::var("CHAOS_LOGS").unwrap_or_else(|_| "target/chaos".to_owned());
    let name = scenario.to_string().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let path = std::path::Path::new(&folder).join(format!("{name}.log"));
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, log)) {
        Ok(()) => println!("       its log is {}", path.display()),
        Err(error) => println!("       its log can't be kept: {error}"),
    }
}

fn selected(site: &Site, pairs: &[Pair]) -> Result<Vec<Scenario>, String> {
    let on = |pair: &Pair| match pair {
        Pair::Sqlite => matrix::laptop(site),
        Pair::Fleet => matrix::troop(site),
    };
    let mut all: Vec<_> = pairs.iter().flat_map(on).collect();
    if let Some(word) = word("ONLY") {
        all.retain(|scenario| scenario.to_string().contains(&word));
    }
    if let Some(shard) = word("SHARD") {
        let parts = shard.split_once('/').map(|(part, of)| (part.parse::<u64>(), of.parse::<u64>()));
        let Some((Ok(part), Ok(of))) =
            parts.filter(|(part, of)| matches!((part, of), (Ok(part), Ok(of)) if (1..=*of).contains(part)))
        else {
            return Err(format!("SHARD={shard} is no part of anything; take 1/4 to 4/4"));
        };
        all.retain(|scenario| scenario.part(of) == part - 1);
    }
    Ok(all)
}

/// What a variable says, where it says something.
fn word(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|word| !word.is_empty())
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let read = |text: String| text.parse().map_err(|_| format!("{name}={text} is no whole number"));
    word(name).map(read).transpose()
}
