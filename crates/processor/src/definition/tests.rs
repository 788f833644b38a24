use super::*;
use crate::Processor;

const GOOD: &str = r#"name = "mine"
version = 1
model = "gpt-4o-mini"
endpoint = "/v1/chat/completions"
max_output_tokens = 100
temperature = 0.5
system = "Be kind."
prompt = """
{{ issue.title }}
{{ issue.body }}
"""
schema = '{"type":"object","properties":{},"required":[],"additionalProperties":false}'
"#;

fn refusal(text: &str) -> String {
    Definition::from_toml(text, "mine.toml").unwrap_err().to_string()
}

#[test]
fn each_mistake_is_told_with_its_line_and_key() {
    for (good, bad, message) in [
        (
            "version = 1",
            "version = ",
            "mine.toml, line 2: string values must be quoted, expected literal string",
        ),
        ("name = \"mine\"\n", "", "mine.toml: missing field `name`"),
        (
            "temperature",
            "temprature",
            "mine.toml, line 6: unknown field `temprature`, expected one of `name`, `version`, `description`, `model`, \
             `endpoint`, `max_output_tokens`, `temperature`, `agent`, `system`, `prompt`, `schema`",
        ),
        (
            "version = 1",
            "version = \"1\"",
            "mine.toml, line 2, key `version`: invalid type: string \"1\", expected u32",
        ),
        ("version = 1", "version = 0", "mine.toml, line 2, key `version`: versions count from 1"),
        (
            "name = \"mine\"",
            "name = \"My own\"",
            "mine.toml, line 1, key `name`: `My own` is no name; it takes 1 to 64 of a-z, 0-9 and `-`",
        ),
        ("gpt-4o-mini", " ", "mine.toml, line 3, key `model`: empty; name the model, such as `gpt-4o-mini`"),
        (
            "/v1/chat/completions",
            "/v1/complete",
            "mine.toml, line 4, key `endpoint`: unknown variant `/v1/complete`, expected `/v1/chat/completions` or `/v1/responses`",
        ),
        ("= 100", "= 0", "mine.toml, line 5, key `max_output_tokens`: 0 tokens leave no room for an answer"),
        ("0.5", "2.5", "mine.toml, line 6, key `temperature`: outside of 0 to 2"),
        ("0.5", "nan", "mine.toml, line 6, key `temperature`: outside of 0 to 2"),
        (
            "{{ issue.body }}",
            "{% if issue.body %}",
            "mine.toml, line 8, key `prompt`: line 2 of the template: syntax error: unexpected end of input, expected end of block",
        ),
        (
            "{{ issue.body }}",
            "{{ issue.body | truncate_char(5) }}",
            "mine.toml, line 8, key `prompt`: line 2 of the template: unknown filter: filter truncate_char is unknown",
        ),
        (
            "Be kind.",
            "{{ now() }}",
            "mine.toml, line 7, key `system`: line 1 of the template: unknown function: now is unknown",
        ),
        (
            "\"additionalProperties\":false",
            "\"a\":1",
            "mine.toml, line 12, key `schema`: at the top: strict mode wants `\"additionalProperties\": false` in every object",
        ),
    ] {
        assert!(GOOD.contains(good), "{good}");
        assert_eq!(refusal(&GOOD.replacen(good, bad, 1)), message);
    }
}

#[test]
fn an_empty_prompt_is_refused() {
    let text = "name='a'\nversion=1\nmodel='m'\nendpoint='/v1/responses'\nmax_output_tokens=1\nprompt=' '\n";
    assert_eq!(refusal(text), "mine.toml, line 6, key `prompt`: empty; write the template of the question");
}

#[test]
fn a_snapshot_reads_back_as_what_it_was() {
    let definition = Definition::from_toml(GOOD, "mine.toml").unwrap();
    let snapshot = definition.to_json();
    assert_eq!(Definition::from_json(&snapshot, "job").unwrap(), definition);
    assert!(Definition::from_json(&snapshot.replace("\"version\":1", "\"version\":0"), "job").is_err());
}

#[test]
fn a_snapshot_is_what_it_was_in_the_first_version() {
    let text = "name='a'\nversion=1\nmodel='m'\nendpoint='/v1/responses'\nmax_output_tokens=1\nprompt='p'\nagent='coder'";
    let definition = Definition::from_toml(text, "a.toml").unwrap();
    insta::assert_snapshot!(definition.to_json(), @r#"{"name":"a","version":1,"model":"m","endpoint":"/v1/responses","max_output_tokens":1,"agent":"coder","prompt":"p"}"#);
}

#[test]
fn the_example_of_a_processor_of_ones_own_works() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/processors/release-note.toml");
    let definition = crate::resolve(path, None).unwrap();
    assert_eq!(definition.name, "release-note");
    let record = r#"{"org":"lumen","repo":"editor","issue":{"title":"Zoom","labels":[{"name":"bug"},{"name":"ui"}],"body":null}}"#;
    let request = Processor::new(definition, None).unwrap().request(record).unwrap();
    assert_eq!(request.prompt, "lumen/editor: Zoom\nLabel: bug\nLabel: ui\n\n");
}
