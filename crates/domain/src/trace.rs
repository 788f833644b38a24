//! A place in a trace, as W3C Trace Context writes it: which trace, and which step of it. It lets a job be
//! followed from what asked for it to the event that tells its end. It decides nothing.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A place in a trace; its text is a `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    trace: u128,
    step: u64,
    sampled: bool,
}

impl Trace {
    /// The beginning of a trace of something's own: its id is the trace's.
    #[must_use]
    pub fn of(id: Uuid) -> Self {
        Self { trace: id.as_u128(), step: id.as_u64_pair().1, sampled: true }
    }

    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.step, u8::from(self.sampled))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({self})")
    }
}

/// Text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct NotATrace;

impl FromStr for Trace {
    type Err = NotATrace;

    /// Reads a `traceparent` of any version: a later one may say more behind what is read here.
    fn from_str(text: &str) -> Result<Self, NotATrace> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            parts.next().filter(|part| part.len() == digits && part.bytes().all(lower)).ok_or(NotATrace)
        };
        let (version, trace, step, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(NotATrace);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NotATrace)?;
        let step = u64::from_str_radix(step, 16).map_err(|_| NotATrace)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATrace)?;
        if trace == 0 || step == 0 {
            return Err(NotATrace);
        }
        Ok(Self { trace, step, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read() {
        let trace: Trace = GIVEN.parse().unwrap();
        assert_eq!((trace.to_string().as_str(), trace.trace_id().len()), (GIVEN, 32));
        let own = Trace::of(Uuid::from_u128(0x01a2_13fc_dae8_762b_b5a0_c3a9_53d6_852d));
        assert_eq!(own.to_string(), "00-01a213fcdae8762bb5a0c3a953d6852d-b5a0c3a953d6852d-01");
        assert_eq!(own.to_string().parse(), Ok(own));
    }

    #[test]
    fn a_later_version_is_read_and_nonsense_is_not() {
        assert!(GIVEN.replacen("00", "cc", 1).parse::<Trace>().is_ok());
        assert!(format!("{}-more", GIVEN.replacen("00", "cc", 1)).parse::<Trace>().is_ok());
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let upper = GIVEN.to_uppercase();
        for text in ["", "00", zero, &upper, &format!("{GIVEN}-more"), &GIVEN.replacen("00", "ff", 1)] {
            assert_eq!(text.parse::<Trace>(), Err(NotATrace), "{text}");
        }
    }
}
