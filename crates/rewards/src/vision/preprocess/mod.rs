//! Image processors equivalent to transformers' `ViTImageProcessor` and `CLIPImageProcessor` (and
//! the older feature extractors), configured by `preprocessor_config.json` or `processor_config.json`.
//!
//! Source: transformers 5.8, `image_processing_backends.py` (`PilBackend`) and
//! `image_transforms.py`. Levels stay 8-bit until the last step, as in Pillow, so rescaling and
//! normalising are a table of 256 numbers for each channel.

pub mod config;
pub mod filter;
pub mod resample;

use std::thread;

use ddpo_rollout::image::RgbImage;

use crate::error::RewardError;
use crate::vision::accepted::LONGEST;
use config::{PreprocessorConfig, Size};
use resample::{Span, Window, resize};

/// Converts pictures to network inputs.
#[derive(Clone, Debug)]
pub struct ImageProcessor {
    config: PreprocessorConfig,
    /// Value of each level, for each channel.
    table: Box<[[f32; 256]; 3]>,
}

/// One side of a picture: its resized length and the part that the crop keeps.
#[derive(Clone, Copy, Debug)]
struct Side {
    resized: usize,
    /// Length of the result.
    kept: usize,
    /// First kept position of the resized side; negative if the crop is larger.
    start: isize,
}

impl Side {
    fn new(resized: usize, crop: Option<usize>) -> Self {
        let kept = crop.unwrap_or(resized);
        // Python's division rounds down, also for negative numbers.
        let start = (resized as isize - kept as isize).div_euclid(2);
        Self { resized, kept, start }
    }

    /// Returns the part of the resized side that is in the result.
    fn span(&self) -> Span {
        let start = self.start.max(0) as usize;
        let end = (self.start + self.kept as isize).clamp(0, self.resized as isize) as usize;
        Span { start, length: end.saturating_sub(start) }
    }

    /// Returns the start of that part in the result.
    fn offset(&self) -> usize {
        (-self.start).max(0) as usize
    }
}

impl ImageProcessor {
    /// Creates a processor with these settings.
    pub fn new(config: PreprocessorConfig) -> Self {
        let value = |channel: usize, level: usize| {
            let rescaled = match config.rescale_factor {
                Some(factor) => (level as f64 * factor) as f32,
                None => level as f32,
            };
            match &config.normalize {
                Some(normalize) => (rescaled - normalize.mean[channel]) / normalize.std[channel],
                None => rescaled,
            }
        };
        let channel = |channel| std::array::from_fn(|level| value(channel, level));
        let table = Box::new([channel(0), channel(1), channel(2)]);
        Self { config, table }
    }

    /// Returns width and height of the result if they are the same for every picture.
    pub fn fixed_size(&self) -> Option<(usize, usize)> {
        match (self.config.crop, self.config.size) {
            (Some([height, width]), _) | (None, Some(Size::Exact { height, width })) => {
                Some((width, height))
            }
            _ => None,
        }
    }

    /// Returns width and height of the result for a picture of `width` by `height`.
    pub fn size_for(&self, width: usize, height: usize) -> (usize, usize) {
        let [rows, columns] = self.sides(width, height);
        (columns.kept, rows.kept)
    }

    fn sides(&self, width: usize, height: usize) -> [Side; 2] {
        let (wide, high) = match self.config.size {
            None => (width, height),
            Some(Size::Exact { height, width }) => (width, height),
            Some(Size::ShortestEdge(edge)) if width <= height => {
                (edge, edge * height / width.max(1))
            }
            Some(Size::ShortestEdge(edge)) => (edge * width / height.max(1), edge),
        };
        let [crop_height, crop_width] = match self.config.crop {
            Some([height, width]) => [Some(height), Some(width)],
            None => [None, None],
        };
        [Side::new(high, crop_height), Side::new(wide, crop_width)]
    }

    /// Resizes and crops a picture, without rescaling: RGB, rows from top to bottom.
    ///
    /// # Errors
    /// [`RewardError::Picture`] for a picture without pixels, or with a resized side longer than
    /// [`LONGEST`].
    pub fn levels(&self, index: usize, image: &RgbImage) -> Result<RgbImage, RewardError> {
        let [rows, columns] = self.checked(index, image)?;
        let mut levels = vec![0; rows.kept * columns.kept * 3];
        self.fill(image, [rows, columns], |row, from, pixels| {
            let start = (row * columns.kept + from) * 3;
            levels[start..start + pixels.len()].copy_from_slice(pixels);
        });
        RgbImage::new(columns.kept, rows.kept, levels)
            .map_err(|source| RewardError::Picture { index, reason: source.to_string() })
    }

    /// Writes the network's input, f32 `[3, H, W]` of the size [`ImageProcessor::size_for`].
    ///
    /// # Errors
    /// [`RewardError::Picture`], as [`ImageProcessor::levels`], and for a buffer of another length.
    pub fn values(
        &self,
        index: usize,
        image: &RgbImage,
        out: &mut [f32],
    ) -> Result<(), RewardError> {
        let [rows, columns] = self.checked(index, image)?;
        let plane = rows.kept * columns.kept;
        if out.len() != 3 * plane {
            let reason = format!("expected room for {} values, found {}", 3 * plane, out.len());
            return Err(RewardError::Picture { index, reason });
        }
        for (channel, values) in out.chunks_exact_mut(plane.max(1)).enumerate() {
            // The padding of the crop is black before normalisation.
            if rows.span().length < rows.kept || columns.span().length < columns.kept {
                values.fill(self.table[channel][0]);
            }
        }
        self.fill(image, [rows, columns], |row, from, pixels| {
            let start = row * columns.kept + from;
            let length = pixels.len() / 3;
            for (channel, table) in self.table.iter().enumerate() {
                let line = &mut out[channel * plane + start..][..length];
                for (value, pixel) in line.iter_mut().zip(pixels.chunks_exact(3)) {
                    *value = table[usize::from(pixel[channel])];
                }
            }
        });
        Ok(())
    }

    /// Returns the inputs of several pictures, f32 `[images, 3, height, width]`, computed on up to
    /// `threads` threads.
    ///
    /// # Errors
    /// As [`ImageProcessor::values`], with the index of the first picture that fails, and
    /// [`RewardError::Thread`].
    pub fn batch(
        &self,
        images: &[RgbImage],
        (width, height): (usize, usize),
        threads: usize,
    ) -> Result<Vec<f32>, RewardError> {
        let one = 3 * width * height;
        let mut out = vec![0.0; images.len() * one];
        let share = images.len().div_ceil(threads.max(1)).max(1);
        let work = |first: usize, images: &[RgbImage], out: &mut [f32]| {
            for (at, (image, out)) in images.iter().zip(out.chunks_exact_mut(one)).enumerate() {
                self.values(first + at, image, out)?;
            }
            Ok::<_, RewardError>(())
        };
        if threads <= 1 {
            work(0, images, &mut out)?;
            return Ok(out);
        }
        let shares = images.chunks(share).zip(out.chunks_mut(share * one)).enumerate();
        thread::scope(|scope| {
            let mut spawned = Vec::new();
            for (number, (images, out)) in shares {
                let thread = thread::Builder::new()
                    .name("preprocess".to_owned())
                    .spawn_scoped(scope, move || work(number * share, images, out));
                spawned.push(thread.map_err(RewardError::Thread)?);
            }
            spawned
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| RewardError::Lost)?)
        })?;
        Ok(out)
    }

    /// Checks that a picture can be converted to the network's input.
    ///
    /// # Errors
    /// [`RewardError::Picture`], as [`ImageProcessor::values`].
    pub fn check(
        &self,
        index: usize,
        image: &RgbImage,
        size: (usize, usize),
    ) -> Result<(), RewardError> {
        let [rows, columns] = self.checked(index, image)?;
        let (width, height) = (columns.kept, rows.kept);
        if (width, height) == size {
            return Ok(());
        }
        let reason = format!(
            "image processor: expected {}x{} for the network, found {width}x{height}",
            size.0, size.1
        );
        Err(RewardError::Picture { index, reason })
    }

    fn checked(&self, index: usize, image: &RgbImage) -> Result<[Side; 2], RewardError> {
        let (width, height) = (image.width(), image.height());
        if width == 0 || height == 0 {
            let reason = format!("expected pixels, found {width}x{height}");
            return Err(RewardError::Picture { index, reason });
        }
        let sides = self.sides(width, height);
        if sides.iter().any(|side| side.resized > LONGEST || side.resized == 0) {
            let reason = format!(
                "{width}x{height} would be resized to {}x{}, expected sides of 1 to {}",
                sides[1].resized, sides[0].resized, LONGEST
            );
            return Err(RewardError::Picture { index, reason });
        }
        Ok(sides)
    }

    /// Calls `line` for each row of the result with pixels: row, first column, pixels.
    fn fill(
        &self,
        image: &RgbImage,
        [rows, columns]: [Side; 2],
        mut line: impl FnMut(usize, usize, &[u8]),
    ) {
        let window = Window {
            width: columns.resized,
            height: rows.resized,
            columns: columns.span(),
            rows: rows.span(),
        };
        let (top, left) = (rows.offset(), columns.offset());
        resize(image, self.config.filter, &window, |row, pixels| line(top + row, left, pixels));
    }
}
