//! `GET /api/batch/{id}/results`: what there is, streamed a page of rows at a time as lines or as a table.
//!
//! Nothing is held but the page, whatever the size of the job. A stream that breaks off has no last line:
//! the summary is how a reader knows that it has all of it.

use std::sync::Arc;

use api_types::{ReadResults, Summary};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{ShownState, TaskState};
use futures_util::stream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::{JobRow, ResultRow, Store};
use web::{Problem, read_query};

use crate::find::{find, word};
use crate::refusal::store_problem;
use crate::{Api, cells, columns, document};

/// Rows read at a time.
const PAGE: u32 = 200;
/// Whether the job had ended when the stream began.
const COMPLETE: HeaderName = HeaderName::from_static("overnight-complete");
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Lines,
    Table,
}

pub(crate) async fn results(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked: ReadResults = read_query(&uri)?;
    let format = accepted(&headers)?;
    let state = asked.state.as_deref().map(outcome).transpose()?;
    let id = find(&api.store, &id).await?;
    let (row, shown, _) = api.store.job_shown(id).await.map_err(|error| store_problem(&error))?;
    let complete = row.job.state.outcome().is_some();
    let reading = Reading {
        store: api.store.clone(),
        row,
        shown,
        state,
        join_input: asked.join_input,
        format,
        seq: 0,
        written: 0,
        succeeded: 0,
        hash: Sha256::new(),
        part: Part::Head,
    };
    let body = Body::from_stream(stream::try_unfold(reading, Reading::next));
    let media = if format == Format::Lines { NDJSON } else { CSV };
    let mut response = ([(header::CONTENT_TYPE, media)], body).into_response();
    let word = HeaderValue::from_static(if complete { "true" } else { "false" });
    response.headers_mut().insert(COMPLETE, word);
    Ok(response)
}

fn outcome(text: &str) -> Result<TaskState, Problem> {
    let ends: Vec<TaskState> = TaskState::ALL.iter().copied().filter(|state| state.is_end()).collect();
    word("state", text, &ends, TaskState::as_str)
}

/// The first format that the caller takes; lines, where it takes anything.
fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Format::Lines) };
    let wanted = accept.to_str().unwrap_or_default().split(',').find_map(|range| {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let refused = parameters.split(';').any(|parameter| matches!(parameter.trim(), "q=0" | "q=0.0"));
        match media.trim().to_ascii_lowercase().as_str() {
            _ if refused => None,
            NDJSON | "application/ndjson" | "application/jsonl" | "application/*" | "*/*" => {
                Some(Format::Lines)
            }
            CSV | "text/*" => Some(Format::Table),
            _ => None,
        }
    });
    wanted.ok_or_else(|| {
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "results are not written like that")
            .hint(format!("send Accept: {NDJSON} or Accept: {CSV}"))
    })
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Rows,
    End,
}

/// A reader's place in the results of a job.
struct Reading {
    store: Store,
    row: JobRow,
    shown: ShownState,
    state: Option<TaskState>,
    join_input: bool,
    format: Format,
    seq: i64,
    written: u64,
    succeeded: u64,
    hash: Sha256,
    part: Part,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        if self.part == Part::Head {
            self.part = Part::Rows;
            if self.format == Format::Table {
                return Ok(Some((table([columns(self.join_input)])?, self)));
            }
        }
        if self.part == Part::End {
            return Ok(None);
        }
        let page = self.store.results(self.row.job.id, self.state, self.join_input, self.seq, PAGE).await;
        let page = page.map_err(|error| {
            tracing::error!(job.id = %self.row.job.id, error = %error, "results break off");
            std::io::Error::other("results break off")
        })?;
        match page.last() {
            Some(last) => {
                self.seq = last.seq;
                let bytes = self.written(&page)?;
                Ok(Some((bytes, self)))
            }
            None => {
                self.part = Part::End;
                Ok(Some((self.ending(), self)))
            }
        }
    }

    fn written(&mut self, page: &[ResultRow]) -> Result<Bytes, std::io::Error> {
        self.written += u64::try_from(page.len()).unwrap_or(u64::MAX);
        let succeeded = page.iter().filter(|result| result.state == TaskState::Succeeded).count();
        self.succeeded += u64::try_from(succeeded).unwrap_or(u64::MAX);
        if self.format == Format::Table {
            return table(page.iter().map(cells));
        }
        let lines: String = page.iter().map(|result| format!("{}\n", document(&self.row, result))).collect();
        self.hash.update(lines.as_bytes());
        Ok(lines.into())
    }

    /// A table has no last line that isn't a row.
    fn ending(&mut self) -> Bytes {
        if self.format == Format::Table {
            return Bytes::new();
        }
        let hash = std::mem::take(&mut self.hash).finalize();
        let summary = Summary {
            job_id: self.row.job.id.to_string(),
            state: self.shown.as_str().to_owned(),
            complete: self.row.job.state.outcome().is_some(),
            written: self.written,
            succeeded: self.succeeded,
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        format!("{}\n", json!({ "summary": summary })).into()
    }
}

fn table<R, C>(rows: impl IntoIterator<Item = R>) -> Result<Bytes, std::io::Error>
where
    R: IntoIterator<Item = C>,
    C: AsRef<[u8]>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(std::io::Error::from)?;
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes.into())
}
