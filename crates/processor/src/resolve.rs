//! From what a person typed to a definition: a built-in name, a path, or a file in their own folder.

use std::path::{Path, PathBuf};

use crate::builtin::{builtin, names};
use crate::definition::Mistake;
use crate::{Definition, ProcessorError};

/// How alike two names must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.8;

/// The definition that `name` means: a path where it ends in `.toml`, else a built-in processor, else
/// `NAME.toml` in `folder`.
///
/// # Errors
/// A file that can't be read or is wrong, a file in the folder whose `name` isn't the file's or is a
/// built-in one's (which of the two is meant would be a guess), and a name that nobody knows.
pub fn resolve(name: &str, folder: Option<&Path>) -> Result<Definition, ProcessorError> {
    if is_toml(Path::new(name)) {
        return load(Path::new(name));
    }
    let own = folder.map(|folder| folder.join(format!("{name}.toml"))).filter(|path| path.is_file());
    match (builtin(name), own) {
        (Some(definition), None) => Ok(definition),
        (None, Some(path)) => own_file(name, &path),
        (Some(_), Some(path)) => Err(shadows(&path)),
        (None, None) => Err(unknown(name, folder)),
    }
}

/// The names that can be asked for: the built-in ones, then those in `folder`, sorted.
#[must_use]
pub fn known(folder: Option<&Path>) -> Vec<String> {
    let entries = folder.and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| is_toml(path));
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut own: Vec<String> = files.filter_map(stem).collect();
    own.sort_unstable();
    names().map(str::to_owned).chain(own).collect()
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn load(path: &Path) -> Result<Definition, ProcessorError> {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Definition::from_toml(&text, &origin),
        Err(source) => Err(ProcessorError::Unreadable { path: origin, source }),
    }
}

fn own_file(name: &str, path: &Path) -> Result<Definition, ProcessorError> {
    let definition = load(path)?;
    if definition.name == name {
        return Ok(definition);
    }
    let what = format!("`{}`, and the file is called {name}.toml; make them the same", definition.name);
    Err(Mistake::of("name", what).at(&path.display().to_string()))
}

fn shadows(path: &Path) -> ProcessorError {
    let what =
        "a built-in processor has this name; rename the file and its `name`, or give its path".to_owned();
    Mistake { key: None, what }.at(&path.display().to_string())
}

fn unknown(name: &str, folder: Option<&Path>) -> ProcessorError {
    let known = known(folder);
    let alike = known.iter().map(|other| (strsim::jaro_winkler(name, other), other));
    let nearest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.map(|(_, other)| other.clone());
    ProcessorError::Unknown { name: name.to_owned(), known: known.join(", "), nearest }
}

#[cfg(test)]
mod tests;
