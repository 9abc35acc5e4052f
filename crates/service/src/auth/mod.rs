//! Tokens and TLS: who may call a service, and how a service identifies itself.
//!
//! A service on the loopback interface needs neither. On any other address it needs a token and TLS, or
//! the setting `insecure`. Every gRPC method asks for the token, health and reflection included; probes
//! without one use the HTTP address (see [`status`](crate::status)).

pub mod certificates;
pub mod client;
pub mod error;
mod host_header;
mod http2;
pub mod password;
pub mod server;
pub mod token;
pub mod web;

pub use certificates::install_crypto_provider;
pub use client::{AuthChannel, ClientAuth, ClientAuthSettings, is_local_host};
pub use error::AuthError;
pub use host_header::names_this_machine;
pub use password::redis_password;
pub(crate) use server::is_loopback;
pub use server::{ServerAuth, ServerAuthSettings};
pub use web::WebAuth;
