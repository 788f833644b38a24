//! Records that can't be used: named one by one, with what is wrong and what to do. They are refused, or left
//! out where that was asked for and something is left.

use std::fmt;

use serde::Serialize;

use crate::exit::Trouble;
use crate::output::{Output, counted, len};

/// Wrong records named in a refusal; the rest are counted.
const SHOWN: usize = 10;

/// A record that can't be used, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wrong {
    place: String,
    line: Option<usize>,
    what: String,
    fix: String,
}

impl From<source::Invalid> for Wrong {
    fn from(invalid: source::Invalid) -> Self {
        Self { place: invalid.path, line: invalid.line, what: invalid.what, fix: invalid.fix }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}; {}", self.what, self.fix)
    }
}

/// The refusal of wrong records: nothing is stored.
pub(crate) fn refused(wrong: &[Wrong], way_out: &str) -> Trouble {
    let fix = format!("correct them; {way_out}");
    match wrong {
        [one] => Trouble::usage(one).fix(fix),
        _ => {
            let number = counted(len(wrong), "record", "records");
            listed(Trouble::usage(format!("{number} can't be used, and nothing was stored")), wrong).fix(fix)
        }
    }
}

/// The refusal where leaving the wrong ones out leaves nothing.
pub(crate) fn none_usable(wrong: &[Wrong]) -> Trouble {
    let number = counted(len(wrong), "record", "records");
    let trouble = Trouble::usage(format!("no record is usable: {number} left out, and nothing was stored"));
    listed(trouble, wrong).fix("correct them, or give others")
}

fn listed(mut trouble: Trouble, wrong: &[Wrong]) -> Trouble {
    for one in wrong.iter().take(SHOWN) {
        trouble = trouble.why(one.to_string());
    }
    match wrong.len().saturating_sub(SHOWN) {
        0 => trouble,
        more => trouble.why(format!("and {more} more")),
    }
}

/// Names those that are left out.
pub(crate) fn report(wrong: &[Wrong], output: &Output) {
    for wrong in wrong {
        output.note(&format!("left out: {wrong}"));
    }
}
