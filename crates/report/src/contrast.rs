//! Removes colour, brightness and contrast from images, so that flat or smoothly shaded backgrounds do not
//! count as diversity.
//!
//! With x the grey level of a pixel from 0 to 1 (luma of Rec. 601: 0.299 R + 0.587 G + 0.114 B),
//!
//! ```text
//!   z = (x - m) / sqrt(v + C^2)
//! ```
//!
//! where m and v are the mean and the variance (divided by n) of x over the [`WINDOW`] x [`WINDOW`] pixels
//! around the pixel, edge pixels being repeated beyond the edge, and C is [`CONTRAST`]. This is the
//! normalisation in the structure term of SSIM (Wang et al. 2004). A region of one colour becomes 0
//! whatever its colour is; a region whose standard deviation is far below C stays near 0, so that faint
//! noise does not count as texture. Of a background only its edge with the face remains.

use ddpo_rollout::image::RgbImage;

/// Side of the window in pixels.
pub const WINDOW: usize = 7;

/// The contrast (standard deviation of levels from 0 to 1) below which texture fades out: SSIM's K_2.
pub const CONTRAST: f64 = 0.03;

/// Weights of red, green and blue in the grey level.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// Returns the normalised grey levels z of an image, row by row.
pub fn normalised(image: &RgbImage) -> Vec<f64> {
    let grey = Grey::of(image);
    let value = |(at, x): (usize, &f64)| {
        let (mean, variance) = grey.moments(at % grey.width, at / grey.width);
        (x - mean) / (variance + CONTRAST * CONTRAST).sqrt()
    };
    grey.levels.iter().enumerate().map(value).collect()
}

/// The grey levels of an image.
struct Grey {
    width: usize,
    height: usize,
    levels: Vec<f64>,
}

impl Grey {
    fn of(image: &RgbImage) -> Self {
        let (pixels, _) = image.pixels().as_chunks::<3>();
        let level = |pixel: &[u8; 3]| {
            pixel.iter().zip(LUMA).map(|(level, weight)| weight * f64::from(*level)).sum::<f64>()
                / 255.0
        };
        let levels = pixels.iter().map(level).collect();
        Self { width: image.width(), height: image.height(), levels }
    }

    /// Returns the mean and the variance of the window around a pixel.
    fn moments(&self, column: usize, row: usize) -> (f64, f64) {
        let rows = around(row, self.height);
        let window =
            rows.flat_map(|row| around(column, self.width).map(move |column| (row, column)));
        let levels = window.map(|(row, column)| self.levels[row * self.width + column]);
        let count = (WINDOW * WINDOW) as f64;
        let mean = levels.clone().sum::<f64>() / count;
        let squares: f64 = levels.map(|level| (level - mean).powi(2)).sum();
        (mean, squares / count)
    }
}

/// Returns the positions of a window around `centre` on a side of `length` pixels.
fn around(centre: usize, length: usize) -> impl Iterator<Item = usize> + Clone {
    let reach = WINDOW / 2;
    (centre..=centre + 2 * reach).map(move |at| at.saturating_sub(reach).min(length - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(level: impl Fn(usize, usize, usize) -> u8) -> RgbImage {
        let at = |at: usize| level(at / 3 % 10, at / 30, at % 3);
        RgbImage::new(10, 9, (0..10 * 9 * 3).map(at).collect()).unwrap()
    }

    #[test]
    fn a_flat_image_of_any_colour_becomes_zero() {
        let flat = normalised(&image(|_, _, channel| [3, 120, 255][channel]));
        assert!(flat.iter().all(|value| value.abs() < 1e-12), "{flat:?}");
    }

    #[test]
    fn brightness_is_removed_and_contrast_far_above_the_limit() {
        let texture = |column: usize, row: usize| (column * 7 + row * 3) % 5;
        let dark = normalised(&image(|column, row, _| 20 + 10 * texture(column, row) as u8));
        let bright = normalised(&image(|column, row, _| 120 + 10 * texture(column, row) as u8));
        let strong = normalised(&image(|column, row, _| 20 + 50 * texture(column, row) as u8));
        let gap = |one: &[f64], other: &[f64]| {
            one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
        };
        assert!(gap(&dark, &bright) < 1e-12);
        assert!(gap(&dark, &strong) < 0.25, "{}", gap(&dark, &strong));
        let faint = normalised(&image(|column, row, _| 128 + (texture(column, row) > 2) as u8));
        assert!(faint.iter().all(|value| value.abs() < 0.13), "{faint:?}");
    }
}
