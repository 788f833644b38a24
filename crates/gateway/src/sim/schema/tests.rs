//! Every shape of schema is filled in so that a validator agrees, and broken so that it doesn't.

use super::*;

fn filled(schema: &Value, seed: u64) -> Value {
    let words = Words::of("The export button crashes Safari when the invoice has zero rows");
    Filler { root: schema, words: &words, random: Random::of(seed, &[]) }.fill()
}

fn schemas() -> Vec<Value> {
    let object = |properties: Value| {
        let names: Vec<String> = properties.as_object().unwrap().keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
    };
    vec![
        object(json!({
            "title": {"type": "string", "minLength": 30, "maxLength": 40},
            "tiny": {"type": "string", "maxLength": 4},
            "label": {"enum": ["bug", "feature", null]},
            "version": {"const": 3},
            "ok": {"type": "boolean"},
            "note": {"type": ["string", "null"]},
            "nothing": {"type": "null"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
            "day": {"type": "string", "format": "date"},
        })),
        object(json!({
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "open": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.01},
            "points": {"type": "integer", "minimum": 1, "maximum": 5},
            "below": {"type": "integer", "exclusiveMaximum": -3},
            "even": {"type": "integer", "multipleOf": 4, "minimum": 3, "maximum": 9},
            "any": {"type": "integer"},
        })),
        object(json!({
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "maxItems": 3, "uniqueItems": true},
            "few": {"type": "array", "items": {"type": "integer"}, "minItems": 5},
            "none": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "maxItems": 2},
            "either": {"anyOf": [object(json!({"a": {"type": "string"}})), {"type": "null"}]},
            "one": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            "both": {"allOf": [
                {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
                {"properties": {"y": {"type": "string"}}, "required": ["y"]}
            ]},
        })),
        json!({
            "$ref": "#/$defs/node",
            "$defs": {"node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
                },
                "required": ["name", "children", "next"],
                "additionalProperties": false
            }}
        }),
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        json!({"type": "object", "required": ["surprise"]}),
        json!({"type": "object"}),
        json!({"type": "string"}),
    ]
}

#[test]
fn what_is_filled_in_satisfies_its_schema() {
    for schema in schemas() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        for seed in 0..50 {
            let value = filled(&schema, seed);
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{schema}\n{value}\n{errors:?}");
        }
    }
}

#[test]
fn what_is_broken_violates_its_schema() {
    for schema in schemas() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let value = broken(&schema, filled(&schema, 1));
        assert!(!validator.is_valid(&value), "{schema}\n{value}");
    }
}

#[test]
fn text_says_that_it_is_simulated() {
    let value = filled(&json!({"type": "object", "properties": {"title": {"type": "string"}}}), 1);
    assert!(value["title"].as_str().unwrap().contains("simulated"), "{value}");
}

#[test]
fn the_same_seed_fills_in_the_same_and_another_one_doesn_t() {
    let schema = &schemas()[0];
    assert_eq!(filled(schema, 1), filled(schema, 1));
    assert_ne!(filled(schema, 1), filled(schema, 2));
}
