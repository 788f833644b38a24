//! The promises, tested from outside: the real binary, real files, real HTTP, a module per promise.

#![expect(clippy::disallowed_methods, reason = "a test is the person, the provider, the disk and the clock")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod audit;
mod backlog;
mod bad_input;
mod chaos;
mod cli;
mod crash;
mod economy;
mod events;
mod faults;
mod fleet;
mod fleet_away;
mod fleet_clock;
mod fleet_night;
mod inbox;
mod laptop;
mod large;
mod lost_create;
mod manners;
mod night;
mod parked;
mod platform;
mod probe;
mod proxy;
mod restored;
mod shape;
mod trace;
mod unmigrated;
mod webhook;

/// The binary under test, on a folder of its own.
fn overnight() -> testkit::Overnight {
    testkit::Overnight::new(env!("CARGO_BIN_EXE_overnight"))
}

/// The same against a stand-in of the provider at this address.
fn against(provider: &str) -> testkit::Overnight {
    overnight()
        .with("OVERNIGHT_PROVIDER", "openai")
        .with("OPENAI_API_KEY", "sk-test")
        .with("OPENAI_BASE_URL", provider)
        .with("BATCH_POLL_INTERVAL_MS", "1000")
}
