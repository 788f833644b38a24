//! The body of `/v1/responses`.

use serde_json::{Map, Value, json};

use super::answer::Draft;

pub(super) fn body(draft: &Draft<'_>) -> Value {
    let echoed = |field: &str| draft.body.get(field).cloned().unwrap_or_default();
    json!({
        "id": format!("resp_sim_{}", draft.key),
        "object": "response",
        "created_at": draft.created_at,
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "instructions": echoed("instructions"),
        "max_output_tokens": echoed("max_output_tokens"),
        "model": draft.model,
        "output": [{
            "type": "message",
            "id": format!("msg_sim_{}", draft.key),
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": draft.content, "annotations": [], "logprobs": []}],
        }],
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "temperature": echoed("temperature"),
        "text": draft.body.get("text").cloned().unwrap_or_else(|| json!({"format": {"type": "text"}})),
        "tool_choice": "auto",
        "tools": [],
        "top_p": echoed("top_p"),
        "truncation": "disabled",
        "usage": {
            "input_tokens": draft.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": draft.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": draft.input_tokens + draft.output_tokens,
        },
        "metadata": metadata(draft.body),
    })
}

/// What the request attached, and the mark.
fn metadata(body: &Value) -> Value {
    let mut metadata: Map<String, Value> =
        body.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    metadata.insert("simulated".to_owned(), json!("true"));
    Value::Object(metadata)
}
