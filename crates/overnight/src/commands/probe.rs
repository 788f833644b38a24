//! `overnight probe`: whether the provider keeps to what the submission protocol assumes. It says the highest price
//! and asks first, keeps what it found, and runs no job.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use domain::Tokens;
use openai::is_here;
use pipeline::{Finding, Holds, PROBE_BATCHES, PROBE_INPUT_TOKENS, PROBE_OUTPUT_TOKENS, ProbePlan, Provider};
use queue::Queue;
use serde_json::json;
use store::{ProbeRow, Store};

use crate::cli::{ProbeArgs, ProbeCommand};
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, money, when};
use crate::world::{Desk, client, context, start_gateway, unreachable_provider};

/// Time between two looks: kind to a real provider's rate limits.
const PAUSE: Duration = Duration::from_secs(2);
/// The same on this machine.
const QUICK_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(
    config: &Config,
    arguments: &ProbeArgs,
    command: Option<&ProbeCommand>,
    output: &Output,
) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "probe").await?;
    let exit = match command {
        Some(ProbeCommand::Show) => show(config, &desk.store, output).await?,
        None => {
            consent(config, arguments, output)?;
            ask(config, &desk, arguments, output).await?
        }
    };
    desk.store.close().await?;
    Ok(exit)
}

/// Where the provider is: what was found about one says nothing about another.
pub(crate) fn address(config: &Config) -> String {
    match config.provider {
        Provider::Sim => config.gateway_url.as_ref().map_or("built in".to_owned(), ToString::to_string),
        Provider::OpenAi => config.openai_url.to_string(),
    }
}

/// What the latest probe has found, if there was one.
pub(crate) async fn latest(
    config: &Config,
    store: &Store,
) -> Result<Option<(ProbeRow, Vec<Finding>)>, Trouble> {
    let Some(row) = store.latest_probe(config.provider.as_str(), &address(config)).await? else {
        return Ok(None);
    };
    let findings = serde_json::from_str(&row.findings).map_err(Trouble::other)?;
    Ok(Some((row, findings)))
}

/// Whether a probe has shown that deleting an input file is a fence.
pub(crate) async fn fence_holds(config: &Config, store: &Store) -> Result<bool, Trouble> {
    let shows = |finding: &Finding| finding.check == pipeline::FENCE && finding.holds == Holds::Yes;
    Ok(latest(config, store).await?.is_some_and(|(_, findings)| findings.iter().any(shows)))
}

/// Nothing is spent before a person has agreed to the price.
fn consent(config: &Config, arguments: &ProbeArgs, output: &Output) -> Result<(), Trouble> {
    if config.provider == Provider::Sim || arguments.yes {
        return Ok(());
    }
    let price = config.prices.of(&arguments.model).map(|price| {
        let (input, most) = (PROBE_INPUT_TOKENS * PROBE_BATCHES, PROBE_OUTPUT_TOKENS * PROBE_BATCHES);
        price.batch(Tokens { input, cached: 0, output: most, reasoning: 0 })
    });
    let what = format!(
        "the probe creates up to {PROBE_BATCHES} batches of one request to {} at {}, and cancels and deletes them. \
         Highest price: {}",
        arguments.model,
        address(config),
        price.map_or("unknown".to_owned(), |price| money(Some(price))),
    );
    let no = || Trouble::usage("nothing was probed: nobody has agreed").why(what.clone()).fix("add --yes");
    if !std::io::stdin().is_terminal() || output.is_json() {
        return Err(no());
    }
    let mut prompt = std::io::stderr();
    let _ = write!(prompt, "{what}\nType yes to go on: ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Trouble::other)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(no()) }
}

async fn ask(config: &Config, desk: &Desk, arguments: &ProbeArgs, output: &Output) -> Result<Exit, Trouble> {
    let own = config.provider == Provider::Sim && config.gateway_url.is_none() && !desk.is_elsewhere();
    let gateway = if own { Some(start_gateway(config, false).await?) } else { None };
    let store = &desk.store;
    let context = context(config, store, client(config, gateway.as_ref())?, Queue::memory())?;
    let plan = ProbePlan {
        model: arguments.model.clone(),
        pause: if is_near(config) { QUICK_PAUSE } else { PAUSE },
        patience: arguments.timeout,
        settle: config.settle.over.min(arguments.timeout).max(Duration::from_secs(1)),
    };
    let probed = pipeline::probe(&context, &plan, |finding| output.note(&line(finding))).await;
    if let Some(gateway) = gateway {
        gateway.shutdown().await;
    }
    let findings = probed.map_err(|error| unreachable_provider(&error))?;
    let row = ProbeRow {
        provider: config.provider.as_str().to_owned(),
        address: address(config),
        model: arguments.model.clone(),
        findings: serde_json::to_string(&findings).map_err(Trouble::other)?,
        ended_at: store.clock().now(),
    };
    store.add_probe(store.clock().new_id(), &row).await?;
    tell(config, &row, &findings, output);
    Ok(exit(&findings))
}

fn is_near(config: &Config) -> bool {
    config.provider == Provider::Sim || is_here(&config.openai_url)
}

async fn show(config: &Config, store: &Store, output: &Output) -> Result<Exit, Trouble> {
    match latest(config, store).await? {
        Some((row, findings)) => {
            tell(config, &row, &findings, output);
            Ok(exit(&findings))
        }
        None => Err(Trouble::other(format!("{} at {} was never probed", config.provider, address(config)))
            .fix("overnight probe does it, for a few cents; it asks first")),
    }
}

fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().all(|finding| finding.holds == Holds::Yes) { Exit::Success } else { Exit::Other }
}

fn tell(config: &Config, row: &ProbeRow, findings: &[Finding], output: &Output) {
    let document = json!({
        "provider": row.provider,
        "address": row.address,
        "model": row.model,
        "ended_at": row.ended_at,
        "findings": findings,
    });
    output.result(&document, || {
        let head = format!("{} at {}, probed {}", row.provider, row.address, when(row.ended_at, config.zone));
        let of = |holds| findings.iter().filter(|finding| finding.holds == holds).count();
        let sum = format!(
            "{} hold, {} do not, {} could not be told",
            of(Holds::Yes),
            of(Holds::No),
            of(Holds::Unknown)
        );
        let lines = findings.iter().map(line);
        [head].into_iter().chain(lines).chain([sum]).collect::<Vec<_>>().join("\n")
    });
}

fn line(finding: &Finding) -> String {
    let mark = match finding.holds {
        Holds::Yes => '✓',
        Holds::No => '✗',
        Holds::Unknown => '?',
    };
    format!("{mark} {}\n    {}", finding.assumption, finding.detail)
}
