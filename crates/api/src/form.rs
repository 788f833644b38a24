//! A wish for a job as a form: the part `wish` is the JSON of the other way, without records, and the part
//! `records` has one of them a line. Lines are read as they come, and what is wrong with one names it.

use api_types::{CreateJob, Record};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use reception::MOST_NAMED;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use web::{Problem, parse_json};

use crate::refusal::{MOST_FAULTS, WRONG};

const HINT: &str = "send a part wish, JSON, and a part records, a JSON object a line, each once";

/// Whether a body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// What a form brought.
pub(crate) struct Form {
    /// The wish, its records among it.
    pub(crate) asked: CreateJob,
    /// The line of each record.
    pub(crate) lines: Vec<usize>,
    /// SHA-256 of both parts, whatever the client put between them.
    pub(crate) hash: Vec<u8>,
}

impl Form {
    pub(crate) async fn read(request: Request) -> Result<Self, Problem> {
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|rejection| unreadable(&rejection.body_text()))?;
        let (mut wish, mut lines) = (None, None);
        while let Some(part) = form.next_field().await.map_err(|error| broken(&error))? {
            match part.name().unwrap_or_default() {
                "wish" if wish.is_none() => wish = Some(part.bytes().await.map_err(|error| broken(&error))?),
                "records" if lines.is_none() => lines = Some(Lines::read(part).await?),
                other => return Err(unreadable(&format!("the part {other:?} is unknown, or comes twice"))),
            }
        }
        let missing = |part: &str| unreadable(&format!("the part {part} is missing"));
        let (wish, lines) = (wish.ok_or_else(|| missing("wish"))?, lines.ok_or_else(|| missing("records"))?);
        let mut asked: CreateJob = parse_json(&wish)?;
        if asked.records.is_some() {
            return Err(unreadable("the wish has records, too"));
        }
        asked.records = Some(lines.records);
        let both = [Sha256::digest(&wish), lines.hash.finalize()].concat();
        Ok(Self { asked, lines: lines.numbers, hash: both })
    }
}

/// Records, a line each; blank lines are passed over.
#[derive(Default)]
struct Lines {
    records: Vec<Record>,
    numbers: Vec<usize>,
    faults: Vec<String>,
    seen: usize,
    hash: Sha256,
}

impl Lines {
    /// Reads the part to its end, or until too much is wrong with it.
    async fn read(mut part: Field<'_>) -> Result<Self, Problem> {
        let (mut lines, mut held) = (Self::default(), Vec::new());
        while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error))? {
            lines.hash.update(&chunk);
            let mut rest: &[u8] = &chunk;
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                held.extend_from_slice(&rest[..end]);
                lines.line(&held)?;
                held.clear();
                rest = &rest[end + 1..];
            }
            held.extend_from_slice(rest);
        }
        lines.line(&held)?;
        if lines.faults.is_empty() { Ok(lines) } else { Err(lines.refused()) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.seen += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match record(line) {
            Ok(record) => {
                self.records.push(record);
                self.numbers.push(self.seen);
            }
            Err(what) => self.faults.push(format!("line {} of records: {what}", self.seen)),
        }
        if self.records.len() > MOST_NAMED {
            let what = format!("line {} of records is one too many; take 1 to {MOST_NAMED}", self.seen);
            self.faults = vec![what];
            return Err(self.refused());
        }
        if self.faults.len() >= MOST_FAULTS { Err(self.refused()) } else { Ok(()) }
    }

    fn refused(&self) -> Problem {
        let problem = Problem::new(WRONG, "invalid-records", "some records can't be used")
            .detail("nothing was stored")
            .hint("correct the lines that are named, or leave them out");
        self.faults.iter().fold(problem, |problem, fault| problem.fault(None, fault))
    }
}

/// A record with `data`, and a `key` where it is no issue; or an issue by itself.
fn record(line: &[u8]) -> Result<Record, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&place).unwrap_or(&message);
        format!("not JSON: {message} (column {}); correct it", error.column())
    })?;
    let Some(fields) = value.as_object() else {
        return Err("not a JSON object; send {\"key\", \"data\"}, or an issue".to_owned());
    };
    if fields.contains_key("custom_id") && fields.contains_key("body") {
        return Err(
            "a ready batch line; send what the processor's template reads, as {\"key\", \"data\"}".to_owned()
        );
    }
    if !fields.contains_key("data") {
        return Ok(Record { key: None, data: value });
    }
    serde_json::from_value(value).map_err(|error| format!("{error}; correct it"))
}

fn unreadable(what: &str) -> Problem {
    Problem::new(WRONG, "invalid-form", "the form can't be understood").detail(what).hint(HINT)
}

fn broken(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large")
            .hint("send fewer records at a time");
    }
    Problem::new(StatusCode::BAD_REQUEST, "unreadable-body", "the form could not be read to its end")
        .detail(error.body_text())
        .hint("send it again, as multipart/form-data")
}
