//! Records that came inside a wish: an issue names itself, anything else by the key that it was given.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use source::{Invalid, MAX_CUSTOM_ID_CHARS, Record};

use crate::intake::Item;

/// Longest key, in characters.
const MAX_KEY_CHARS: usize = 200;
/// Hexadecimal digits of the hash that ends a `custom_id` which isn't the key itself.
const HASH_DIGITS: usize = 12;

/// A record inside a wish.
#[derive(Clone, Debug, PartialEq)]
pub struct InlineRecord {
    /// Its identity in all jobs of the processor. None: the data is an issue and names itself.
    pub key: Option<String>,
    /// What the processor's template reads, a JSON object.
    pub data: Value,
    /// The line that it came on, where it came in lines.
    pub line: Option<usize>,
}

impl InlineRecord {
    /// The record as an item of a job; `at` is its place in the wish.
    pub(crate) fn item(&self, at: usize, place: u32) -> Result<Item, Invalid> {
        let label = match self.line {
            Some(line) => format!("line {line} of records"),
            None => format!("#/records/{at}"),
        };
        match &self.key {
            Some(key) => self.keyed(label, key, place),
            None => {
                let record = Record::from_value(&format!("{label}/data"), &self.data).map_err(unnamed)?;
                Ok(Item::of_issue(place, label, record))
            }
        }
    }

    fn keyed(&self, label: String, key: &str, place: u32) -> Result<Item, Invalid> {
        let wrong = |place: &str, what: &str, fix: String| {
            Err(Invalid { path: format!("{label}/{place}"), line: None, what: what.to_owned(), fix })
        };
        if key.trim().is_empty() || key.chars().count() > MAX_KEY_CHARS || key.contains(char::is_control) {
            return wrong("key", "not a key", format!("take 1 to {MAX_KEY_CHARS} visible characters"));
        }
        if !self.data.is_object() {
            return wrong("data", "not a JSON object", "templates read fields by name".to_owned());
        }
        if has_nul(&self.data) {
            return wrong(
                "data",
                "a text holds a NUL character",
                "remove it; no database keeps it".to_owned(),
            );
        }
        let payload = self.data.to_string();
        let (sha256, custom_id) = (hex(&payload), custom_id(key));
        // A name of its own, so that no key is mistaken for an issue or a backlog task.
        let key = format!("record:{key}");
        Ok(Item { place, label, key, custom_id, sha256, payload, record: None, backlog: None })
    }
}

/// Whoever sends something else than an issue hears of keys.
fn unnamed(mut invalid: Invalid) -> Invalid {
    invalid.fix.push_str("; for anything but an issue, give the record a \"key\"");
    invalid
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// The key where it can stand in a request line, else what can of it and a hash of the key.
fn custom_id(key: &str) -> String {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if key.len() <= MAX_CUSTOM_ID_CHARS && key.chars().all(may_stand) {
        return key.to_owned();
    }
    let mut id: String = key.chars().map(|c| if may_stand(c) { c } else { '_' }).collect();
    id.truncate(MAX_CUSTOM_ID_CHARS - HASH_DIGITS - 1);
    format!("{id}_{}", &hex(key)[..HASH_DIGITS])
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(key: Option<&str>, data: Value) -> Result<Item, String> {
        let record = InlineRecord { key: key.map(str::to_owned), data, line: None };
        record.item(3, 3).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_key_names_anything() {
        let named = item(Some("row-7"), json!({ "text": "x" })).unwrap();
        assert_eq!((named.key.as_str(), named.custom_id.as_str()), ("record:row-7", "row-7"));
        let odd = item(Some("über/alles"), json!({})).unwrap();
        assert!(odd.custom_id.starts_with("_ber_alles_") && odd.custom_id.len() == 23, "{}", odd.custom_id);
        let long = item(Some(&"é".repeat(200)), json!({})).unwrap();
        assert_eq!(long.custom_id.len(), MAX_CUSTOM_ID_CHARS);
    }

    #[test]
    fn an_issue_names_itself_and_nothing_else_does() {
        let issue = json!({ "org": "acme", "repo": "app", "issue": { "number": 7, "title": "t" } });
        assert_eq!(item(None, issue).unwrap().key, "acme/app#7");
        let refused = item(None, json!({ "text": "x" })).unwrap_err();
        assert!(refused.starts_with("#/records/3/data: /org"), "{refused}");
        assert!(refused.ends_with("give the record a \"key\""), "{refused}");
    }

    #[test]
    fn what_no_template_or_database_takes_is_refused_with_its_place() {
        for (key, data, place) in [
            (" ", json!({}), "#/records/3/key"),
            ("a\nb", json!({}), "#/records/3/key"),
            ("a", json!([1]), "#/records/3/data"),
            ("a", json!({ "deep": [{ "x": "\0" }] }), "#/records/3/data"),
        ] {
            let refused = item(Some(key), data).unwrap_err();
            assert!(refused.starts_with(place), "{refused}");
        }
    }
}
