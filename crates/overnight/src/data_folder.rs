//! The data folder and the database file in it or elsewhere: one process at a time owns both, and says who it is.
//!
//! The file has a lock of its own, since two folders may name one file. Whoever doesn't own both only looks.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::exit::{Exit, Trouble};

/// A data folder, and a database file, that this process owns until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    // The locks go with the files.
    _folder: File,
    _database: Option<File>,
}

/// Who owns a folder and its database.
#[derive(Debug)]
pub(crate) enum Owned {
    ByUs(DataFolder),
    ByOther(Taken),
}

/// What another process has, and who that is.
#[derive(Debug)]
pub(crate) struct Taken {
    what: String,
    owner: String,
}

impl DataFolder {
    /// Takes the folder, making it if it isn't there, and the database file, if it is one; or says who has it.
    pub(crate) fn take(path: &Path, database: Option<&Path>, command: &str) -> Result<Owned, Trouble> {
        let way_out = "choose a folder that can be written with --data-dir (OVERNIGHT_DATA_DIR)";
        let refused = |what: &str, error: std::io::Error| {
            Trouble::new(Exit::Config, format!("{what} {}", path.display()))
                .why(error.to_string())
                .fix(way_out)
        };
        fs::create_dir_all(path).map_err(|error| refused("can't make the data folder", error))?;
        let folder = lock(&path.join("overnight.lock"), command)
            .map_err(|error| refused("can't write in the data folder", error))?;
        let folder = match folder {
            Ok(folder) => folder,
            Err(owner) => {
                let what = format!("the data folder {}", path.display());
                return Ok(Owned::ByOther(Taken { what, owner }));
            }
        };
        let Some(file) = database else {
            return Ok(Owned::ByUs(Self { _folder: folder, _database: None }));
        };
        let locked = beside(file).and_then(|place| lock(&place, command)).map_err(|error| {
            Trouble::new(Exit::Config, format!("can't write beside the database {}", file.display()))
                .why(error.to_string())
                .fix("name a file in a folder that can be written with DATABASE_URL")
        })?;
        Ok(match locked {
            Ok(database) => Owned::ByUs(Self { _folder: folder, _database: Some(database) }),
            Err(owner) => {
                let what = format!("the database {}", file.display());
                Owned::ByOther(Taken { what, owner })
            }
        })
    }
}

/// Locks a file, making it if it isn't there, and writes who we are; or says who has it.
#[expect(clippy::disallowed_methods, reason = "a lock goes with its process, whatever the file says")]
fn lock(path: &Path, command: &str) -> std::io::Result<Result<File, String>> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Err(owner(&mut file))),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let owner = json!({ "pid": std::process::id(), "command": command }).to_string();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(owner.as_bytes())?;
    Ok(Ok(file))
}

/// The lock's place beside a database, by its real path: links to one file are one file. The file itself is
/// not locked so, since closing it a second time would let go of SQLite's own locks.
fn beside(database: &Path) -> std::io::Result<PathBuf> {
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let real = match fs::canonicalize(database) {
        Ok(real) => real,
        Err(_) => std::path::absolute(database)?,
    };
    let real = match (real.parent().map(fs::canonicalize).transpose()?, real.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => real,
    };
    let mut name = real.into_os_string();
    name.push(".lock");
    Ok(PathBuf::from(name))
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let owner: Value = read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
    match (owner["pid"].as_u64(), owner["command"].as_str()) {
        (Some(pid), Some(command)) => format!("process {pid} (overnight {command})"),
        _ => "another process".to_owned(),
    }
}

impl Taken {
    /// The refusal of a command that needs it for itself.
    pub(crate) fn trouble(&self) -> Trouble {
        Trouble::new(Exit::Config, format!("{} is using {}", self.owner, self.what))
            .why("one process at a time owns a data folder, and a SQLite file")
            .fix("stop it or wait for it, or use another folder with --data-dir (OVERNIGHT_DATA_DIR), and another DATABASE_URL if one is set")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_of(owned: Owned) -> Option<String> {
        match owned {
            Owned::ByUs(_) => None,
            Owned::ByOther(taken) => Some(taken.trouble().what),
        }
    }

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let take = |command| DataFolder::take(folder.path(), None, command).unwrap();
        let ours = take("up");
        let us = format!("process {} (overnight up) is using the data folder", std::process::id());
        assert!(owner_of(take("load")).unwrap().starts_with(&us));
        drop(ours);
        assert_eq!(owner_of(take("load")), None);
    }

    #[test]
    fn a_database_has_one_owner_at_a_time_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(folder.path(), path("link")).unwrap();
        let take = |name: &str, file: &str| DataFolder::take(&path(name), Some(&path(file)), "load").unwrap();
        let ours = take("a", "shared.db");
        for other in ["shared.db", "link/shared.db", "a/../shared.db"] {
            let taken = owner_of(take("b", other)).unwrap();
            assert!(taken.contains("is using the database"), "{taken}");
        }
        assert_eq!(owner_of(take("b", "other.db")), None);
        drop(ours);
        assert_eq!(owner_of(take("b", "shared.db")), None);
        // Once it is there a link to the file itself is the file.
        #[expect(clippy::disallowed_methods, reason = "the test makes a file")]
        fs::write(path("shared.db"), "").unwrap();
        std::os::unix::fs::symlink(path("shared.db"), path("alias.db")).unwrap();
        let ours = take("a", "alias.db");
        assert!(owner_of(take("b", "shared.db")).is_some());
        drop(ours);
    }
}
