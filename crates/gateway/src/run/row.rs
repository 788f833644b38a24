//! One row: what the upstream answers, and the lines that go into the result files.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use wire::{LineResponse, RequestLine, ResponseLine};

use crate::clock;
use crate::error::GatewayError;
use crate::id;
use crate::sim::{self, Answer, Fault, SimConfig};
use crate::store::{Finished, Served};

/// Larger request lines are worked on beside the threads that serve requests.
const LARGE_BYTES: usize = 64 * 1024;

/// What the rows of a batch share.
#[derive(Clone, Debug)]
pub(super) struct Work {
    batch_id: String,
    endpoint: String,
    ordinal: u64,
    sim: SimConfig,
}

/// A row that ran, and what to write where.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finished: Finished,
    pub(super) output: Vec<u8>,
    pub(super) error: Vec<u8>,
    /// Given back once the lines are on disk.
    pub(super) flight: Option<OwnedSemaphorePermit>,
}

impl Work {
    pub(super) fn new(served: &Served, sim: &SimConfig) -> Self {
        Self {
            batch_id: served.batch.id.clone(),
            endpoint: served.batch.endpoint.clone(),
            ordinal: served.ordinal,
            sim: sim.clone(),
        }
    }

    /// Runs a row.
    pub(super) async fn run(&self, row: u32, line: Vec<u8>) -> Result<Outcome, GatewayError> {
        if self.sim.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.sim.latency_ms)).await;
        }
        if line.len() < LARGE_BYTES {
            return self.answer(row, &line);
        }
        let work = self.clone();
        let task = tokio::task::spawn_blocking(move || work.answer(row, &line));
        task.await.map_err(|_| GatewayError::Interrupted { what: "row" })?
    }

    fn answer(&self, row: u32, line: &[u8]) -> Result<Outcome, GatewayError> {
        let damaged = |_| GatewayError::Damaged { what: "input file", id: self.batch_id.clone() };
        let request: RequestLine<'_> = serde_json::from_slice(line).map_err(damaged)?;
        let fault = self.sim.fault(self.ordinal, &request.custom_id);
        let body = request.body.get();
        let answer = match fault.and_then(Fault::refusal) {
            Some(refusal) => refusal,
            None => sim::answer(self.sim.seed, &self.endpoint, body, fault, clock::now()),
        };
        let text = self.line(row, &request.custom_id, &answer).map_err(damaged)?;
        Ok(self.outcome(row, request.custom_id.into_owned(), &answer, fault, text))
    }

    /// The result line, with its end.
    fn line(&self, row: u32, custom_id: &str, answer: &Answer) -> Result<Vec<u8>, serde_json::Error> {
        let (id, request_id) = id::line(&self.batch_id, row);
        let response = LineResponse {
            status_code: answer.status_code,
            request_id: request_id.into(),
            body: Some(serde_json::from_str(&answer.body)?),
        };
        let line = ResponseLine {
            id: id.into(),
            custom_id: custom_id.into(),
            response: Some(response),
            error: None,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        Ok(text)
    }

    fn outcome(
        &self,
        row: u32,
        custom_id: String,
        answer: &Answer,
        fault: Option<Fault>,
        line: Vec<u8>,
    ) -> Outcome {
        // A line without an answer (status 0) counts as completed, as the provider was seen to do.
        let completed = matches!(answer.status_code, 0 | 200..=299);
        let (output, error) = match (completed, fault) {
            (false, _) => (Vec::new(), line),
            (true, Some(Fault::Missing)) => (Vec::new(), Vec::new()),
            (true, Some(Fault::BrokenJson)) => (torn(line), Vec::new()),
            (true, Some(Fault::Duplicate)) => (line.repeat(2), Vec::new()),
            (true, _) => (line, Vec::new()),
        };
        let finished =
            Finished { row, custom_id, status_code: answer.status_code, completed, paid: answer.paid };
        Outcome { finished, output, error, flight: None }
    }
}

/// The first half of a line, ended as if it were whole.
fn torn(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(line.len() / 2);
    line.push(b'\n');
    line
}
