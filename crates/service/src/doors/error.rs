//! What can be wrong with a door. No message holds a token or a key.

use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why a door cannot be opened.
#[derive(Debug, Error)]
pub enum DoorError {
    /// A file cannot be read.
    #[error("{setting} {}: {error}", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{setting} {}: {reason}", path.display())]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One setting asks for another.
    #[error("{setting} needs {missing}")]
    Incomplete {
        /// The setting that is there.
        setting: &'static str,
        /// The setting that is not.
        missing: &'static str,
    },
    /// The token cannot be used.
    #[error("token: {0}")]
    Token(String),
    /// The address can be reached from other machines, and the door would stand open.
    #[error(
        "{setting} = {listen}: an address that other machines can reach needs {missing}; \
         hint: set it, or listen on 127.0.0.1, or set insecure where the network itself is closed"
    )]
    Open {
        /// The setting that gives it.
        setting: &'static str,
        /// The address.
        listen: SocketAddr,
        /// The settings that are not there.
        missing: String,
    },
    /// The address of another service cannot be used.
    #[error("{address}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("{setting} = {listen}: {error}")]
    Listen {
        /// The setting that gives it.
        setting: &'static str,
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The parts do not make a TLS configuration together.
    #[error("tls: {0}")]
    Tls(String),
}
