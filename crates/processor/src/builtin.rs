//! The processors that come along. They are files like a user's own, only inside the executable.

use crate::Definition;

/// Name and text, in the order in which they are listed.
const FILES: &[(&str, &str)] = &[
    ("product-labeling", include_str!("../builtin/product-labeling.toml")),
    ("planner", include_str!("../builtin/planner.toml")),
    ("coder", include_str!("../builtin/coder.toml")),
    ("fixer", include_str!("../builtin/fixer.toml")),
    ("reviewer", include_str!("../builtin/reviewer.toml")),
];

/// The names of all that come along.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The one of that name.
#[must_use]
pub fn builtin(name: &str) -> Option<Definition> {
    builtins().find(|definition| definition.name == name)
}

/// All that come along. The texts are constants, and a test loads each.
pub fn builtins() -> impl Iterator<Item = Definition> {
    FILES.iter().filter_map(|(name, text)| Definition::from_toml(text, name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, Processor};

    #[test]
    fn each_loads_under_its_name_and_agents_take_their_own_tasks() {
        for (name, text) in FILES {
            let definition = Definition::from_toml(text, name).unwrap();
            assert_eq!(definition.name, *name);
            assert_eq!(definition.agent.map_or("product-labeling", Agent::as_str), *name);
            assert!(definition.schema.is_some(), "{name} checks its answers");
            assert!(!definition.description.is_empty());
            assert_eq!(builtin(name), Some(definition));
        }
        assert_eq!(builtin("nobody"), None);
    }

    #[test]
    fn each_renders_every_example() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/issues");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 32);
        for definition in builtins() {
            let processor = Processor::new(definition, None).unwrap();
            for file in &files {
                let text = std::fs::read_to_string(file).unwrap();
                let title = &serde_json::from_str::<serde_json::Value>(&text).unwrap()["issue"]["title"];
                let request = processor.request(&text).unwrap();
                assert!(request.prompt.contains(title.as_str().unwrap()), "{}", file.display());
            }
        }
    }

    #[test]
    fn agents_read_what_the_platform_adds_to_the_issue() {
        let record = r#"{"org":"o","repo":"r","issue":{"number":1,"title":"t"},"plan":"PLAN","diff":"DIFF",
            "failure":"FAILURE","files":[{"path":"src/a.rs","text":"FILE"}]}"#;
        for (name, read) in [
            ("planner", &["FILE"][..]),
            ("coder", &["PLAN", "FILE"]),
            ("fixer", &["DIFF", "FAILURE", "FILE"]),
            ("reviewer", &["PLAN", "DIFF"]),
        ] {
            let request = Processor::new(builtin(name).unwrap(), None).unwrap().request(record).unwrap();
            for word in read {
                assert!(request.prompt.contains(word), "{name} reads {word}");
            }
        }
    }
}
