//! Whether the queue can be used now, for readiness and for whoever waits until it can.

use std::time::Instant;

/// Whether the queue can be used now.
#[derive(Clone, Debug)]
pub struct Health {
    /// The way out: messages and events.
    pub publish: Line,
    /// The way in for messages; none in a process that works on no lane.
    pub work: Option<Line>,
    /// The way in for commands from outside; none in a process that doesn't read them.
    pub inbox: Option<Line>,
}

/// How one way to the broker is.
#[derive(Clone, Debug)]
pub struct Line {
    /// How it is now.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// How often it was rebuilt.
    pub rebuilt: u64,
    /// What broke it last.
    pub last_error: Option<String>,
}

/// How a way to the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Up,
    /// The broker takes no messages: it is short of memory or of disk.
    Blocked,
    /// There is no connection; it is being rebuilt.
    Down,
}

/// One of the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Publish,
    Work,
    Inbox,
}

impl Way {
    /// The word in logs and in the broker's list of connections.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Work => "work",
            Self::Inbox => "inbox",
        }
    }
}

impl Line {
    /// Whether it works.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

impl Health {
    /// Everything works.
    pub(crate) fn up(work: bool, inbox: bool) -> Self {
        let line = Line { state: State::Up, since: Instant::now(), rebuilt: 0, last_error: None };
        Self { work: work.then(|| line.clone()), inbox: inbox.then(|| line.clone()), publish: line }
    }

    /// Whether every way that this process has works.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let lines = [Some(&self.publish), self.work.as_ref(), self.inbox.as_ref()];
        lines.into_iter().flatten().all(Line::is_up)
    }

    /// How often its ways were rebuilt, taken together.
    #[must_use]
    pub fn rebuilt(&self) -> u64 {
        let lines = [Some(&self.publish), self.work.as_ref(), self.inbox.as_ref()];
        lines.into_iter().flatten().map(|line| line.rebuilt).sum()
    }

    /// Writes down how a way is now.
    pub(crate) fn note(&mut self, way: Way, state: State, error: Option<String>) {
        let line = match way {
            Way::Publish => Some(&mut self.publish),
            Way::Work => self.work.as_mut(),
            Way::Inbox => self.inbox.as_mut(),
        };
        let Some(line) = line else { return };
        if line.state == State::Down && state == State::Up {
            line.rebuilt += 1;
        }
        if line.state != state {
            line.since = Instant::now();
        }
        line.state = state;
        line.last_error = error.or_else(|| line.last_error.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_broke_says_so_until_it_is_rebuilt() {
        let mut health = Health::up(true, false);
        assert!(health.is_up() && health.inbox.is_none());
        health.note(Way::Work, State::Down, Some("gone".to_owned()));
        assert!(!health.is_up());
        health.note(Way::Work, State::Up, None);
        let work = health.work.clone().unwrap();
        assert_eq!((work.rebuilt, work.last_error.as_deref()), (1, Some("gone")));
        health.note(Way::Publish, State::Blocked, None);
        assert!(!health.is_up());
    }
}
