//! The stream of one viewer's events.

use crate::news::Viewer;
use crate::pulse::Pulse;
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a stream is silent at most: a connection that is dead is found out by writing to it.
const SILENCE: Duration = Duration::from_secs(10);

/// How soon a browser comes again after its connection broke (milliseconds).
const AGAIN_MS: u32 = 1500;

struct State {
    viewer: Viewer,
    ready: VecDeque<Bytes>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
}

/// The events for `viewer` until `stop`; each that is taken beats the `pulse` of its connection.
pub fn events(
    viewer: Viewer,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
) -> impl Stream<Item = Bytes> + Send {
    let ready = VecDeque::from([Bytes::from(format!("retry: {AGAIN_MS}\n\n"))]);
    unfold(State { viewer, ready, pulse, stop }, |mut state| async move {
        while state.ready.is_empty() {
            tokio::select! {
                // In this order, so that the last word before the end still goes out.
                biased;
                events = state.viewer.next() => state.ready.extend(events),
                () = state.stop.cancelled() => return None,
                () = tokio::time::sleep(SILENCE) => state.ready.push_back(Bytes::from_static(b":\n\n")),
            }
        }
        state.pulse.beat();
        state.ready.pop_front().map(|event| (event, state))
    })
}
