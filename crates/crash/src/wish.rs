//! What a test asks for: which point, at which pass, and what happens there.

use std::fmt;
use std::time::Duration;

use crate::step::Point;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The process ends as under `kill -9`.
    Abort,
    /// The task panics.
    Panic,
    /// The process stops until somebody continues it.
    Stop,
    /// The step waits.
    Sleep(Duration),
    /// The step fails; behind it, it has happened all the same.
    Fail,
}

/// A wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) point: Point,
    /// At which pass, from 1.
    pub(crate) nth: u32,
    pub(crate) mode: Mode,
}

/// A wish that can't be armed.
#[derive(Debug, PartialEq, Eq)]
pub struct BadWish(String);

impl fmt::Display for BadWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(wish) = self;
        let steps: Vec<_> = Point::ALL.iter().step_by(2).map(|point| point.step.name()).collect();
        write!(
            f,
            "{wish:?} is not a crash point; take STEP.before or STEP.after, then :N for its N-th pass, then :abort, \
             :panic, :stop, :sleep:MS or (steps of store and spool) :error; the steps are {}",
            steps.join(", ")
        )
    }
}

impl std::error::Error for BadWish {}

/// Reads `NAME`, `NAME:N` or `NAME:N:MODE`.
pub(crate) fn parse(wish: &str) -> Result<Wish, BadWish> {
    let bad = || BadWish(wish.to_owned());
    let mut parts = wish.splitn(3, ':');
    let point = parts.next().and_then(Point::of).ok_or_else(bad)?;
    let nth = parts.next().unwrap_or("1").parse().ok().filter(|nth| *nth > 0).ok_or_else(bad)?;
    let mode = match parts.next().unwrap_or("abort") {
        "abort" => Mode::Abort,
        "panic" => Mode::Panic,
        "stop" => Mode::Stop,
        "error" if point.step.can_fail() => Mode::Fail,
        other => {
            let millis = other.strip_prefix("sleep:").and_then(|millis| millis.parse().ok());
            Mode::Sleep(Duration::from_millis(millis.ok_or_else(bad)?))
        }
    };
    Ok(Wish { point, nth, mode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Side, Step};

    #[test]
    fn a_wish_names_a_point_a_pass_and_a_mode() {
        let point = Point { step: Step::ProviderCreate, side: Side::After };
        let wish = |nth, mode| Ok(Wish { point, nth, mode });
        assert_eq!(parse("provider.create.after"), wish(1, Mode::Abort));
        assert_eq!(parse("provider.create.after:2"), wish(2, Mode::Abort));
        assert_eq!(parse("provider.create.after:2:stop"), wish(2, Mode::Stop));
        assert_eq!(parse("provider.create.after:2:panic"), wish(2, Mode::Panic));
        assert_eq!(
            parse("provider.create.after:1:sleep:20"),
            wish(1, Mode::Sleep(Duration::from_millis(20)))
        );
        assert_eq!(parse("store.plan.before:3:error").map(|wish| wish.mode), Ok(Mode::Fail));
        for wish in [
            "",
            "provider.create",
            "provider.create.after:0",
            "provider.create.after:x",
            "provider.create.after:1:loudly",
            "provider.create.after:1:error",
        ] {
            assert!(parse(wish).is_err(), "{wish}");
        }
    }
}
