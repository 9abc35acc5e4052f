//! Pillow's resampling filters and their weights: for each position of the result, the source
//! positions with fixed-point weights of 22 fractional bits.
//!
//! Source: Pillow 12.1, `src/libImaging/Resample.c`: `precompute_coeffs`, `normalize_coeffs_8bpc`.

use std::f64::consts::PI;

use ddpo_diffusion::fields::FieldError;

/// Fractional bits of a weight: 32 minus 8 for a level and 2 for headroom.
pub const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Equal weights for all covered positions.
    Box,
    /// A triangle.
    Bilinear,
    /// A Hamming window of one lobe.
    Hamming,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// A sinc of three lobes.
    Lanczos,
}

impl Filter {
    /// Returns the filter for a value of `PIL.Image.Resampling`.
    ///
    /// # Errors
    /// [`FieldError::Unsupported`] for any other number, including nearest (0).
    pub fn of_code(code: i64) -> Result<Self, FieldError> {
        match code {
            1 => Ok(Self::Lanczos),
            2 => Ok(Self::Bilinear),
            3 => Ok(Self::Bicubic),
            4 => Ok(Self::Box),
            5 => Ok(Self::Hamming),
            other => {
                let expected = "1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)";
                Err(FieldError::unsupported("resample", expected, other))
            }
        }
    }

    /// Returns half the filter's width, in steps of the coarser grid.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            Self::Box if x > -0.5 && x <= 0.5 => 1.0,
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Hamming if distance == 0.0 => 1.0,
            Self::Hamming if distance < 1.0 => {
                let angle = distance * PI;
                angle.sin() / angle * (0.54 + 0.46 * angle.cos())
            }
            Self::Bicubic => cubic(distance),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// The source positions of one position of the result.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// First position.
    pub start: usize,
    /// Number of positions.
    pub length: usize,
}

/// Weights of a range of positions of a result.
#[derive(Clone, Debug)]
pub struct Weights {
    reaches: Vec<Reach>,
    values: Vec<i32>,
    most: usize,
}

impl Weights {
    /// Computes the weights that resample `from` positions to `to`, for the positions `places` of the
    /// result.
    pub fn new(filter: Filter, from: usize, to: usize, places: std::ops::Range<usize>) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let most = support.ceil() as usize * 2 + 1;
        let mut weights = Self {
            reaches: Vec::with_capacity(places.len()),
            values: vec![0; places.len() * most],
            most,
        };
        let mut exact = vec![0.0; most];
        for (place, values) in places.zip(weights.values.chunks_exact_mut(most)) {
            let centre = (place as f64 + 0.5) * scale;
            // Casts truncate towards zero as in C, and saturate negative numbers to zero.
            let start = ((centre - support + 0.5) as i64).max(0) as usize;
            let end = ((centre + support + 0.5) as i64).max(0) as usize;
            let length = end.min(from).saturating_sub(start).min(most);
            let mut sum = 0.0;
            for (at, weight) in exact[..length].iter_mut().enumerate() {
                *weight = filter.weight(((at + start) as f64 - centre + 0.5) * (1.0 / stretch));
                sum += *weight;
            }
            for (value, weight) in values.iter_mut().zip(&exact[..length]) {
                *value = fixed(if sum == 0.0 { *weight } else { weight / sum });
            }
            weights.reaches.push(Reach { start, length });
        }
        weights
    }

    /// Returns reach and weights of each position, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Reach, &[i32])> {
        let values = self.values.chunks_exact(self.most);
        self.reaches.iter().zip(values).map(|(reach, values)| (*reach, &values[..reach.length]))
    }

    /// Returns the range of all source positions that the result uses.
    pub fn touched(&self) -> std::ops::Range<usize> {
        let start = self.reaches.iter().map(|reach| reach.start).min().unwrap_or(0);
        let end = self.reaches.iter().map(|reach| reach.start + reach.length).max().unwrap_or(0);
        start..end
    }
}

fn fixed(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION_BITS)) as i32
}
