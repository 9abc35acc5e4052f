//! Digests as the Hub and others write them.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// SHA-256 of everything that `reader` gives, in hexadecimal.
///
/// # Errors
/// Those of the reader.
pub fn sha256_of(mut reader: impl Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut reader, &mut digest)?;
    Ok(hex(&digest.finalize()))
}

/// Two small digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
