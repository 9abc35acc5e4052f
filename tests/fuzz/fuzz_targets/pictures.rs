//! Decodes bytes as an image, as stored and upright. Writes what it decodes as a PNG, which must give
//! the same pixels.

#![no_main]

use ddpo_fuzz::written;
use ddpo_picture::{MAX_PIXELS, Orientation, decode_image, encode_png, read_oriented};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(image) = decode_image(input) else { return };
    let (width, height) = (image.width(), image.height());
    assert!(width > 0 && height > 0 && width * height <= MAX_PIXELS, "{width}x{height}");
    assert_eq!(image.pixels().len(), 3 * width * height);
    if image.pixels().len() > LARGE {
        return;
    }
    let png = encode_png(&image).expect("an image with pixels");
    assert!(decode_image(&png).expect("a PNG of ours") == image);
    // Damaged EXIF data are an error or are ignored.
    if let Ok(upright) = read_oriented(&written("image", input), Orientation::Upright) {
        let sides = (upright.width(), upright.height());
        assert!(sides == (width, height) || sides == (height, width));
    }
});

/// Length in bytes above which pixels are not encoded again, to save time.
const LARGE: usize = 1 << 16;
