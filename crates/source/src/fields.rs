//! Fields of a JSON value by pointer, each refusal naming the pointer, what is there and what must be.

use serde_json::Value;

use crate::Invalid;

/// What an issue file looks like, for messages.
const SHAPE: &str = "an issue file holds {org, repo, issue: {number, title, body, state, labels}}";

/// A value, and what to call it when it is wrong.
pub struct Fields<'a> {
    /// The file.
    pub label: &'a str,
    /// Its whole content.
    pub root: &'a Value,
}

impl<'a> Fields<'a> {
    /// A text that is there and isn't blank.
    pub fn text(&self, pointer: &str) -> Result<&'a str, Invalid> {
        match self.root.pointer(pointer) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
            Some(Value::String(_)) => Err(self.refuse(format!("{pointer} is empty"))),
            other => Err(self.wrong(pointer, other, "a string")),
        }
    }

    /// A text, or nothing where the field is absent or null.
    pub fn optional_text(&self, pointer: &str) -> Result<Option<&'a str>, Invalid> {
        match self.root.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            other => Err(self.wrong(pointer, other, "a string or null")),
        }
    }

    /// A whole number from 1.
    pub fn positive(&self, pointer: &str) -> Result<i64, Invalid> {
        let value = self.root.pointer(pointer);
        match value.and_then(Value::as_i64) {
            Some(number) if number > 0 => Ok(number),
            Some(number) => Err(self.refuse(format!("{pointer} is {number} and must be positive"))),
            None => Err(self.wrong(pointer, value, "a positive integer")),
        }
    }

    /// The part of an identity that GitHub would take as an owner's or a repository's name: other
    /// characters would make two issues look like one.
    pub fn name(&self, pointer: &str) -> Result<&'a str, Invalid> {
        let name = self.text(pointer)?;
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
            None => Ok(name),
            Some(odd) => {
                Err(self.refuse(format!("{pointer} holds {odd:?}; letters, digits, `.`, `_`, `-` may be")))
            }
        }
    }

    /// Labels are objects with a name, since templates read `label.name`. They may be left out.
    pub fn labels(&self, pointer: &str) -> Result<(), Invalid> {
        match self.root.pointer(pointer) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Array(labels)) => {
                (0..labels.len()).try_for_each(|at| self.text(&format!("{pointer}/{at}/name")).map(drop))
            }
            other => Err(self.wrong(pointer, other, "an array")),
        }
    }

    /// No text may hold U+0000, which a database can't store.
    pub fn without_nul(&self) -> Result<(), Invalid> {
        match nul(self.root, "") {
            None => Ok(()),
            Some(pointer) => {
                let what = format!("{pointer} holds the character U+0000, which a database can't store");
                Err(Invalid::new(self.label, what, "remove the character"))
            }
        }
    }

    /// The field is absent or of the wrong type. Its closest parent that isn't an object is what to name.
    fn wrong(&self, pointer: &str, found: Option<&Value>, must: &str) -> Invalid {
        if let Some(found) = found {
            return self.refuse(format!("{pointer} is {} and must be {must}", kind(found)));
        }
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        match self.root.pointer(parent) {
            Some(Value::Object(_)) => self.refuse(format!("{pointer} is missing")),
            Some(_) if parent.is_empty() => self.refuse(format!("the file holds {}", kind(self.root))),
            parent_value => self.wrong(parent, parent_value, "an object"),
        }
    }

    fn refuse(&self, what: String) -> Invalid {
        Invalid::new(self.label, what, SHAPE)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn nul(value: &Value, pointer: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| pointer.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| nul(item, &format!("{pointer}/{at}")))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(name, field)| nul(field, &format!("{pointer}/{name}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
