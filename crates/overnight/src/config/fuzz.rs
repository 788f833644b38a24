//! Whatever stands in the file and in the environment: it is a configuration, or there is trouble that says why; and
//! what is wrong with a file that can't be read is said without a secret that stands in it.

use super::*;
use crate::cli::Cli;
use clap::Parser as _;

/// Stands where secrets do, in the corpus.
const SECRET: &str = "sk-marker-7f3a9c";
/// From here on a line is a variable.
const ENVIRONMENT: &str = "=== environment\n";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test makes its files")]
fn any_configuration_is_in_force_or_refused_and_an_unreadable_one_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let arguments = ["overnight", "--config", path.to_str().unwrap(), "migrate"];
    let global = Cli::parse_from(arguments).global;
    ::fuzz::run("configuration", |bytes| {
        // Names of files are followed, and a mutation may name a device.
        if bytes.windows(4).any(|four| four == b"/dev") {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let (file, rest) = text.split_once(ENVIRONMENT).unwrap_or((&text, ""));
        std::fs::write(&path, file).unwrap();
        let variables = rest.lines().filter_map(|line| line.split_once('='));
        let environment: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (values, mut errors) = layers::read(&global, &environment);
        let readable = file.parse::<toml::Table>().is_ok();
        let mut reader = Reader { values: &values, errors: Vec::new() };
        let config = reader.config(&environment);
        errors.append(&mut reader.errors);
        assert!(config.is_some() || !errors.is_empty(), "no configuration, and nothing is wrong");
        // In a file that can't be read nobody knows what is a secret.
        for error in errors.iter().filter(|_| !readable && rest.is_empty()) {
            let shown = format!("{} {:?} {:?}", error.what, error.why, error.fix);
            assert!(!shown.contains(SECRET), "{shown}");
        }
    });
}
