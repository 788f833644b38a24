//! How a process uses its broker. The queue inside the process needs none of it.

use std::time::Duration;

use domain::Lane;

use crate::QueueError;

/// How a process uses its broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the connections are called in the broker's lists.
    pub name: String,
    /// Every exchange and queue starts with it, so that installations and tests share a broker.
    pub prefix: String,
    /// The lanes this process works on. What isn't here is never received.
    pub lanes: Vec<Lane>,
    /// Whether this process reads commands from outside.
    pub inbox: bool,
    /// Messages of a lane that wait in this process, unclaimed. Above 1, since a quorum queue waits for
    /// each acknowledgement otherwise; small, since what waits here isn't worked on by an idle neighbour.
    pub prefetch: u16,
    /// How long a start waits for a broker that isn't there yet.
    pub boot_timeout: Duration,
    /// How long an opening or a declaration waits for the broker's answer, at a start and ever after.
    pub connect_timeout: Duration,
    /// Seconds between two signs of life; a broker that shows none for twice as long is gone.
    pub heartbeat_s: u16,
    /// How long a confirmation or an acknowledgement may take before the connection counts as lost.
    pub confirm_timeout: Duration,
    /// How long the broker may block publishing before the connection is rebuilt.
    pub blocked_timeout: Duration,
    /// Time between two looks at the topology and at consumers that hear nothing.
    pub watch_interval: Duration,
    /// A private authority that the broker's certificate comes from, as PEM. The system's are known.
    pub authority: Option<String>,
}

/// The prefix, unless another is given.
pub const PREFIX: &str = "overnight";
/// Longest prefix: the broker's names hold 255 bytes.
const LONGEST_PREFIX: usize = 100;

impl Default for Options {
    fn default() -> Self {
        Self {
            name: PREFIX.to_owned(),
            prefix: PREFIX.to_owned(),
            lanes: Vec::new(),
            inbox: false,
            prefetch: 4,
            boot_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            heartbeat_s: 30,
            confirm_timeout: Duration::from_secs(10),
            blocked_timeout: Duration::from_secs(60),
            watch_interval: Duration::from_secs(30),
            authority: None,
        }
    }
}

impl Options {
    /// # Errors
    /// The first option that can't be used.
    pub(crate) fn check(&self) -> Result<(), QueueError> {
        let refuse = |name, reason| Err(QueueError::Option { name, reason });
        check_prefix(&self.prefix)?;
        if self.prefetch < 2 {
            return refuse("prefetch", "at least 2; one message that can't be buried would stop its lane");
        }
        if self.heartbeat_s == 0 {
            return refuse("heartbeat_s", "at least 1; without it a broken line is never noticed");
        }
        let times = [
            self.boot_timeout,
            self.connect_timeout,
            self.confirm_timeout,
            self.blocked_timeout,
            self.watch_interval,
        ];
        if times.iter().any(Duration::is_zero) {
            return refuse("times", "every one must be longer than nothing");
        }
        Ok(())
    }
}

/// # Errors
/// A prefix that names of exchanges and queues can't start with.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), QueueError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // Names that start with amq. are the broker's own.
    if prefix.is_empty()
        || prefix.len() > LONGEST_PREFIX
        || !prefix.chars().all(plain)
        || prefix.starts_with("amq.")
    {
        let reason = "1 to 100 letters, digits, dots, dashes and underscores, and not amq.";
        return Err(QueueError::Option { name: "prefix", reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_stop_a_queue_are_refused() {
        let fine = Options::default;
        let cases = [
            (fine(), None),
            (Options { prefix: String::new(), ..fine() }, Some("prefix")),
            (Options { prefix: "amq.mine".to_owned(), ..fine() }, Some("prefix")),
            (Options { prefix: "a b".to_owned(), ..fine() }, Some("prefix")),
            (Options { prefetch: 1, ..fine() }, Some("prefetch")),
            (Options { heartbeat_s: 0, ..fine() }, Some("heartbeat_s")),
            (Options { confirm_timeout: Duration::ZERO, ..fine() }, Some("times")),
        ];
        for (options, expected) in cases {
            let refused = match options.check() {
                Err(QueueError::Option { name, .. }) => Some(name),
                _ => None,
            };
            assert_eq!(refused, expected, "{options:?}");
        }
    }
}
