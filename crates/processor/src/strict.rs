//! What the provider's strict mode demands of a schema beyond being one.
//!
//! The provider would refuse every line of the batch, hours later; so it is said here, with the pointer.

use serde_json::{Map, Value};

/// Keywords that strict mode refuses.
const REFUSED: &[&str] = &[
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
];

/// Keywords that hold schemas by name.
const NAMED: &[&str] = &["properties", "$defs", "definitions"];

/// Whether the schema fits strict mode; else the pointer and what is wrong there.
pub fn check(schema: &Value) -> Result<(), (String, String)> {
    let is_object = schema.get("type").is_some_and(|kind| kind == "object");
    if !is_object || schema.get("anyOf").is_some() {
        return Err((String::new(), "the whole answer must be of type `object`, and no `anyOf`".to_owned()));
    }
    walk(schema, "")
}

fn walk(schema: &Value, at: &str) -> Result<(), (String, String)> {
    let Value::Object(keywords) = schema else {
        return Err((at.to_owned(), "strict mode takes only objects as schemas".to_owned()));
    };
    if let Some(keyword) = REFUSED.iter().find(|keyword| keywords.contains_key(**keyword)) {
        return Err((at.to_owned(), format!("strict mode knows no `{keyword}`")));
    }
    if keywords.get("$ref").and_then(Value::as_str).is_some_and(|target| !target.starts_with('#')) {
        return Err((at.to_owned(), "`$ref` may only point into the schema itself, with `#/…`".to_owned()));
    }
    object(keywords).map_err(|what| (at.to_owned(), what))?;
    for holder in NAMED {
        for (name, inner) in keywords.get(*holder).and_then(Value::as_object).into_iter().flatten() {
            let name = name.replace('~', "~0").replace('/', "~1");
            walk(inner, &format!("{at}/{holder}/{name}"))?;
        }
    }
    for (index, inner) in keywords.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate() {
        walk(inner, &format!("{at}/anyOf/{index}"))?;
    }
    keywords.get("items").map_or(Ok(()), |inner| walk(inner, &format!("{at}/items")))
}

/// An object names all that it may hold, and must hold all of it.
fn object(keywords: &Map<String, Value>) -> Result<(), String> {
    let properties = keywords.get("properties").and_then(Value::as_object);
    let is_object = match keywords.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    if !is_object && properties.is_none() {
        return Ok(());
    }
    if keywords.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("strict mode wants `\"additionalProperties\": false` in every object".to_owned());
    }
    let required = keywords.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    match properties.into_iter().flatten().find(|(name, _)| !is_required(name)) {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "strict mode wants every property in `required`, and `{name}` isn't; what may be absent is nullable instead"
        )),
    }
}
