//! The verdict on the diversity of a run, from all kinds of features that were measured.
//!
//! Each kind of features can be misled: raw pixels by backgrounds that become more different while the
//! faces become one, contrast-normalised pixels by textures, a network's features by what the network
//! ignores. The verdict is therefore the worst one, and the remaining diversity that of the same features.

use crate::diversity::{Diversity, FEWEST, Verdict};
use serde::{Serialize, Serializer};

/// Kinds of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// Raw pixels.
    Pixels,
    /// Pixels without colour, brightness and contrast ([`contrast`](crate::contrast)).
    NormalisedPixels,
    /// CLIP's embedding or the classifier's class token, of the reward's network.
    Network,
}

impl Features {
    /// Returns the name used in files: `pixels`, `normalised_pixels` or `network`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::NormalisedPixels => "normalised_pixels",
            Self::Network => "network",
        }
    }

    /// Returns the name used in sentences.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::NormalisedPixels => "contrast-normalised pixels",
            Self::Network => "features of the reward's network",
        }
    }
}

/// Diversity over the checkpoints.
#[derive(Clone, Debug, Serialize)]
pub struct DiversityLine {
    /// Kind of features.
    pub features: Features,
    /// Number of images that are compared: of the first or the last checkpoint, whichever has fewer.
    pub samples: usize,
    /// Median distance to the nearest neighbour at the first checkpoint: the scale of the similarity.
    pub look_alike_distance: f64,
    /// One for each checkpoint.
    pub checkpoints: Vec<DiversityPoint>,
    /// Share of the first checkpoint's diversity that remains at the last.
    pub left: f64,
    /// Verdict on the last checkpoint by these features; absent for fewer than [`FEWEST`] images.
    pub verdict: Option<Verdict>,
}

/// Diversity at one checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct DiversityPoint {
    /// The checkpoint.
    pub checkpoint: String,
    /// Epochs of training.
    pub epoch: Option<u32>,
    /// The numbers.
    #[serde(flatten)]
    pub diversity: Diversity,
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The verdict on the last checkpoint, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The worst verdict of all kinds of features; absent if it is withheld.
    pub verdict: Option<Verdict>,
    /// Why the verdict is withheld, and the command that leads to one.
    pub withheld: Option<String>,
    /// The kind of features that the verdict comes from.
    pub features: Features,
    /// Share of the first checkpoint's diversity that remains, by these features.
    pub left: f64,
    /// Number of images that are compared.
    pub samples: usize,
    /// Minimum number of images for a verdict.
    pub samples_needed: usize,
    /// Whether the reward has a network whose features were not computed. The verdict is then on pixels
    /// alone.
    pub network_left_out: bool,
}

impl Judgement {
    /// Judges by the line with the worst verdict, and among those with the least remaining diversity;
    /// `None` without a comparison of two checkpoints.
    pub(crate) fn of(lines: &[DiversityLine], reward_has_network: bool) -> Option<Self> {
        let compared = lines.iter().filter(|line| line.checkpoints.len() > 1);
        let worst = compared.min_by(|one, other| {
            one.verdict.cmp(&other.verdict).then(one.left.total_cmp(&other.left))
        })?;
        let withheld = worst.verdict.is_none().then(|| {
            format!(
                "a verdict on collapse needs at least {FEWEST} images of each checkpoint, found {}; \
                 hint: ddpo report RUN --num-samples {FEWEST} --out FOLDER draws enough, and so do the \
                 evaluations of a run with num_eval_samples = {FEWEST}",
                worst.samples
            )
        });
        Some(Self {
            verdict: worst.verdict,
            withheld,
            features: worst.features,
            left: worst.left,
            samples: worst.samples,
            samples_needed: FEWEST,
            network_left_out: reward_has_network
                && lines.iter().all(|line| line.features != Features::Network),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Analysis;
    use crate::gallery::{Gallery, Shown};
    use crate::run::Run;
    use ddpo_rollout::image::RgbImage;
    use nalgebra::DMatrix;

    const SIDE: usize = 24;

    /// Pseudo-random numbers from 0 to 1 by the key of an image.
    fn drawn(key: usize, number: usize) -> f64 {
        let word = (key as u64 * 131 + number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let word = (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((word ^ (word >> 32)) >> 40) as f64 / (1 << 24) as f64
    }

    /// Draws a round face in front of a flat background. The seeds choose the features of the face and
    /// the colour of the background, which `spread` (0 to 1) moves away from grey.
    fn portrait(face: usize, background: usize, spread: f64) -> RgbImage {
        let of_face = |number: usize, low: f64, high: f64| low + (high - low) * drawn(face, number);
        let (wide, high) = (of_face(0, 5.0, 9.0), of_face(1, 6.0, 10.0));
        let (eyes, eye) = (of_face(2, 1.5, 4.0), of_face(3, 0.8, 2.2));
        let (mouth, lips) = (of_face(4, 2.0, 6.0), of_face(5, 1.0, 4.5));
        let skin = of_face(6, 0.4, 0.9);
        let middle = (SIDE / 2) as f64;
        let level = |at: usize| {
            let channel = at % 3;
            let x = (at / 3 % SIDE) as f64 - middle;
            let y = (at / 3 / SIDE) as f64 - middle;
            let in_eye = (x.abs() - eyes).hypot(y + 2.0) < eye;
            let in_mouth = x.abs() < lips && (y - mouth).abs() < 1.0;
            let value = if in_eye || in_mouth {
                of_face(7 + channel, 0.0, 0.35)
            } else if (x / wide).hypot(y / high) < 1.0 {
                skin * [1.0, 0.8, 0.65][channel]
            } else {
                0.5 + spread * (drawn(background, 20 + channel) - 0.5)
            };
            (value * 255.0).round() as u8
        };
        RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE * 3).map(level).collect()).unwrap()
    }

    fn run(reward: &str) -> Run {
        let settings = format!("reward = \"{reward}\"").parse().unwrap();
        let (epochs, evaluations) = (Vec::new(), Vec::new());
        Run { root: "run".into(), settings, epochs, evaluations }
    }

    fn shown(epoch: u32, images: Vec<RgbImage>, features: Option<DMatrix<f64>>) -> Shown {
        let name = format!("epoch-{epoch}");
        Shown { name, epoch: Some(epoch), images, scores: Vec::new(), features }
    }

    fn analysis(reward: &str, before: Shown, after: Shown) -> Analysis {
        let (columns, rewards) = (Vec::new(), Vec::new());
        let checkpoints = vec![before, after];
        let gallery = Gallery { columns, rewards, checkpoints, source: "images".into() };
        Analysis::of(&run(reward), Some(&gallery))
    }

    /// Faces and backgrounds of `count` images.
    fn set(count: usize, portrait: impl Fn(usize) -> RgbImage) -> Vec<RgbImage> {
        (0..count).map(portrait).collect()
    }

    fn verdict_by(analysis: &Analysis, features: Features) -> Option<Verdict> {
        analysis.diversity.iter().find(|line| line.features == features).unwrap().verdict
    }

    const JPEG: &str = "jpeg compressibility";

    #[test]
    fn spreading_backgrounds_do_not_hide_that_all_faces_are_one() {
        for face in 1000..1010 {
            let before = set(48, |at| portrait(at, at, 0.5));
            let after = set(48, |at| portrait(face, at + 100, 1.0));
            let found = analysis(JPEG, shown(0, before, None), shown(5, after, None));
            assert_eq!(verdict_by(&found, Features::Pixels), Some(Verdict::Kept));
            assert_eq!(verdict_by(&found, Features::NormalisedPixels), Some(Verdict::Collapsed));
            let judgement = found.judgement.unwrap();
            assert_eq!(judgement.verdict, Some(Verdict::Collapsed));
            assert_eq!((judgement.features, judgement.samples), (Features::NormalisedPixels, 48));
            assert_eq!((judgement.withheld, judgement.network_left_out), (None, false));
        }
    }

    #[test]
    fn new_faces_on_new_backgrounds_are_kept_by_all_features() {
        let before = set(48, |at| portrait(at, at, 0.5));
        let after = set(48, |at| portrait(at + 500, at + 700, 0.5));
        let found = analysis(JPEG, shown(0, before, None), shown(5, after, None));
        assert_eq!(found.diversity.len(), 2);
        assert_eq!(found.judgement.unwrap().verdict, Some(Verdict::Kept));
    }

    #[test]
    fn the_networks_features_decide_if_they_alone_collapse() {
        let images = || set(40, |at| portrait(at, at, 0.5));
        let spread =
            |scale: f64| DMatrix::from_fn(40, 8, |row, column| scale * drawn(row, 50 + column));
        let before = shown(0, images(), Some(spread(1.0)));
        let after = shown(3, images(), Some(spread(0.01)));
        let judgement = analysis("aesthetic", before, after).judgement.unwrap();
        assert_eq!(judgement.verdict, Some(Verdict::Collapsed));
        assert_eq!((judgement.features, judgement.network_left_out), (Features::Network, false));
        let without = analysis("aesthetic", shown(0, images(), None), shown(3, images(), None));
        assert!(without.judgement.unwrap().network_left_out);
    }

    #[test]
    fn withholds_the_verdict_below_32_images_and_says_how_to_get_one() {
        let judged = |count: usize| {
            let before = shown(0, set(count, |at| portrait(at, at, 0.5)), None);
            let after = shown(5, set(count, |at| portrait(7, at, 0.5)), None);
            analysis(JPEG, before, after).judgement.unwrap()
        };
        for count in [2, 31] {
            let found = judged(count);
            assert_eq!((found.verdict, found.samples), (None, count));
            let reason = found.withheld.unwrap();
            let expected =
                format!("needs at least 32 images of each checkpoint, found {count}; hint: ");
            assert!(reason.contains(&expected), "{reason}");
            assert!(reason.contains("ddpo report RUN --num-samples 32 --out FOLDER"), "{reason}");
        }
        let enough = judged(32);
        assert_eq!((enough.verdict, enough.withheld), (Some(Verdict::Collapsed), None));
    }
}
