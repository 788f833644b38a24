//! From patterns that a person typed to files, sorted, each once.
//!
//! A pattern that matches nothing is an error and not an empty job: it is nearly always a typo or the
//! wrong folder, so the message says in which folder the search began.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Why patterns don't become files.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing there.
    #[error("no file matches `{pattern}`; looked in {folder}{}", if *.exists { "" } else { ", which doesn't exist" })]
    NoMatch {
        /// As typed.
        pattern: String,
        /// Where the search began, absolute.
        folder: String,
        /// Whether that folder is there.
        exists: bool,
    },
    /// Folders only.
    #[error("`{pattern}` matches folders and no file; to take the files inside, write `{suggestion}`")]
    OnlyFolders {
        /// As typed.
        pattern: String,
        /// What was probably meant.
        suggestion: String,
    },
    /// Not a pattern.
    #[error("`{pattern}` is not a pattern: {what} (character {position})")]
    Malformed {
        /// As typed.
        pattern: String,
        /// What is wrong.
        what: &'static str,
        /// Which character, from 1.
        position: usize,
    },
    /// A folder on the way can't be listed.
    #[error("{path} can't be listed while looking for `{pattern}`; check its permissions")]
    Unreadable {
        /// As typed.
        pattern: String,
        /// The folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// The files that the patterns match, sorted, each once. `*`, `?`, `[…]` and `**` are understood; a name
/// that exists as typed is taken as it is, whatever characters it holds. Folders that a pattern matches
/// beside files are passed over.
///
/// # Errors
/// A pattern that matches no file, that isn't a pattern, or that leads through a folder which can't be
/// listed.
pub fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for pattern in patterns {
        files.append(&mut matches(pattern)?);
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    if Path::new(pattern).is_file() {
        return Ok(vec![plain(Path::new(pattern))]);
    }
    let found = glob::glob(pattern).map_err(|error| SourceError::Malformed {
        pattern: pattern.to_owned(),
        what: error.msg,
        position: error.pos + 1,
    })?;
    let (mut files, mut folders) = (Vec::new(), 0);
    for path in found {
        let path = path.map_err(|error| unreadable(pattern, error))?;
        if path.is_dir() {
            folders += 1;
        } else {
            files.push(plain(&path));
        }
    }
    match (files.is_empty(), folders) {
        (false, _) => Ok(files),
        (true, 0) => Err(no_match(pattern)),
        (true, _) => {
            let suggestion = format!("{}/*.json", pattern.trim_end_matches('/'));
            Err(SourceError::OnlyFolders { pattern: pattern.to_owned(), suggestion })
        }
    }
}

/// Without `.` parts, so that `./a.json` and `a.json` are one file.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn unreadable(pattern: &str, error: glob::GlobError) -> SourceError {
    let path = error.path().display().to_string();
    SourceError::Unreadable { pattern: pattern.to_owned(), path, source: error.into() }
}

fn no_match(pattern: &str) -> SourceError {
    let wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts: Vec<_> = Path::new(pattern).components().collect();
    let fixed = parts.iter().position(wild).unwrap_or(parts.len().saturating_sub(1));
    let relative: PathBuf = parts[..fixed].iter().collect();
    let start = if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative };
    let folder = std::path::absolute(&start).unwrap_or_else(|_| start.clone());
    SourceError::NoMatch {
        pattern: pattern.to_owned(),
        folder: folder.display().to_string(),
        exists: start.is_dir(),
    }
}

#[cfg(test)]
mod tests;
