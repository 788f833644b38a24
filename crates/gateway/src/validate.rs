//! The check of an input file before anything runs, line by line, in tens of bytes a row.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::io::{self, AsyncRead};
use wire::BatchError;

use crate::lines::Lines;

/// More findings than this help nobody.
const MAX_ERRORS: usize = 100;

/// What came of the check.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It can run.
    Good {
        /// Request lines.
        total: u32,
        /// The one model of all of them.
        model: String,
    },
    /// Nothing runs.
    Bad(Vec<BatchError>),
}

/// Reads the whole file once.
pub(crate) async fn validate(file: impl AsyncRead + Unpin, endpoint: &str) -> io::Result<Verdict> {
    let mut lines = Lines::new(file);
    let mut check = Check { endpoint, model: None, seen: HashSet::new(), errors: Vec::new() };
    let mut line = Vec::new();
    let mut total = 0;
    while let Some(number) = lines.next(&mut line).await? {
        total += 1;
        if total > wire::MAX_REQUESTS {
            return Ok(Verdict::Bad(vec![too_many()]));
        }
        check.line(number, &line);
        if check.errors.len() >= MAX_ERRORS {
            check.errors.truncate(MAX_ERRORS);
            break;
        }
    }
    Ok(match check {
        Check { errors, model: Some(model), .. } if errors.is_empty() => Verdict::Good { total, model },
        Check { errors, .. } if errors.is_empty() => Verdict::Bad(vec![empty()]),
        Check { errors, .. } => Verdict::Bad(errors),
    })
}

/// The finding where there is no such input file.
pub(crate) fn no_such_file(id: &str) -> BatchError {
    BatchError {
        code: Some("invalid_request".to_owned()),
        message: Some(format!("Cannot find file {id}, or it is not a file of purpose 'batch'.")),
        param: Some("file_id".to_owned()),
        line: None,
    }
}

fn too_many() -> BatchError {
    let message = format!("The batch input file has more than {} requests.", wire::MAX_REQUESTS);
    BatchError {
        code: Some("too_many_requests_in_batch".to_owned()),
        message: Some(message),
        ..BatchError::default()
    }
}

fn empty() -> BatchError {
    let message = "The batch input file has no request.".to_owned();
    BatchError { code: Some("empty_file".to_owned()), message: Some(message), ..BatchError::default() }
}

#[derive(Deserialize)]
struct Line<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    messages: Option<IgnoredAny>,
    input: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,
}

struct Check<'a> {
    endpoint: &'a str,
    model: Option<String>,
    seen: HashSet<[u8; 16]>,
    errors: Vec<BatchError>,
}

impl Check<'_> {
    fn line(&mut self, number: u64, bytes: &[u8]) {
        let line: Line<'_> = match serde_json::from_slice(bytes) {
            Ok(line) => line,
            Err(error) if error.classify() == Category::Data && bytes.first() == Some(&b'{') => {
                return self.add(number, "invalid_request", None, "A field of this line has the wrong type.");
            }
            Err(_) => {
                return self.add(
                    number,
                    "invalid_json_line",
                    None,
                    "This line is not parseable as valid JSON.",
                );
            }
        };
        let Line { custom_id: Some(custom_id), method: Some(method), url: Some(url), body: Some(body) } =
            &line
        else {
            return self.absent(number, &line);
        };
        if method != "POST" {
            self.add(
                number,
                "invalid_request",
                Some("method"),
                "The method of a batch request must be POST.",
            );
        }
        if url != self.endpoint {
            let message = "The URL provided for this request does not match the batch endpoint.";
            self.add(number, "invalid_url", Some("url"), message);
        }
        if !self.seen.insert(digest(custom_id)) {
            let message = "The custom_id for this request is a duplicate of another request.";
            self.add(number, "duplicate_custom_id", Some("custom_id"), message);
        }
        self.body(number, body);
    }

    fn absent(&mut self, number: u64, line: &Line<'_>) {
        let fields = [
            ("custom_id", line.custom_id.is_none()),
            ("method", line.method.is_none()),
            ("url", line.url.is_none()),
            ("body", line.body.is_none()),
        ];
        for (field, _) in fields.into_iter().filter(|(_, absent)| *absent) {
            let message = format!("Missing required parameter: '{field}'.");
            self.add(number, "missing_required_parameter", Some(field), &message);
        }
    }

    fn body(&mut self, number: u64, body: &RawValue) {
        let Ok(body) = serde_json::from_str::<Body<'_>>(body.get()) else {
            return self.add(
                number,
                "invalid_request",
                Some("body"),
                "The body of this request is malformed.",
            );
        };
        match (body.model.as_ref().filter(|model| !model.is_empty()), &self.model) {
            (None, _) => {
                self.add(
                    number,
                    "invalid_request",
                    Some("body.model"),
                    "You must provide a model parameter.",
                );
            }
            (Some(model), None) => self.model = Some(model.to_string()),
            (Some(model), Some(first)) if *model != *first => {
                let message = "The model of this request differs from the rest; a batch has one model.";
                self.add(number, "mismatched_model", Some("body.model"), message);
            }
            _ => {}
        }
        if body.stream == Some(true) {
            let message = "Streaming is not supported in the Batch API.";
            self.add(number, "streaming_unsupported", Some("body.stream"), message);
        }
        if let Some(field) = self.lacking(&body) {
            let message = format!("Missing required parameter: '{field}'.");
            self.add(number, "invalid_request", Some(field), &message);
        }
    }

    /// What the endpoint can't do without.
    fn lacking(&self, body: &Body<'_>) -> Option<&'static str> {
        match self.endpoint {
            "/v1/chat/completions" if body.messages.is_none() => Some("body.messages"),
            "/v1/embeddings" if body.input.is_none() => Some("body.input"),
            "/v1/responses" if body.input.is_none() && body.prompt.is_none() => Some("body.input"),
            _ => None,
        }
    }

    fn add(&mut self, line: u64, code: &str, param: Option<&str>, message: &str) {
        self.errors.push(BatchError {
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            param: param.map(str::to_owned),
            line: Some(line),
        });
    }
}

/// Half of a SHA-256: nobody can make two ids collide, and a row costs 16 bytes.
fn digest(custom_id: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(custom_id)[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is uploaded: it is good, line for line, or there is a finding that points into it.
    #[test]
    fn any_file_is_good_or_has_findings() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        fuzz::run("input_lines", |bytes| {
            let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            let filled = lines.iter().filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count();
            match runtime.block_on(validate(bytes, "/v1/chat/completions")).unwrap() {
                Verdict::Good { total, model } => {
                    assert_eq!(usize::try_from(total).unwrap(), filled);
                    assert!(!model.is_empty(), "a model without a name");
                    let line = |line: &&[u8]| serde_json::from_slice::<wire::RequestLine<'_>>(line).is_ok();
                    assert!(lines.iter().filter(|line| !line.iter().all(u8::is_ascii_whitespace)).all(line));
                }
                Verdict::Bad(errors) => {
                    assert!((1..=MAX_ERRORS).contains(&errors.len()));
                    let last = errors.iter().filter_map(|error| error.line).max().unwrap_or_default();
                    assert!(usize::try_from(last).unwrap() <= lines.len());
                }
            }
        });
    }
}
