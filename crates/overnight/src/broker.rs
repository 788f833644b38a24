//! The way to the broker, as the configuration says it.

use std::time::Duration;

use domain::Lane;
use queue::{Options, Queue, QueueError};

use crate::config::Config;
use crate::exit::{Exit, Trouble};

/// How long one answer of the broker may take, at a start and ever after. A start has longer for all of them; a rebuild
/// that waited as long for one would cost a minute at each try.
const ANSWER: Duration = Duration::from_secs(10);

/// The queue of a role, named after it in the broker's lists. A broker that isn't there yet is waited for.
pub(crate) async fn connect(
    config: &Config,
    name: &str,
    lanes: &[Lane],
    inbox: bool,
) -> Result<Queue, Trouble> {
    let options = options(config, name, lanes, inbox);
    Queue::connect(&config.queue_url, options).await.map_err(|error| broker_trouble(&error))
}

fn options(config: &Config, name: &str, lanes: &[Lane], inbox: bool) -> Options {
    Options {
        name: format!("{} {name}", config.queue_prefix),
        prefix: config.queue_prefix.clone(),
        lanes: lanes.to_vec(),
        inbox,
        boot_timeout: config.boot,
        connect_timeout: ANSWER.min(config.boot),
        ..Options::default()
    }
}

/// What stands between us and the broker.
pub(crate) fn broker_trouble(error: &QueueError) -> Trouble {
    let trouble = Trouble::caused(exit_of(error), error);
    match error {
        // It says what to do itself.
        QueueError::Differs { .. } => trouble,
        _ => trouble.fix("check QUEUE_URL, and overnight topology apply"),
    }
}

/// What a person has to mend is told apart from what may be there in a minute.
fn exit_of(error: &QueueError) -> Exit {
    use QueueError::{Address, Differs, Forbidden, Missing, Option, Refused, Unroutable};
    match error {
        Address(_)
        | Option { .. }
        | Refused { .. }
        | Missing { .. }
        | Differs { .. }
        | Forbidden { .. }
        | Unroutable { .. } => Exit::Config,
        _ => Exit::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    #[test]
    fn a_start_waits_as_long_as_is_said_and_an_answer_no_longer_than_ten_seconds() {
        let mut config = Config::load(&Cli::parse_from(["overnight", "migrate"]).global).unwrap();
        for (boot, answer) in [(60, 10), (2, 2)] {
            config.boot = Duration::from_secs(boot);
            let options = options(&config, "poller", &[], false);
            assert_eq!(options.boot_timeout.as_secs(), boot);
            assert_eq!(options.connect_timeout.as_secs(), answer);
        }
    }
}
