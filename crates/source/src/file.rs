//! One issue file, read whole.
//!
//! Only regular files up to a bound are opened: a pipe would wait for ever, and a dump of a whole tracker
//! is not an issue.

use std::fs;
use std::path::Path;

use crate::{Invalid, Record};

/// Largest issue file that is read, in bytes. A request line that holds more could not be sent anyway.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Reads one issue file.
///
/// # Errors
/// A file that can't be read, is empty, too large, not UTF-8, not JSON, or not an issue.
pub fn read(path: &Path) -> Result<Record, Invalid> {
    let label = path.display().to_string();
    let bytes = bytes(path, &label)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| not_utf8(&label, &bytes, error.valid_up_to()))?;
    Record::from_text(&label, text)
}

fn bytes(path: &Path, label: &str) -> Result<Vec<u8>, Invalid> {
    let unreadable =
        |error| Invalid::new(label, format!("can't be read: {error}"), "check the path and its permissions");
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(Invalid::new(label, "not a regular file", "name the issue files themselves"));
    }
    if about.len() > MAX_FILE_BYTES {
        let what = format!("{} bytes, and an issue file may have {MAX_FILE_BYTES}", about.len());
        return Err(Invalid::new(label, what, "write one issue per file"));
    }
    fs::read(path).map_err(unreadable)
}

fn not_utf8(label: &str, bytes: &[u8], valid: usize) -> Invalid {
    let (what, fix) = ("not UTF-8".to_owned(), "save the file as UTF-8".to_owned());
    let line = 1 + bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
    Invalid { path: label.to_owned(), line: Some(line), what, fix }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its files")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, content).unwrap();
        read(&path).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn a_file_that_is_not_utf_8_says_on_which_line() {
        assert_eq!(refusal(b"{\n\"org\": \"caf\xe9\"}"), "a.json, line 2: not UTF-8; save the file as UTF-8");
        assert_eq!(refusal(b"\xff\xfe{\0}\0"), "a.json, line 1: not UTF-8; save the file as UTF-8");
    }

    #[test]
    fn an_empty_file_is_not_an_issue() {
        let empty = "a.json: empty; write the issue's JSON into it, or leave the file out";
        assert_eq!(refusal(b""), empty);
        assert_eq!(refusal(b"\xef\xbb\xbf \n"), empty);
    }

    #[test]
    fn a_file_that_is_not_there_says_so() {
        let error = read(Path::new("nowhere.json")).unwrap_err().to_string();
        assert_eq!(
            error,
            "nowhere.json: can't be read: No such file or directory (os error 2); check the path and its permissions"
        );
    }

    #[test]
    fn a_folder_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert_eq!(
            (error.what.as_str(), error.fix.as_str()),
            ("not a regular file", "name the issue files themselves")
        );
    }

    #[test]
    fn a_file_past_the_bound_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().what, "67108865 bytes, and an issue file may have 67108864");
    }

    #[test]
    fn every_example_is_a_record_of_its_own() {
        let pattern = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/issues/*.json").to_owned();
        let files: Vec<PathBuf> = crate::expand(&[pattern]).unwrap();
        assert!(files.len() >= 32, "{} examples", files.len());
        let mut checker = crate::Checker::new();
        for (index, file) in files.iter().enumerate() {
            let record = read(file).unwrap();
            assert_eq!(file.file_stem().unwrap().to_str().unwrap(), record.custom_id);
            checker.check(&record.custom_id, &record.path, index, &files).unwrap();
        }
    }
}
