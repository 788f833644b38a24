//! `--set` may stand before and after the command, and all of them count.
//!
//! The parser keeps of an option that is given on both sides only the values after the command, in silence; so
//! all of them are brought to one side before it reads.

use std::ffi::OsString;

const FLAG: &str = "--set";

/// The words of a command line with every `--set` right after the program's name, in their order.
pub(crate) fn to_the_front(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut front: Vec<OsString> = words.next().into_iter().collect();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word);
            break;
        }
        if word == FLAG {
            match words.next() {
                Some(value) => front.extend([word, value]),
                // The parser says what is missing.
                None => rest.push(word),
            }
        } else if word.as_encoded_bytes().starts_with(b"--set=") {
            front.push(word);
        } else {
            rest.push(word);
        }
    }
    front.into_iter().chain(rest).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn values_on_both_sides_of_the_command_count() {
        let line = ["overnight", "--set", "A=1", "config", "--set=B=2", "show", "--set", "C=3"];
        let cli = Cli::try_parse_from(to_the_front(line.map(OsString::from))).ok().unwrap();
        assert_eq!(cli.global.set, ["A=1", "B=2", "C=3"]);
    }

    #[test]
    fn what_is_no_option_stays_and_what_is_missing_is_said() {
        let line = ["overnight", "load", "--", "--set", "x"].map(OsString::from);
        assert_eq!(to_the_front(line.clone()), line);
        let error = Cli::try_parse_from(to_the_front(["overnight", "up", "--set"].map(OsString::from)));
        assert!(error.err().unwrap().to_string().contains("--set"));
    }
}
