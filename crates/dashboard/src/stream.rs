//! The stream of one viewer's events.

use crate::idle::IdleTimer;
use crate::news::Viewer;
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest time without an event or a comment. A dead connection is detected only by a write.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Time after which a browser connects again (milliseconds).
const RETRY_MS: u32 = 1500;

struct State {
    viewer: Viewer,
    ready: VecDeque<Bytes>,
    idle: Arc<IdleTimer>,
    stop: CancellationToken,
}

/// Returns the events for `viewer` until `stop`. Each read event resets the connection's timer. The
/// events are encoded once for all viewers; axum's event type would copy them for each.
pub fn events(
    viewer: Viewer,
    idle: Arc<IdleTimer>,
    stop: CancellationToken,
) -> impl Stream<Item = Bytes> + Send {
    let ready = VecDeque::from([Bytes::from(format!("retry: {RETRY_MS}\n\n"))]);
    unfold(State { viewer, ready, idle, stop }, |mut state| async move {
        while state.ready.is_empty() {
            tokio::select! {
                // This order sends the last events before the end.
                biased;
                events = state.viewer.next() => state.ready.extend(events),
                () = state.stop.cancelled() => return None,
                () = tokio::time::sleep(KEEP_ALIVE) => state.ready.push_back(Bytes::from_static(b":\n\n")),
            }
        }
        state.idle.reset();
        state.ready.pop_front().map(|event| (event, state))
    })
}
