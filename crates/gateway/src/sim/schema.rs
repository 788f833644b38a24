//! A value that satisfies a JSON schema, and one that doesn't.
//!
//! It knows what structured outputs use: objects, arrays, strings, numbers, enums, `anyOf`, `$ref`, types
//! with null. Of conditions (`if`, `not`, `dependentRequired`) it knows nothing.

use serde_json::{Map, Value, json};

use super::random::Random;
use super::words::Words;
use super::{number, pattern};

/// Below this, lists stay as short as they may and a choice of null is taken, so that recursion ends.
const DEEP: usize = 8;
/// Below this, there is only null: the schema has no end.
const BOTTOM: usize = 40;
/// A list that is asked to be longer isn't.
const MAX_ITEMS: u64 = 1000;

/// Fills in a schema.
pub(super) struct Filler<'a> {
    pub(super) root: &'a Value,
    pub(super) words: &'a Words<'a>,
    pub(super) random: Random,
}

impl Filler<'_> {
    /// A value that satisfies the schema.
    pub(super) fn fill(&mut self) -> Value {
        let root = self.root;
        self.value(root, 0)
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let Value::Object(schema) = schema else {
            return json!(self.words.text("simulated", &mut self.random));
        };
        if depth > BOTTOM {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| self.resolve(path)) {
            let target = target.clone();
            return self.value(&target, depth + 1);
        }
        if let Some(only) = schema.get("const") {
            return only.clone();
        }
        if let Some(Value::Array(choices)) = schema.get("enum") {
            return self.random.pick(choices).cloned().unwrap_or_default();
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            let merged = self.merged(schema, parts);
            return self.value(&Value::Object(merged), depth + 1);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choice) = schema.get(key).and_then(Value::as_array).and_then(|all| choose(all, depth))
            {
                return self.value(&choice.clone(), depth + 1);
            }
        }
        self.typed(schema, depth)
    }

    fn typed(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        match kind(schema, depth) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => number::within(schema, true, &mut self.random),
            "number" => number::within(schema, false, &mut self.random),
            "boolean" => Value::Bool(self.random.up_to(1) == 1),
            "null" => Value::Null,
            _ => Value::String(self.string(schema)),
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let mut object = Map::new();
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, property) in properties {
                object.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        for name in required(schema)
            .filter(|name| schema.get("properties").is_none_or(|all| all.get(*name).is_none()))
        {
            let extra = schema.get("additionalProperties").cloned().unwrap_or_default();
            object.insert(name.to_owned(), self.value(&extra, depth + 1));
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or_default();
        let wished = if depth > DEEP { 0 } else { 1 + self.random.up_to(2) };
        let length = wished.max(least).min(bound("maxItems").unwrap_or(u64::MAX)).min(MAX_ITEMS);
        let first = schema.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
        let rest = schema.get("items").cloned().unwrap_or_default();
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut items: Vec<Value> = Vec::new();
        for index in 0..usize::try_from(length).unwrap_or_default() {
            let item = first.get(index).unwrap_or(&rest);
            // A few tries, for enums that run out.
            let drawn =
                (0..20).map(|_| self.value(item, depth + 1)).find(|drawn| !unique || !items.contains(drawn));
            items.extend(drawn);
        }
        Value::Array(items)
    }

    fn string(&mut self, schema: &Map<String, Value>) -> String {
        let word = |key: &str| schema.get(key).and_then(Value::as_str);
        let count =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        if let Some(text) = word("pattern").and_then(pattern::matching) {
            return text;
        }
        if let Some(text) = word("format").and_then(|format| self.formatted(format)) {
            return text;
        }
        self.words.bounded(count("minLength").unwrap_or_default(), count("maxLength"), &mut self.random)
    }

    fn formatted(&mut self, format: &str) -> Option<String> {
        Some(match format {
            "date-time" => "2000-01-01T00:00:00Z".to_owned(),
            "date" => "2000-01-01".to_owned(),
            "time" => "00:00:00Z".to_owned(),
            "duration" => "P1D".to_owned(),
            "email" => "simulated@example.com".to_owned(),
            "hostname" => "simulated.example.com".to_owned(),
            "ipv4" => "192.0.2.1".to_owned(),
            "ipv6" => "2001:db8::1".to_owned(),
            "uri" => "https://example.com/simulated".to_owned(),
            "uuid" => uuid::Builder::from_random_bytes(self.bytes()).into_uuid().to_string(),
            _ => return None,
        })
    }

    fn bytes(&mut self) -> [u8; 16] {
        let (high, low) = (u128::from(self.random.next()), u128::from(self.random.next()));
        (high << 64 | low).to_le_bytes()
    }

    fn resolve(&self, path: &str) -> Option<&Value> {
        self.root.pointer(path.strip_prefix('#')?)
    }

    /// One schema out of a schema and the parts of its `allOf`; properties and required names add up.
    fn merged(&self, schema: &Map<String, Value>, parts: &[Value]) -> Map<String, Value> {
        let mut merged = schema.clone();
        merged.remove("allOf");
        for part in parts {
            let target = part.get("$ref").and_then(Value::as_str).and_then(|path| self.resolve(path));
            let Value::Object(part) = target.unwrap_or(part) else { continue };
            for (key, value) in part {
                match (merged.get_mut(key), value) {
                    (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
                    (Some(Value::Array(old)), Value::Array(new)) if key == "required" => {
                        old.extend(new.clone());
                    }
                    (Some(_), _) => {}
                    (None, value) => drop(merged.insert(key.clone(), value.clone())),
                }
            }
        }
        merged
    }
}

/// A value that violates the schema which `answer` satisfies.
pub(super) fn broken(root: &Value, answer: Value) -> Value {
    let target =
        root.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?));
    let needed = target.unwrap_or(root).as_object().and_then(|schema| required(schema).last());
    match (answer, needed) {
        (Value::Object(mut fields), Some(name)) => {
            fields.shift_remove(name);
            Value::Object(fields)
        }
        (Value::Object(_), None) => json!("simulated"),
        _ => json!({"simulated": true}),
    }
}

/// The first choice, or the one that ends a recursion.
fn choose(choices: &[Value], depth: usize) -> Option<&Value> {
    let ending = || choices.iter().find(|choice| choice.get("type") == Some(&json!("null")));
    if depth > DEEP { ending().or_else(|| choices.first()) } else { choices.first() }
}

/// The type to write: of several the first that isn't null, of none the one that the keywords suggest.
fn kind(schema: &Map<String, Value>, depth: usize) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            if depth > DEEP && kinds.clone().any(|kind| kind == "null") {
                return "null";
            }
            kinds.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.contains_key("properties") || schema.contains_key("required") => "object",
        _ if schema.contains_key("items") || schema.contains_key("prefixItems") => "array",
        _ if schema.contains_key("minimum") || schema.contains_key("maximum") => "number",
        _ => "string",
    }
}

fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests;
