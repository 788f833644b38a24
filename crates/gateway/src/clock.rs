//! The one clock of the gateway. Nobody else asks what time it is.

/// Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the gateway's only clock")]
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}
