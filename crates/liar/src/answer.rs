//! What the model would have said: the same to the same request, and in the shape that it asks for. It means
//! nothing, counts tokens by fours of bytes, and knows just enough of JSON Schema for the built-in processors.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What a proxy answers that knows nothing.
pub(crate) const PAGE: &str = "<html>bad gateway</html>";

/// Below this a schema that refers to itself ends.
const DEEP: usize = 12;

/// The body of a successful answer to a request of `endpoint`; `breaks`: one that keeps to no schema.
pub(crate) fn body(endpoint: &str, request: &Value, breaks: bool) -> String {
    let text = request.to_string();
    let key = &hash(text.as_bytes())[..16];
    let schema = ["/text/format/schema", "/response_format/json_schema/schema"]
        .iter()
        .find_map(|place| request.pointer(place));
    let content = match schema {
        _ if breaks => "[]".to_owned(),
        Some(schema) => fill(schema, schema, key, 0).to_string(),
        None => format!("simulated {key}"),
    };
    let (input, output) = (text.len() / 4 + 1, content.len() / 4 + 1);
    let model = &request["model"];
    let body = if endpoint == "/v1/responses" {
        json!({
            "id": format!("resp_{key}"), "object": "response", "created_at": 0, "status": "completed", "model": model,
            "output": [{"id": format!("msg_{key}"), "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": content, "annotations": []}]}],
            "usage": {"input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output},
        })
    } else {
        json!({
            "id": format!("chatcmpl-{key}"), "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": content, "refusal": null}}],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
        })
    };
    body.to_string()
}

/// SHA-256, hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fill(root: &Value, schema: &Value, key: &str, depth: usize) -> Value {
    if depth > DEEP {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#')))
    {
        return fill(root, target, key, depth + 1);
    }
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    for choices in ["enum", "anyOf", "oneOf"] {
        if let Some(first) = schema[choices].as_array().and_then(|all| all.first()) {
            return if choices == "enum" { first.clone() } else { fill(root, first, key, depth + 1) };
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let filled = properties.map(|(name, inner)| (name.clone(), fill(root, inner, key, depth + 1)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or_default();
            (0..least).map(|_| fill(root, &schema["items"], key, depth + 1)).collect()
        }
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        _ => {
            let longest = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
            let text = format!("simulated {key}");
            json!(text.chars().take(longest.unwrap_or(usize::MAX)).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_to_the_schema_and_is_the_same_twice() {
        let schema = json!({"type": "object", "properties": {
            "label": {"enum": ["bug", "feature"]}, "score": {"type": "number", "minimum": 2},
            "parts": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/part"}},
        }, "$defs": {"part": {"type": ["string", "null"], "maxLength": 4}}});
        let request = json!({"model": "m", "text": {"format": {"type": "json_schema", "schema": schema}}});
        let said = body("/v1/responses", &request, false);
        assert_eq!(said, body("/v1/responses", &request, false));
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let text = said["output"][0]["content"][0]["text"].as_str().expect("text");
        let expected = json!({"label": "bug", "score": 2, "parts": ["simu"]});
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), expected);
    }
}
