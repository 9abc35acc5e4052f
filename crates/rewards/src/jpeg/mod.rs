//! Rewards on the size of an image as JPEG, after Black et al. 2023 (arXiv 2305.13301):
//! kilobytes (of 1000 bytes) at quality 95 with 4:2:0 chroma, byte-identical to Pillow 12.1.0's
//! `image.save(buffer, format="JPEG", quality=95)`.

mod encoder;
mod reward;

pub use encoder::{JpegEncoder, MAX_SIDE, QUALITY};
pub use reward::JpegReward;
