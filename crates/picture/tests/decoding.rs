//! Decoding matches Pillow 12.1.0 (goldens by `goldens/make.py`), and errors name damaged files.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ddpo_picture::{Orientation, PictureError, decode_image, read_image, read_oriented};
use ddpo_rollout::image::RgbImage;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

const MOST_KINDS: [&str; 14] = [
    "rgb.png",
    "palette.png",
    "grey-16.png",
    "default.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "lossy.webp",
    "lossless.webp",
    "animated.webp",
    "frame.gif",
    "rgb.bmp",
    "bits.bmp",
    "lzw.tif",
    "packbits.tif",
];

#[test]
fn decodes_every_kind_of_file_like_pillow() {
    let text = fs::read_to_string(goldens().join("expected.json")).unwrap();
    let expected: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() >= 32);
    for (name, expected) in expected {
        let image = read_image(&goldens().join(&name)).unwrap();
        assert_eq!(image.width() as u64, expected["width"], "{name}");
        assert_eq!(image.height() as u64, expected["height"], "{name}");
        let pixels: Vec<u8> = serde_json::from_value(expected["pixels"].clone()).unwrap();
        assert!(image.pixels() == pixels, "{name}: pixels differ");
    }
}

#[test]
fn rejects_images_with_zero_width_or_height() {
    let whole = fs::read(goldens().join("rgb.bmp")).unwrap();
    // The width is at 18, the height at 22; without a width every row has its bytes.
    for (sides, text) in [([5, 0], "5x0"), ([0, 0x7fff_ffff], "0x2147483647"), ([0, 0], "0x0")] {
        let mut bytes = whole.clone();
        bytes[18..26].copy_from_slice(&sides.map(u32::to_le_bytes).concat());
        let message = decode_image(&bytes).unwrap_err().to_string();
        assert_eq!(message, format!("image of {text} pixels: expected at least one pixel"));
    }
}

#[test]
fn truncated_files_are_errors_and_never_panic() {
    for name in MOST_KINDS {
        let whole = fs::read(goldens().join(name)).unwrap();
        // What follows the pixels: the ends of a PNG, a JPEG and a GIF, the padding of a BMP's row.
        let behind = if name.ends_with("png") { 16 } else { 3 };
        let end = whole.len() - behind;
        for length in 0..end {
            assert!(decode_image(&whole[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    for name in MOST_KINDS {
        let whole = fs::read(goldens().join(name)).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = decode_image(&damaged);
        }
    }
}

#[test]
fn rejects_headers_with_too_many_pixels() {
    let mut png = fs::read(goldens().join("rgb.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    assert!(decode_image(&png).is_err());
    let mut jpeg = fs::read(goldens().join("default.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(decode_image(&jpeg), Err(PictureError::TooLarge { .. })));
}

#[test]
fn reports_the_first_bytes_of_unknown_formats() {
    let found = decode_image(b"%PDF-1.7 and more").unwrap_err().to_string();
    let expected =
        "image format: expected png, jpeg, webp, gif, bmp or tiff, found bytes that begin";
    assert!(found.starts_with(expected), "{found}");
    assert!(matches!(decode_image(b""), Err(PictureError::Format(bytes)) if bytes.is_empty()));
}

/// Returns a TIFF file with these tags of 16 or 32 bits, and their values.
fn tiff(tags: &[(u16, u32)], data: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(u16::try_from(tags.len()).unwrap().to_le_bytes());
    for (tag, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend([4, 0, 1, 0, 0, 0]);
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend(data);
    file
}

/// Tags of an uncompressed grey image of 2 by 2 pixels, whose data follow the directory.
fn grey(tags: &[(u16, u32)]) -> Vec<u8> {
    let mut all = vec![(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 0), (278, 2)];
    for &(tag, value) in tags {
        all.retain(|(other, _)| *other != tag);
        all.push((tag, value));
    }
    all.sort_unstable();
    let start = u32::try_from(8 + 2 + 12 * all.len() + 4).unwrap();
    for (_, value) in all.iter_mut().filter(|(tag, value)| *tag == 273 && *value == 0) {
        *value = start;
    }
    tiff(&all, &[10, 20, 30, 40])
}

#[test]
fn refuses_kinds_of_tiff_by_name() {
    let image = decode_image(&grey(&[])).unwrap();
    assert_eq!(image.pixels(), [10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40]);
    for (tags, expected) in [
        (&[(259, 7)][..], "tiff: compression 7 (JPEG): expected none, LZW, deflate or PackBits"),
        (&[(259, 50000)], "tiff: compression 50000 (Zstandard): expected"),
        (&[(262, 6), (277, 3)], "tiff: photometric interpretation 6 (YCbCr) with 3 samples"),
        (&[(262, 8), (277, 3)], "tiff: photometric interpretation 8 (Lab)"),
        (&[(258, 12)], "tiff: 1 samples of [12] bits are not supported"),
        (&[(317, 3), (259, 5)], "tiff: predictor 3 is not supported"),
        (&[(256, 3)], "tiff: the file is truncated"),
        (&[(256, 0)], "image of 0x2 pixels: expected at least one pixel"),
        (&[(257, u32::MAX)], "image of 2x4294967295 pixels"),
        (&[(278, 0)], "tiff: 2x2 in parts of 2x0"),
        (&[(273, u32::MAX)], "tiff: the file is truncated"),
    ] {
        let found = decode_image(&grey(tags)).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{tags:?}: {found}");
    }
}

#[test]
fn refuses_bmp_headers_that_lie() {
    let whole = fs::read(goldens().join("rgb.bmp")).unwrap();
    for (at, bytes, expected) in [
        (14, 39_u32, "bmp: a header of 39 bytes is not supported"),
        (18, 1 << 20, "bmp: the file is truncated"),
        (18, u32::MAX, "image of 4294967295x5 pixels"),
        (28, 7, "bmp: 7 bits with masks None are not supported"),
        (30, 4, "bmp: compression 4 of 24 bits is not supported"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].copy_from_slice(&bytes.to_le_bytes());
        let found = decode_image(&damaged).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{at}: {found}");
    }
}

/// Returns a JPEG with this EXIF orientation.
fn turned_jpeg(orientation: u32) -> Vec<u8> {
    let whole = fs::read(goldens().join("full-chroma.jpeg")).unwrap();
    let exif = [b"Exif\0\0".to_vec(), tiff(&[(274, orientation)], &[])].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&whole[..2], &[0xff, 0xe1], &length, &exif, &whole[2..]].concat()
}

#[test]
fn turns_images_upright_only_if_asked() {
    let stored = read_image(&goldens().join("full-chroma.jpeg")).unwrap();
    let (width, height) = (stored.width(), stored.height());
    let pixel = |image: &RgbImage, x: usize, y: usize| {
        let at = 3 * (y * image.width() + x);
        image.pixels()[at..at + 3].to_vec()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.jpg");
    // The corner of the stored image that is at the top left of the upright one.
    let (right, bottom) = (width - 1, height - 1);
    let corners = [(0, 0), (right, 0), (right, bottom), (0, bottom)];
    let corners = corners.into_iter().chain([(0, 0), (0, bottom), (right, bottom), (right, 0)]);
    for (orientation, (x, y)) in (1..).zip(corners) {
        fs::write(&path, turned_jpeg(orientation)).unwrap();
        assert_eq!(read_image(&path).unwrap(), stored);
        let upright = read_oriented(&path, Orientation::Upright).unwrap();
        let sides = if orientation < 5 { (width, height) } else { (height, width) };
        assert_eq!((upright.width(), upright.height()), sides, "{orientation}");
        assert_eq!(pixel(&upright, 0, 0), pixel(&stored, x, y), "{orientation}");
    }
    for wrong in [0, 9, u32::MAX] {
        fs::write(&path, turned_jpeg(wrong)).unwrap();
        assert_eq!(read_oriented(&path, Orientation::Upright).unwrap(), stored);
    }
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    // Many tags with the whole file as their values, and a delta over 255 rows of four million pixels.
    let tags: Vec<(u16, u32)> = (1000..30_000).map(|tag| (tag, 0)).collect();
    let mut file = tiff(&tags, &vec![7; 1 << 22]);
    for entry in 0..tags.len() {
        file[10 + 12 * entry + 4..][..4].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    }
    assert!(decode_image(&file).is_err());
    let mut bmp = fs::read(goldens().join("palette.bmp")).unwrap();
    for (at, value) in [(18, 1_u32 << 22), (22, 1), (30, 1)] {
        bmp[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let start = u32::from_le_bytes(bmp[10..14].try_into().unwrap()) as usize;
    bmp.truncate(start);
    bmp.extend([0, 2, 0, 0, 0, 255]);
    assert_eq!(decode_image(&bmp).unwrap().pixels().len(), 3 << 22);
}
