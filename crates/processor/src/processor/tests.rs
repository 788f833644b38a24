use super::*;

const RECORD: &str =
    r#"{"org":"lumen","repo":"editor","issue":{"number":7,"title":"Zoom é \"x\"","body":"b"}}"#;

fn processor(endpoint: &str, more: &str) -> Processor {
    let text = format!(
        "name='mine'\nversion=1\nmodel='gpt-4o-mini'\nendpoint='{endpoint}'\nmax_output_tokens=100\n{more}\n\
         prompt='{{{{ issue.title }}}}'"
    );
    Processor::new(Definition::from_toml(&text, "mine").unwrap(), None).unwrap()
}

const SCHEMA: &str = r#"
system = "Be kind to {{ org }}."
temperature = 0.0
schema = '''{ "type": "object", "required": ["z", "a"], "additionalProperties": false,
    "properties": { "z": { "type": "number" }, "a": { "type": "string" } } }'''"#;

#[test]
fn a_chat_request_is_these_bytes() {
    insta::assert_snapshot!(processor("/v1/chat/completions", SCHEMA).request(RECORD).unwrap().body, @r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be kind to lumen."},{"role":"user","content":"Zoom é \"x\""}],"max_completion_tokens":100,"temperature":0.0,"response_format":{"type":"json_schema","json_schema":{"name":"mine","strict":true,"schema":{"type":"object","required":["z","a"],"additionalProperties":false,"properties":{"z":{"type":"number"},"a":{"type":"string"}}}}}}"#);
    insta::assert_snapshot!(processor("/v1/chat/completions", "").request(RECORD).unwrap().body, @r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Zoom é \"x\""}],"max_completion_tokens":100}"#);
}

#[test]
fn a_responses_request_is_these_bytes() {
    insta::assert_snapshot!(processor("/v1/responses", SCHEMA).request(RECORD).unwrap().body, @r#"{"model":"gpt-4o-mini","instructions":"Be kind to lumen.","input":"Zoom é \"x\"","max_output_tokens":100,"temperature":0.0,"text":{"format":{"type":"json_schema","name":"mine","strict":true,"schema":{"type":"object","required":["z","a"],"additionalProperties":false,"properties":{"z":{"type":"number"},"a":{"type":"string"}}}}}}"#);
    insta::assert_snapshot!(processor("/v1/responses", "").request(RECORD).unwrap().body, @r#"{"model":"gpt-4o-mini","input":"Zoom é \"x\"","max_output_tokens":100}"#);
}

#[test]
fn the_snapshot_of_a_definition_makes_the_same_bytes() {
    let first = processor("/v1/responses", SCHEMA);
    let again = Definition::from_json(&first.definition().to_json(), "job").unwrap();
    let again = Processor::new(again, None).unwrap();
    assert_eq!(first.request(RECORD).unwrap().body, again.request(RECORD).unwrap().body);
}

#[test]
fn a_job_may_choose_another_model() {
    let definition = processor("/v1/responses", "").definition().clone();
    let other = Processor::new(definition.clone(), Some("gpt-5.2")).unwrap();
    assert_eq!((other.model(), other.endpoint()), ("gpt-5.2", "/v1/responses"));
    assert!(other.request(RECORD).unwrap().body.starts_with(r#"{"model":"gpt-5.2","#));
    assert_eq!(other.definition().model, "gpt-4o-mini");
    assert!(Processor::new(definition, Some(" ")).is_err());
}

#[test]
fn what_the_provider_counts_is_instructions_question_and_schema() {
    let request = processor("/v1/responses", SCHEMA).request(RECORD).unwrap();
    let [system, prompt, schema] = request.counted();
    assert_eq!((system, prompt, request.max_output_tokens), ("Be kind to lumen.", "Zoom é \"x\"", 100));
    assert!(request.body.contains(schema) && schema.starts_with(r#"{"type":"object""#));
    assert_eq!(processor("/v1/responses", "").request(RECORD).unwrap().counted()[2], "");
}

#[test]
fn an_answer_is_checked_against_the_schema_of_the_processor() {
    let processor = processor("/v1/chat/completions", SCHEMA);
    let body = |content: &str| {
        let content = serde_json::Value::from(content);
        format!(
            r#"{{"model":"gpt-4o-mini-2024-07-18","choices":[{{"message":{{"content":{content}}},"finish_reason":"stop"}}]}}"#
        )
    };
    let answer = processor.answer(&body("{ \"z\": 1.5,\n \"a\": \"é\" }")).unwrap();
    assert_eq!(answer.result, r#"{"z":1.5,"a":"é"}"#);
    assert_eq!(answer.model.as_deref(), Some("gpt-4o-mini-2024-07-18"));
    let error = processor.answer(&body(r#"{"z":1,"a":null}"#)).unwrap_err();
    assert_eq!(error.to_string(), "the answer breaks the schema at /a: value is not of type \"string\"");
    assert_eq!(error.class_label(), "output_invalid");
}

#[test]
fn a_processor_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Processor>();
}

/// Whatever stands in a file: it is refused, or it is a processor whose requests are JSON, also from the snapshot
/// that a job keeps of it.
#[test]
fn any_definition_is_refused_or_makes_requests() {
    fuzz::run("processors", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(definition) = Definition::from_toml(text, "mine") else { return };
        let kept = Definition::from_json(&definition.to_json(), "job").unwrap();
        assert_eq!(kept, definition);
        let (Ok(first), Ok(again)) = (Processor::new(definition, None), Processor::new(kept, None)) else {
            return;
        };
        if let Ok(request) = first.request(RECORD) {
            assert!(serde_json::from_str::<serde_json::Value>(&request.body).unwrap().is_object());
            assert_eq!(again.request(RECORD).unwrap().body, request.body);
        }
    });
}
