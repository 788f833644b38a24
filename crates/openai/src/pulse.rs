//! The pulse of an upload: a body that goes out in small pieces, and whoever notices that none has gone out for long.
//!
//! The HTTP library's own limit begins with the request and isn't put off while the body is written: it would cut an upload that
//! moves, for being long.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::BoxError;

/// Bytes that are handed over at once: so few that a slow line takes them well within any limit, however long the chunks are.
const PIECE: usize = 64 << 10;

/// Feels whether a body moves.
pub(crate) struct Pulse(watch::Receiver<()>);

impl Pulse {
    /// A body in pieces, and its pulse: a beat for each piece that is taken.
    pub(crate) fn of(
        body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> (impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static, Self) {
        let (beat, pulse) = watch::channel(());
        let pieces = body.map_ok(|chunk| stream::iter(pieces(chunk).map(Ok))).try_flatten();
        (pieces.inspect(move |_| beat.send_replace(())), Self(pulse))
    }

    /// Ends once no piece has been taken for so long, or so long after the body has ended.
    pub(crate) async fn stopped(mut self, longest: Duration) {
        loop {
            match timeout(longest, self.0.changed()).await {
                Ok(Ok(())) => {}
                // The body has ended: from here on the answer is waited for.
                Ok(Err(_)) => return sleep(longest).await,
                Err(_) => return,
            }
        }
    }
}

fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = chunk.split_to(chunk.len().min(PIECE));
        (!piece.is_empty()).then_some(piece)
    })
}
