//! Gaussian noise as a pure function of (run seed, purpose, epoch, sample, step): batch shape, worker and
//! arrival order cannot change a draw.
//!
//! Box-Muller transform of Philox words. Logarithm, sine and cosine are polynomials in plain f32
//! arithmetic, so that every machine gives the same bits. The tests bound their error: 2e-7, relative
//! for logarithms of magnitude above 1, otherwise absolute.

use crate::philox::{LANES, Words, blocks};
use serde::{Deserialize, Serialize};

/// The purpose of a draw. Different purposes never share a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Training trajectories.
    Rollout,
    /// Fixed evaluation samples, and `ddpo sample`.
    Evaluation,
    /// Pretraining: noise on images.
    Pretraining,
    /// Initial weights.
    Weights,
    /// Choice of the steps of a trajectory to train on.
    StepChoice,
    /// Where the window of an epoch begins.
    WindowChoice,
    /// The noise levels that the forward objective trains on.
    LevelChoice,
    /// The noise that the forward objective adds to images.
    ForwardNoise,
    /// The class of a training sample, for class-conditional models.
    ClassLabel,
    /// Anchors: samples of the pretrained model.
    Anchor,
    /// The anchors of an optimizer step, and their noise levels.
    AnchorChoice,
    /// The noise that is added to anchors.
    AnchorNoise,
}

/// The key of one tensor of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// Purpose of the draw.
    pub purpose: Purpose,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Index of the sample in the epoch.
    pub sample: u32,
    /// 0 is the initial state x_T; `k + 1` is the noise of transition `k`. Below 2^24.
    pub step: u32,
}

impl NoiseKey {
    fn upper(self) -> [u32; 3] {
        debug_assert!(self.step < 1 << 24, "step {} needs more than 24 bits", self.step);
        [(self.purpose as u32) << 24 | (self.step & 0x00FF_FFFF), self.sample, self.epoch]
    }

    /// Fills `out` with standard normal draws. Element `i` depends only on the key and `i`.
    pub fn fill_normal(self, out: &mut [f32]) {
        self.fill(out, normals);
    }

    /// Fills `out` with uniform draws from the open interval (0, 1).
    pub fn fill_uniform(self, out: &mut [f32]) {
        self.fill(out, |a, b| (a.map(unit_open), b.map(unit_open)));
    }

    fn fill(self, out: &mut [f32], pair: impl Fn(&Words, &Words) -> Pair) {
        let upper = self.upper();
        for (index, chunk) in out.chunks_mut(4 * LANES).enumerate() {
            let words = blocks(self.seed, (index * LANES) as u32, upper);
            let (first, second) = pair(&words[0], &words[1]);
            let (third, fourth) = pair(&words[2], &words[3]);
            for (position, value) in chunk.iter_mut().enumerate() {
                let lane = position / 4;
                *value = match position % 4 {
                    0 => first[lane],
                    1 => second[lane],
                    2 => third[lane],
                    _ => fourth[lane],
                };
            }
        }
    }
}

type Pair = ([f32; LANES], [f32; LANES]);

/// Maps the upper 24 bits to the middle of their cell in (0, 1).
fn unit_open(word: u32) -> f32 {
    ((word >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0)
}

/// Applies Box-Muller: the radius from `a`, the angle from `b`.
fn normals(a: &Words, b: &Words) -> Pair {
    let mut cosines = [0.0; LANES];
    let mut sines = [0.0; LANES];
    for lane in 0..LANES {
        let radius = (-2.0 * ln_unit(unit_open(a[lane]))).sqrt();
        let (sine, cosine) = sin_cos_turns((b[lane] >> 8) as f32 * (1.0 / 16_777_216.0));
        cosines[lane] = radius * cosine;
        sines[lane] = radius * sine;
    }
    (cosines, sines)
}

/// Returns ln(x) for x in (0, 1), after Cephes' `logf`: splits off the exponent, then evaluates a
/// polynomial on [sqrt(1/2), sqrt(2)).
fn ln_unit(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i32) >> 23;
    let mantissa = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(SQRT_HALF_BITS));
    let (f, e) = (mantissa - 1.0, exponent as f32);
    let f2 = f * f;
    let mut p = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * f + coefficient;
    }
    let tail = f * f2 * p + e * -2.121_944_4e-4 - 0.5 * f2;
    (f + tail) + e * 0.693_359_4
}

/// Returns (sin, cos) of 2 pi `turns` for `turns` in [0, 1): subtracts the nearest quarter exactly, then
/// evaluates Cephes' polynomials on [-pi/4, pi/4].
fn sin_cos_turns(turns: f32) -> (f32, f32) {
    let quarter = (turns * 4.0 + 0.5) as i32;
    let angle = (turns - quarter as f32 * 0.25) * std::f32::consts::TAU;
    let z = angle * angle;
    let sine = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * angle + angle;
    let cosine =
        ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    let (s, c) = if quarter & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    let s = if quarter & 2 == 0 { s } else { -s };
    let c = if (quarter + 1) & 2 == 0 { c } else { -c };
    (s, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NoiseKey =
        NoiseKey { seed: 42, purpose: Purpose::Rollout, epoch: 3, sample: 5, step: 7 };

    fn normal(key: NoiseKey, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        key.fill_normal(&mut values);
        values
    }

    #[test]
    fn polynomials_agree_with_the_exact_functions() {
        let mut worst = 0.0_f64;
        for index in 0..1_000_000_u32 {
            let u = unit_open(index.wrapping_mul(2_654_435_761));
            let ln = f64::from(u).ln();
            worst = worst.max((f64::from(ln_unit(u)) - ln).abs() / ln.abs().max(1.0));
            let (sine, cosine) = sin_cos_turns(u);
            let (s, c) = (f64::from(u) * std::f64::consts::TAU).sin_cos();
            worst = worst.max((f64::from(sine) - s).abs()).max((f64::from(cosine) - c).abs());
        }
        assert!(worst < 2e-7, "largest error {worst:e}");
    }

    #[test]
    fn moments_agree_with_the_standard_normal() {
        let values = normal(KEY, 1 << 20);
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n;
        // Five standard errors: sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n).
        assert!(moment(1).abs() < 5.0 * (1.0 / n).sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn draws_do_not_depend_on_the_requested_length() {
        assert_eq!(normal(KEY, 1000)[..77], normal(KEY, 77)[..]);
    }

    #[test]
    fn every_part_of_the_key_changes_the_draw() {
        let base = normal(KEY, 8);
        for other in [
            NoiseKey { seed: 43, ..KEY },
            NoiseKey { seed: 42 | 1 << 40, ..KEY },
            NoiseKey { purpose: Purpose::Evaluation, ..KEY },
            NoiseKey { epoch: 4, ..KEY },
            NoiseKey { sample: 6, ..KEY },
            NoiseKey { step: 8, ..KEY },
        ] {
            assert_ne!(base, normal(other, 8), "{other:?}");
        }
    }

    /// A change of the stream would invalidate every recorded run.
    #[test]
    fn stream_equals_the_recorded_bits() {
        let bits: Vec<u32> = normal(KEY, 4).iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, PINNED);
    }

    const PINNED: [u32; 4] = [1_029_089_601, 3_208_879_447, 1_069_296_525, 1_072_445_569];
}
