//! Resizes 8-bit pictures with levels equal to Pillow's: first along the rows, rounded to 8 bits,
//! then along the columns, rounded again.
//!
//! Source: Pillow 12.1, `src/libImaging/Resample.c`. Computes only the part of the result that is
//! kept, from only the rows that it needs.

use ddpo_rollout::image::RgbImage;

use crate::vision::preprocess::filter::{Filter, PRECISION_BITS, Weights};

/// Half a level: added before truncation, it rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// A part of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First position.
    pub start: usize,
    /// Number of positions.
    pub length: usize,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.length
    }
}

/// The size to resize to, and the part of the result to compute.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Width of the whole result.
    pub width: usize,
    /// Height of the whole result.
    pub height: usize,
    /// The wanted columns.
    pub columns: Span,
    /// The wanted rows.
    pub rows: Span,
}

/// Resizes a picture and calls `line` for each wanted row, counted from 0, with its wanted pixels.
pub fn resize(
    image: &RgbImage,
    filter: Filter,
    window: &Window,
    mut line: impl FnMut(usize, &[u8]),
) {
    let rows = (image.height() != window.height)
        .then(|| Weights::new(filter, image.height(), window.height, window.rows.range()));
    let needed = rows.as_ref().map_or(window.rows.range(), Weights::touched);
    let (narrow, stride) = along_rows(image, filter, window, needed.clone());
    let Some(rows) = rows else {
        for (row, pixels) in narrow.chunks_exact(stride.max(1)).enumerate() {
            line(row, pixels);
        }
        return;
    };
    let mut sums = vec![0_i32; stride];
    let mut pixels = vec![0_u8; stride];
    for (row, (reach, weights)) in rows.iter().enumerate() {
        sums.fill(HALF);
        let first = (reach.start - needed.start) * stride;
        let sources = narrow[first..].chunks_exact(stride.max(1));
        for (source, weight) in sources.zip(weights) {
            for (sum, level) in sums.iter_mut().zip(source) {
                *sum += i32::from(*level) * weight;
            }
        }
        for (pixel, sum) in pixels.iter_mut().zip(&sums) {
            *pixel = rounded(*sum);
        }
        line(row, &pixels);
    }
}

/// Returns the wanted columns of the picture's rows `needed`, and the length of one such row.
fn along_rows(
    image: &RgbImage,
    filter: Filter,
    window: &Window,
    needed: std::ops::Range<usize>,
) -> (Vec<u8>, usize) {
    let (length, stride) = (image.width() * 3, window.columns.length * 3);
    let rows = image.pixels().chunks_exact(length.max(1)).skip(needed.start).take(needed.len());
    let mut narrow = Vec::with_capacity(needed.len() * stride);
    if image.width() == window.width {
        let columns = window.columns.start * 3..window.columns.start * 3 + stride;
        rows.for_each(|row| narrow.extend_from_slice(&row[columns.clone()]));
        return (narrow, stride);
    }
    let weights = Weights::new(filter, image.width(), window.width, window.columns.range());
    for row in rows {
        for (reach, weights) in weights.iter() {
            let mut sum = [HALF; 3];
            let source = &row[reach.start * 3..(reach.start + reach.length) * 3];
            for (pixel, weight) in source.chunks_exact(3).zip(weights) {
                sum[0] += i32::from(pixel[0]) * weight;
                sum[1] += i32::from(pixel[1]) * weight;
                sum[2] += i32::from(pixel[2]) * weight;
            }
            narrow.extend_from_slice(&sum.map(rounded));
        }
    }
    (narrow, stride)
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
