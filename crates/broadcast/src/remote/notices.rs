//! Listens for notices on a connection of its own, which pub/sub demands, and comes back after the
//! server was away. Notices are small and only hints: a subscriber that falls 32 MB behind is cut
//! off by Redis, and one that was away misses what was said.

use super::config::Secrets;
use futures::StreamExt;
use redis::{Client, RedisResult};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

const PING_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Listens until nobody holds a receiver any more; the count grows with each notice, and with each
/// new connection, before which notices may have been missed.
pub(super) async fn listen(
    client: Client,
    secrets: Secrets,
    channel: String,
    patience: Duration,
    count: watch::Sender<u64>,
) {
    let mut pause = FIRST_PAUSE;
    while !count.is_closed() {
        let began = Instant::now();
        if let Err(error) = listen_once(&client, &channel, patience, &count).await {
            let error = secrets.hide(&error.to_string());
            tracing::debug!(%error, "no notices for now; polling goes on");
        }
        if began.elapsed() > PING_EVERY {
            pause = FIRST_PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listen_once(
    client: &Client,
    channel: &str,
    patience: Duration,
    count: &watch::Sender<u64>,
) -> RedisResult<()> {
    let connected = timeout(patience, client.get_async_pubsub()).await;
    let (mut sink, mut stream) = connected.map_err(|_| late())??.split();
    timeout(patience, sink.subscribe(channel)).await.map_err(|_| late())??;
    count.send_modify(|count| *count += 1);
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(_) => count.send_modify(|count| *count += 1),
                None => return Ok(()),
            },
            _ = pings.tick() => {
                timeout(patience, sink.ping::<redis::Value>()).await.map_err(|_| late())??;
            }
        }
    }
}

fn late() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
