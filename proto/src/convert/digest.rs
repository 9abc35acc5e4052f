//! Digests: 32 bytes.

use crate::malformed::Malformed;
use bytes::Bytes;
use ddpo_rollout::trajectory::Digest;

pub(super) fn digest_from_wire(field: &'static str, bytes: &[u8]) -> Result<Digest, Malformed> {
    let found = bytes.len();
    bytes.try_into().map(Digest).map_err(|_| Malformed::DigestLength { field, found })
}

pub(super) fn digest_to_wire(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}
