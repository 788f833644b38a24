//! The body of `/v1/chat/completions`.

use serde_json::{Value, json};

use super::answer::Draft;

pub(super) fn body(draft: &Draft<'_>) -> Value {
    json!({
        "id": format!("chatcmpl-sim-{}", draft.key),
        "object": "chat.completion",
        "created": draft.created_at,
        "model": draft.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": draft.content, "refusal": null, "annotations": []},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": draft.input_tokens,
            "completion_tokens": draft.output_tokens,
            "total_tokens": draft.input_tokens + draft.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "system_fingerprint": "sim",
    })
}
