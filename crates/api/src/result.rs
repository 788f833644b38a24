//! A task with its record and its answer as it is written, by the API and on the command line alike: a JSON
//! document or a row of a table.

use domain::TaskState;
use serde_json::{Value, json};
use store::{JobRow, ResultRow};

/// A result as JSON: whose it is, who made it, and what it is; else why there is none.
#[must_use]
pub fn document(row: &JobRow, result: &ResultRow) -> Value {
    let parsed = |text: &Option<String>| -> Value {
        text.as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
    };
    let mut document = json!({
        "issue_reference": {
            "path": result.path,
            "org": result.org,
            "repo": result.repo,
            "number": result.number,
            "record": result.record_key,
            "job": row.job.id,
            "custom_id": result.custom_id,
        },
        "processor": {
            "name": row.processor,
            "version": row.processor_version,
            "model": row.model,
            "timestamp": result.ended_at,
        },
        "analysis": parsed(&result.result),
    });
    if result.state != TaskState::Succeeded {
        document["outcome"] = json!(result.state);
        document["error"] = json!({ "class": result.error_class, "message": result.error_message, "attempts": result.attempts });
    }
    if result.payload.is_some() {
        document["input"] = parsed(&result.payload);
    }
    document
}

/// The columns of the table of results.
#[must_use]
pub fn columns(join_input: bool) -> Vec<&'static str> {
    let mut columns = vec![
        "custom_id",
        "record",
        "org",
        "repo",
        "number",
        "outcome",
        "attempts",
        "error_class",
        "error_message",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "analysis",
    ];
    columns.extend(join_input.then_some("input"));
    columns
}

/// A result as a row of that table.
#[must_use]
pub fn cells(result: &ResultRow) -> Vec<String> {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut cells = vec![
        result.custom_id.clone(),
        result.record_key.clone(),
        result.org.clone().unwrap_or_default(),
        result.repo.clone().unwrap_or_default(),
        result.number.map(|number| number.to_string()).unwrap_or_default(),
        result.state.as_str().to_owned(),
        result.attempts.to_string(),
        result.error_class.map(|class| class.to_string()).unwrap_or_default(),
        result.error_message.clone().unwrap_or_default(),
        number(result.tokens.map(|(input, _)| input)),
        number(result.tokens.map(|(_, output)| output)),
        result.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.dollars().to_string()),
        result.result.clone().unwrap_or_default(),
    ];
    cells.extend(result.payload.clone());
    cells
}
