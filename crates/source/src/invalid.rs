//! Why a record can't be used: what is wrong, where, and what to do about it.

/// A record that can't be used. It fails alone; the others are not touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{}: {what}; {fix}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct Invalid {
    /// The file, or whatever names the place that the record came from.
    pub path: String,
    /// The line in it, from 1, where that can be said.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Invalid {
    /// Something wrong that has no line: the whole file, or a field that its pointer names.
    pub(crate) fn new(path: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, what: what.into(), fix: fix.into() }
    }
}
