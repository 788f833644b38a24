//! The data folder: one process at a time owns it, and says who it is.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::exit::{Exit, Trouble};

/// A data folder that this process owns until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    // The lock goes with the file.
    _lock: File,
}

/// Who owns a folder.
#[derive(Debug)]
pub(crate) enum Owned {
    ByUs(DataFolder),
    ByOther(String),
}

impl DataFolder {
    /// Takes the folder, making it if it isn't there; or says who has it.
    pub(crate) fn take(path: &Path, command: &str) -> Result<Owned, Trouble> {
        let refused = |what: &str, error: std::io::Error| {
            Trouble::new(Exit::Config, format!("{what} {}", path.display()))
                .why(error.to_string())
                .fix("choose a folder that can be written with --data-dir (OVERNIGHT_DATA_DIR)")
        };
        fs::create_dir_all(path).map_err(|error| refused("can't make the data folder", error))?;
        let lock = lock_path(path);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(lock);
        let mut file = opened.map_err(|error| refused("can't write in the data folder", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Owned::ByOther(owner(&mut file))),
            Err(TryLockError::Error(error)) => return Err(refused("can't lock the data folder", error)),
        }
        let owner = json!({ "pid": std::process::id(), "command": command }).to_string();
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(owner.as_bytes()));
        written.map_err(|error| refused("can't write in the data folder", error))?;
        Ok(Owned::ByUs(Self { _lock: file }))
    }
}

fn lock_path(path: &Path) -> PathBuf {
    path.join("overnight.lock")
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

/// The refusal of a command that needs the folder for itself.
pub(crate) fn taken(path: &Path, owner: &str) -> Trouble {
    Trouble::new(Exit::Config, format!("{owner} is using the data folder {}", path.display()))
        .why("one process at a time owns a data folder")
        .fix("stop it or wait for it, or use another folder with --data-dir (OVERNIGHT_DATA_DIR)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let Owned::ByUs(ours) = DataFolder::take(folder.path(), "up").unwrap() else { panic!("free") };
        let Owned::ByOther(owner) = DataFolder::take(folder.path(), "load").unwrap() else { panic!("taken") };
        assert_eq!(owner, format!("process {} (overnight up)", std::process::id()));
        drop(ours);
        assert!(matches!(DataFolder::take(folder.path(), "load").unwrap(), Owned::ByUs(_)));
    }
}
