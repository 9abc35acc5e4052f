//! Doors: who may talk to a service, and how it proves who it is.
//!
//! A door is open on the loopback interface only. On any other address it wants a token and TLS,
//! or the word `insecure`. The token is asked for at every method, health and reflection included;
//! probes without one use the HTTP address (see [`status`](crate::status)).

pub mod client;
pub mod error;
pub mod password;
pub mod pem;
pub mod server;
pub mod token;
pub mod web;

pub use client::{ClientDoor, Key, KeyedChannel};
pub use error::DoorError;
pub use password::redis_password;
pub use server::{Door, DoorSettings};
pub use web::WebDoor;

use std::time::Duration;

// Windows and frames are those of `ddpo_delivery::transport`, which says why its pings differ.

/// HTTP/2 window of one stream (bytes): a link of 10 ms carries 1 GB/s with it.
const STREAM_WINDOW: u32 = 16 << 20;
/// HTTP/2 window of a connection (bytes).
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest HTTP/2 frame (bytes).
const FRAME: u32 = 256 << 10;
/// Largest list of headers (bytes).
const HEADERS: u32 = 16 << 10;
/// A silent peer is asked after this long whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(20);
/// The peer is given up when it does not answer for this long.
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Longest time that connecting or the TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Makes ring the process's TLS provider; called first thing in `main`. Where several providers
/// are compiled in, TLS would otherwise not know which to take.
pub fn install_crypto_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
