use super::*;

fn object(properties: &str, required: &str) -> String {
    format!(
        r#"{{"type":"object","properties":{{{properties}}},"required":[{required}],"additionalProperties":false}}"#
    )
}

#[test]
fn a_schema_that_the_provider_would_refuse_is_refused_with_its_pointer() {
    let absent = "`, and no `anyOf`";
    let top = format!("at the top: the whole answer must be of type `object{absent}");
    for (schema, message) in [
        ("{".into(), "not JSON: EOF while parsing an object at line 1 column 1"),
        (
            r#"{"type":"objet"}"#.into(),
            "not a JSON Schema at /type: \"objet\" is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        (r#"{"type":"string"}"#.into(), top.as_str()),
        ("true".into(), top.as_str()),
        (
            object(r#""a":{"type":"object","properties":{},"required":[]}"#, r#""a""#),
            "at /properties/a: strict mode wants `\"additionalProperties\": false` in every object",
        ),
        (
            object(
                &format!(r#""a/b":{{"type":"array","items":{}}}"#, object(r#""c":{"type":"string"}"#, "")),
                r#""a/b""#,
            ),
            "at /properties/a~1b/items: strict mode wants every property in `required`, and `c` isn't; what may be absent \
             is nullable instead",
        ),
        (
            object(r#""a":{"anyOf":[{"type":"null"},{"oneOf":[{"type":"string"}]}]}"#, r#""a""#),
            "at /properties/a/anyOf/1: strict mode knows no `oneOf`",
        ),
        (
            object(r#""a":{"type":["object","null"]}"#, r#""a""#),
            "at /properties/a: strict mode wants `\"additionalProperties\": false` in every object",
        ),
        (
            object(r##""a":{"$ref":"#/$defs/b"}"##, r#""a""#),
            "not a usable JSON Schema at the top: Pointer '/$defs/b' does not exist",
        ),
        (
            object(r#""a":{"$ref":"https://example.com/a.json"}"#, r#""a""#),
            "at /properties/a: `$ref` may only point into the schema itself, with `#/…`",
        ),
    ] {
        assert_eq!(Schema::compile(&schema).unwrap_err(), message, "{schema}");
    }
}

#[test]
fn definitions_in_the_schema_itself_may_be_used() {
    let schema = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"required":["a"],"additionalProperties":false,
        "$defs":{"b":{"type":"integer"}}}"##;
    let schema = Schema::compile(schema).unwrap();
    assert!(schema.check(&serde_json::json!({"a": 1})).is_ok());
    assert!(schema.check(&serde_json::json!({"a": "1"})).is_err());
}

#[test]
fn the_first_violation_is_told_with_its_pointer_and_without_the_value() {
    let item = object(r#""n":{"type":"integer","maximum":9},"w":{"enum":["x","y"]}"#, r#""n","w""#);
    let schema = object(&format!(r#""items":{{"type":"array","items":{item}}}"#), r#""items""#);
    let schema = Schema::compile(&schema).unwrap();
    for (value, pointer, message) in [
        (
            r#"{"items":[{"n":1,"w":"x"},{"n":"secret","w":"x"}]}"#,
            "/items/1/n",
            "value is not of type \"integer\"",
        ),
        (r#"{"items":[{"n":10,"w":"x"}]}"#, "/items/0/n", "value is greater than the maximum of 9"),
        (r#"{"items":[{"n":1,"w":"secret"}]}"#, "/items/0/w", "value is not one of \"x\" or \"y\""),
        (r#"{"items":[{"n":1}]}"#, "/items/0", "\"w\" is a required property"),
        ("{}", "", "\"items\" is a required property"),
    ] {
        let violation = schema.check(&serde_json::from_str(value).unwrap()).unwrap_err();
        assert_eq!((violation.pointer.as_str(), violation.message.as_str()), (pointer, message), "{value}");
    }
}
