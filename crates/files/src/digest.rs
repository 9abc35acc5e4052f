//! SHA-256 of streams.

use std::io::{self, Read};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Returns the SHA-256 of all bytes of `reader`, in lower-case hexadecimal.
///
/// # Errors
/// The reader's errors.
pub fn sha256_of(mut reader: impl Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut reader, &mut digest)?;
    Ok(HEXLOWER.encode(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::sha256_of;

    /// The digest of `abc` from FIPS 180-4.
    #[test]
    fn matches_the_published_example() {
        assert_eq!(
            sha256_of(&b"abc"[..]).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
