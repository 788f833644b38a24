//! Inputs that nobody wrote: the corpus of a target is replayed, and then mutated for as long as was asked.
//!
//! A target is a function of bytes that must hold whatever they are; it stands beside the code that it tries. This
//! needs no nightly toolchain and no sanitizer, and is blind: it doesn't see which branch an input took. An input
//! that makes the target panic is written down, and belongs into the corpus once it is mended.

mod mutate;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Mutations of a short run.
const SHORT: u32 = 2_000;
/// Longest time of a short run: on a busy machine fewer are tried.
const SHORT_TIME: Duration = Duration::from_secs(2);
/// Longest input, so that no run is about size.
const LONGEST: usize = 8_192;

/// Tries `target` with the corpus `name` and with mutations of it: a short run with the same inputs every time, or
/// `FUZZ_SECONDS` with those of `FUZZ_SEED`.
///
/// # Panics
/// Where the target does, after the input was written down; where the corpus can't be read or is empty.
pub fn run(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let corpus = corpus(&folder);
    for input in &corpus {
        attempt(name, &target, input);
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS");
    let until = Instant::now() + seconds.map_or(SHORT_TIME, Duration::from_secs);
    let mut mutator = Mutator::new(number("FUZZ_SEED").unwrap_or(1));
    let mut tried = 0_u64;
    while Instant::now() < until && (seconds.is_some() || tried < u64::from(SHORT)) {
        let mut input = mutator.mutate(&corpus);
        input.truncate(LONGEST);
        attempt(name, &target, &input);
        tried += 1;
    }
    println!("{name}: {} of the corpus and {tried} mutations of it", corpus.len());
}

fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let read = |error: std::io::Error| -> ! { panic!("the corpus {}: {error}", folder.display()) };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| read(error))
        .map(|entry| entry.unwrap_or_else(|error| read(error)).path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus {} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap_or_else(|error| read(error))).collect()
}

#[expect(clippy::disallowed_methods, reason = "it keeps what broke a target")]
fn attempt(name: &str, target: impl Fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let mut hash = DefaultHasher::new();
        input.hash(&mut hash);
        let file = std::env::temp_dir().join(format!("fuzz-{name}-{:016x}", hash.finish()));
        match std::fs::write(&file, input) {
            Ok(()) => eprintln!("the input is in {}", file.display()),
            Err(error) => eprintln!("the input can't be written to {}: {error}", file.display()),
        }
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_breaks_the_target_is_found() {
        // Two quotation marks in a row are in no file of the corpus, and near to many.
        let found =
            catch_unwind(|| run("selftest", |input| assert!(!input.windows(2).any(|two| two == b"\"\""))));
        assert!(found.is_err());
    }
}
