//! Scales images for display, and writes GIFs.

use crate::error::ReportError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ddpo_picture::encode_png;
use ddpo_rollout::image::RgbImage;
use std::path::Path;

/// Averages each square of `by` x `by` pixels to one pixel. Squares at the right and bottom edges may
/// be smaller. Returns the image unchanged if `by` is 1.
pub fn shrink(image: &RgbImage, by: usize) -> RgbImage {
    if by <= 1 {
        return image.clone();
    }
    let (width, height) = (image.width().div_ceil(by), image.height().div_ceil(by));
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let rows = y * by..(y * by + by).min(image.height());
            let columns = x * by..(x * by + by).min(image.width());
            let count = (rows.len() * columns.len()).max(1);
            for channel in 0..3 {
                let at = |row: usize, column: usize| (row * image.width() + column) * 3 + channel;
                let levels = rows.clone().flat_map(|row| columns.clone().map(move |c| at(row, c)));
                let sum: usize = levels.map(|at| usize::from(image.pixels()[at])).sum();
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    sized(width, height, pixels)
}

/// Enlarges each pixel to a square of `by` x `by` pixels.
pub fn enlarge(image: &RgbImage, by: usize) -> RgbImage {
    let by = by.max(1);
    let (width, height) = (image.width() * by, image.height() * by);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let at = (y / by * image.width() + x / by) * 3;
            pixels.extend_from_slice(&image.pixels()[at..at + 3]);
        }
    }
    sized(width, height, pixels)
}

/// Returns the image as a data URI of a PNG with sides of at most `most` pixels.
///
/// # Errors
/// [`ReportError::Picture`].
pub fn data_uri(image: &RgbImage, most: usize) -> Result<String, ReportError> {
    let side = image.width().max(image.height());
    let bytes = encode_png(&shrink(image, side.div_ceil(most.max(1))))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

/// Writes frames as an endless GIF of `hundredths` of a second per frame; the last frame lasts twice
/// as long.
///
/// # Errors
/// [`ReportError::File`] if the frames are not of one size or cannot be written.
pub fn write_gif(path: &Path, frames: &[RgbImage], hundredths: u16) -> Result<(), ReportError> {
    let refused = |reason: String| ReportError::file(path, reason);
    let Some(first) = frames.first() else { return Err(refused("expected frames".into())) };
    let (width, height) = (first.width(), first.height());
    let sides = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let (columns, rows) = sides.ok_or_else(|| refused(format!("{width}x{height} is too large")))?;
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, columns, rows, &[])
        .map_err(|error| refused(error.to_string()))?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(|error| refused(error.to_string()))?;
    for (at, image) in frames.iter().enumerate() {
        if (image.width(), image.height()) != (width, height) {
            return Err(refused(format!("expected frames of {width}x{height}")));
        }
        // Speed 1 gives the best palette.
        let mut frame = gif::Frame::from_rgb_speed(columns, rows, image.pixels(), 1);
        frame.delay = if at + 1 == frames.len() { hundredths * 2 } else { hundredths };
        encoder.write_frame(&frame).map_err(|error| refused(error.to_string()))?;
    }
    drop(encoder);
    crate::files::write(path, &bytes)
}

fn sized(width: usize, height: usize, pixels: Vec<u8>) -> RgbImage {
    RgbImage::new(width, height, pixels).expect("the number of levels matches the sides")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> RgbImage {
        let levels: Vec<u8> = (0..4 * 4 * 3).map(|at| (at * 5) as u8).collect();
        RgbImage::new(4, 4, levels).unwrap()
    }

    #[test]
    fn shrinking_an_enlarged_image_restores_it() {
        let image = image();
        assert_eq!(shrink(&enlarge(&image, 3), 3), image);
        assert_eq!((shrink(&image, 3).width(), shrink(&image, 3).height()), (2, 2));
    }

    #[test]
    fn gifs_contain_all_frames_with_their_delays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.gif");
        write_gif(&path, &[image(), enlarge(&shrink(&image(), 2), 2)], 50).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut reader = gif::DecodeOptions::new().read_info(file).unwrap();
        let mut delays = Vec::new();
        while let Some(frame) = reader.read_next_frame().unwrap() {
            delays.push(frame.delay);
        }
        assert_eq!(delays, [50, 100]);
        assert!(write_gif(&path, &[], 50).is_err());
    }
}
