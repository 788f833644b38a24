//! A line's turn: what the model's server says to it, what that costs, and how it stands in the result files.

use serde_json::{Value, json};

use crate::answer;
use crate::ledger::Shown;
use crate::rule::LineFault;

/// Which result file a line stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Output,
    Error,
}

/// What has become of a line.
pub(crate) struct Turn {
    pub(crate) custom_id: String,
    pub(crate) status: u16,
    pub(crate) billed: bool,
    pub(crate) shown: Shown,
    pub(crate) sha256: Option<String>,
    /// What stands in the result files.
    pub(crate) text: Vec<(Place, String)>,
}

/// The requests of an input file, in their order; or the line that can't be read, and why.
pub(crate) fn requests(content: &str) -> Result<Vec<Value>, (usize, &'static str)> {
    let mut all = Vec::new();
    for (index, line) in content.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|_| (index + 1, "invalid_json_line"))?;
        let whole = ["custom_id", "method", "url"].iter().all(|key| line[key].is_string());
        if !whole || !line["body"].is_object() {
            return Err((index + 1, "missing_required_parameter"));
        }
        all.push(line);
    }
    Ok(all)
}

/// Runs a line of a batch.
pub(crate) fn turn(batch: &str, number: usize, request: &Value, fault: Option<LineFault>) -> Turn {
    let custom_id = request["custom_id"].as_str().unwrap_or_default().to_owned();
    let url = request["url"].as_str().unwrap_or_default();
    let id = format!("batch_req_{}_{number}", batch.trim_start_matches("batch_"));
    let refused = match fault {
        Some(LineFault::Http(status)) => Some((status, "refused on demand", vec![custom_id.clone()])),
        Some(LineFault::Nul) => {
            Some((400, "refused\0on demand", vec![custom_id.clone(), "nobody\0".to_owned()]))
        }
        _ => None,
    };
    if let Some((status, message, names)) = refused {
        let body =
            json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}});
        let line = |name: &String| (Place::Error, whole(&id, name, status, &body.to_string()));
        let text = names.iter().map(line).collect();
        return Turn { custom_id, status, billed: false, shown: Shown::Whole, sha256: None, text };
    }
    let body = answer::body(url, &request["body"], fault == Some(LineFault::BadAnswer));
    let line = whole(&id, &custom_id, 200, &body);
    let (shown, text) = match fault {
        Some(LineFault::Missing) => (Shown::Nowhere, vec![]),
        Some(LineFault::Twice) => (Shown::Whole, vec![(Place::Output, line.clone()), (Place::Output, line)]),
        Some(LineFault::Both) => {
            let refused = whole(&id, &custom_id, 500, "{}");
            (Shown::Whole, vec![(Place::Output, line), (Place::Error, refused)])
        }
        Some(LineFault::Odd) => {
            let answered = format!(
                r#"{{"id":null,"custom_id":{},"response":{{"status_code":200,"request_id":null,"body":{body}}},"error":"none"}}"#,
                json!(custom_id)
            );
            (Shown::Whole, vec![(Place::Output, answered)])
        }
        Some(LineFault::Torn) => {
            (Shown::Broken, vec![(Place::Output, line.chars().take(line.len() / 2).collect())])
        }
        Some(LineFault::Noise) => (Shown::Broken, vec![(Place::Output, "\u{1}noise".to_owned())]),
        Some(LineFault::StatusZero) => {
            (Shown::Broken, vec![(Place::Output, whole(&id, &custom_id, 0, "null"))])
        }
        _ => (Shown::Whole, vec![(Place::Output, line)]),
    };
    let sha256 = Some(answer::hash(body.as_bytes()));
    Turn { custom_id, status: 200, billed: true, shown, sha256, text }
}

/// A line that never ran, for the error file.
pub(crate) fn unrun(custom_id: &str, code: &str) -> String {
    let message = "This request could not be executed.";
    json!({"id": "batch_req_none", "custom_id": custom_id, "response": null,
        "error": {"code": code, "message": message}})
    .to_string()
}

/// A line of an answer to nobody's request.
pub(crate) fn stranger(number: u32) -> String {
    whole("batch_req_stranger", &format!("nobody-{number}"), 200, "{\"object\":\"response\"}")
}

/// The body is put in as it is, so that its hash is that of what a client reads.
fn whole(id: &str, custom_id: &str, status: u16, body: &str) -> String {
    let (id, custom_id) = (json!(id), json!(custom_id));
    format!(
        "{{\"id\":{id},\"custom_id\":{custom_id},\"response\":{{\"status_code\":{status},\
         \"request_id\":\"simulated\",\"body\":{body}}},\"error\":null}}"
    )
}
