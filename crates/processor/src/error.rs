//! Why there is no processor: its file can't be read, is wrong, or nobody knows the name.

use std::io;

/// Why a processor can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The file can't be read.
    #[error("the processor file {path} can't be read; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The definition is wrong.
    #[error("{origin}{}{}: {what}", line_of(*.line), key_of(.key.as_deref()))]
    Invalid {
        /// The file, or what else names the definition.
        origin: String,
        /// The line in it, from 1, where that can be said.
        line: Option<usize>,
        /// The key.
        key: Option<String>,
        /// What is wrong.
        what: String,
    },
    /// Neither built in nor in the folder.
    #[error("no processor is called `{name}`{}; known are {known}, or give the path of a .toml file", meant(.nearest.as_deref()))]
    Unknown {
        /// As typed.
        name: String,
        /// The names there are.
        known: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
}

fn line_of(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

fn key_of(key: Option<&str>) -> String {
    key.map(|key| format!(", key `{key}`")).unwrap_or_default()
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
