//! Errors in addresses, tokens and certificates. No message contains a token or a key.

use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Errors in addresses, tokens and certificates.
#[derive(Debug, Error)]
pub enum AuthError {
    /// A file cannot be read.
    #[error("{setting} {}: {error}", path.display())]
    Unreadable {
        /// The setting of the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// A file has the wrong content.
    #[error("{setting} {}: {reason}", path.display())]
    Content {
        /// The setting of the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The mistake.
        reason: String,
    },
    /// One setting requires another.
    #[error("{setting} needs {missing}")]
    Incomplete {
        /// The setting that is set.
        setting: &'static str,
        /// The setting that is missing.
        missing: &'static str,
    },
    /// The token is not valid.
    #[error("token: {0}")]
    Token(String),
    /// Other machines can reach the address, and token or TLS is missing.
    #[error(
        "{setting} = {listen}: an address that other machines can reach needs {missing}; \
         hint: set it, or listen on 127.0.0.1, or set insecure where the network itself is closed"
    )]
    Open {
        /// The setting of the address.
        setting: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The settings that are missing.
        missing: String,
    },
    /// The address of another service is not valid.
    #[error("{address}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// The mistake.
        reason: String,
    },
    /// The port cannot be opened.
    #[error("{setting} = {listen}: {error}")]
    Listen {
        /// The setting of the address.
        setting: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The certificates do not form a TLS configuration.
    #[error("tls: {0}")]
    Tls(String),
}
