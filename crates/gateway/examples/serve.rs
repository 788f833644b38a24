//! A gateway by itself, for trying a client against it: `serve FOLDER [SIM]`, until Ctrl-C.
//! Prints the base URL. `SIM` is such as `latency_ms=5,rate_limited=0.03`.

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut config = gateway::Config::new(arguments.next().context("which folder?")?);
    config.sim = arguments.next().unwrap_or_default().parse()?;
    let running = gateway::start(config).await?;
    println!("{}", running.base_url());
    tokio::signal::ctrl_c().await?;
    running.shutdown().await;
    Ok(())
}
