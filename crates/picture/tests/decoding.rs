//! Decoding matches Pillow 12.1.0 (goldens by `goldens/make.py`), and errors name damaged files.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ddpo_picture::{PictureError, decode_image, read_image};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

#[test]
fn decodes_every_kind_of_file_like_pillow() {
    let text = fs::read_to_string(goldens().join("expected.json")).unwrap();
    let expected: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() >= 16);
    for (name, expected) in expected {
        let image = read_image(&goldens().join(&name)).unwrap();
        assert_eq!(image.width() as u64, expected["width"], "{name}");
        assert_eq!(image.height() as u64, expected["height"], "{name}");
        let pixels: Vec<u8> = serde_json::from_value(expected["pixels"].clone()).unwrap();
        assert!(image.pixels() == pixels, "{name}: pixels differ");
    }
}

#[test]
fn rejects_cmyk_jpegs_and_names_the_file() {
    let found = read_image(&goldens().join("refused-cmyk.jpg")).unwrap_err().to_string();
    assert!(found.contains("refused-cmyk.jpg: jpeg colour space: expected grey"), "{found}");
    assert!(found.ends_with("CMYK"), "{found}");
}

#[test]
fn truncated_files_are_errors_and_never_panic() {
    for name in ["rgb.png", "palette.png", "default.jpg", "progressive.jpg"] {
        let whole = fs::read(goldens().join(name)).unwrap();
        let end = if name.ends_with("png") { whole.len() - 16 } else { whole.len() - 2 };
        for length in 0..end {
            assert!(decode_image(&whole[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    for name in ["rgb.png", "palette.png", "grey-16.png", "default.jpg"] {
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
    let found = decode_image(b"GIF89a and more").unwrap_err().to_string();
    assert!(found.starts_with("image format: expected png or jpeg, found"), "{found}");
    assert!(matches!(decode_image(b""), Err(PictureError::Format(bytes)) if bytes.is_empty()));
}
