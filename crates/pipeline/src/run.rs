//! The machine of runs: claims one, keeps the claim while it is worked, gives it back. What a run does is
//! `gather`'s to know.

use std::time::Duration;

use domain::{JobId, RunId, Trace, failure_backoff};
use store::{RunClaim, RunRow, Store};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::failure::Failure;
use crate::gather::gather;
use crate::night::Night;
use crate::worker::chain;

/// How long a claim holds. A process that dies is missed this long.
const LEASE: Duration = Duration::from_secs(60);
/// How often a claim is renewed: three chances before it runs out.
const RENEW: Duration = Duration::from_secs(15);

/// A run that was worked to its end.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The run.
    pub run: RunRow,
    /// Its jobs, in the order of acceptance.
    pub jobs: Vec<JobId>,
    /// What a person should know: which tasks stay pending, and why.
    pub notes: Vec<String>,
}

/// Works a started run to its end; none where somebody else has it. A run that fails rests and is taken up
/// again: nothing of it can be lost.
pub(crate) async fn work(store: &Store, night: &Night, id: RunId) -> Result<Option<Ran>, Failure> {
    let Some(claim) = store.claim_run(id, LEASE).await? else { return Ok(None) };
    let kept = keep_claim(store.clone(), claim);
    let trace = Trace::of(id.0);
    let span = tracing::error_span!("run", run.id = %id, trace_id = %trace.trace_id());
    telemetry::trace::follow(&span, &trace.to_string());
    let result = gather(store, night, claim, LEASE).instrument(span).await;
    drop(kept);
    if let Err(failure) = &result {
        let pause = failure_backoff(claim.failures + 1);
        tracing::warn!(run.id = %id, failures = claim.failures + 1, error = %chain(failure), "run failed");
        store.fail_run(claim, pause, &chain(failure)).await?;
    }
    result
}

/// Works every started run that nobody has.
pub(crate) async fn work_open(store: &Store, night: &Night) -> Result<Vec<Ran>, Failure> {
    let mut ran = Vec::new();
    for id in store.open_runs().await? {
        // A run that failed is on record and in the log; the others are not its concern.
        if let Ok(Some(one)) = work(store, night, id).await {
            ran.push(one);
        }
    }
    Ok(ran)
}

/// Renews a claim until the guard is dropped, also by a panic.
fn keep_claim(store: Store, claim: RunClaim) -> DropGuard {
    let done = CancellationToken::new();
    let stop = done.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEW) => {}
            }
            match store.renew_run(claim, LEASE).await {
                Ok(true) => {}
                // Somebody else has it; the fence decides between us.
                Ok(false) => return,
                Err(error) => tracing::warn!(error = %chain(&error), "claim on a run not renewed"),
            }
        }
    });
    done.drop_guard()
}
