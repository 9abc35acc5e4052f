//! HTTP/2 settings of both sides. Windows and frames are those of `ddpo_proto::transport`, which says
//! why its pings differ.

use std::time::Duration;

/// HTTP/2 window of one stream (bytes): a link of 10 ms carries 1 GB/s with it.
pub const STREAM_WINDOW: u32 = 16 << 20;
/// HTTP/2 window of a connection (bytes).
pub const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest HTTP/2 frame (bytes).
pub const FRAME: u32 = 256 << 10;
/// Largest list of headers (bytes).
pub const HEADERS: u32 = 16 << 10;
/// Time without data after which a ping is sent.
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// Longest time for the answer to a ping.
pub const PING_ANSWER: Duration = Duration::from_secs(10);
/// Longest time for a connection or a TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
