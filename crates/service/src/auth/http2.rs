//! HTTP/2 settings besides those of [`ddpo_proto::transport`].

use ddpo_delivery::transport::KeepAlive;
use std::time::Duration;

/// Largest list of headers (bytes).
pub const HEADERS: u32 = 16 << 10;
/// Longest time for a connection or a TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pings to detect dead peers. An uplink pings more often, because its peer holds credits and
/// trajectories.
pub const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };
