//! The diversity term: how similar each sample of an epoch is to the others.
//!
//! With d the distance of two images and h the median distance of all pairs, the similarity of sample i is
//! the mean over the other samples j of
//!
//! ```text
//!   k(i, j) = exp(-d(i, j)^2 / (2 h^2))
//! ```
//!
//! It is high for a sample among many like it and low for one that is unlike the others. The mean over all
//! pairs is a property of the set, and its policy gradient is that of a reward of -2 times the similarity
//! of each sample. h is the epoch's, so the term keeps its strength as samples become more alike.
//!
//! Distances are Euclidean, of two features at sides of at most 32 pixels: pixels, and grey levels
//! without brightness and contrast (the structure term of SSIM, Wang et al. 2004). The similarity is the
//! mean of both: either alone could be raised by backgrounds, or by texture.

use crate::groups::groups;
use ddpo_rollout::trajectory::{Trajectory, decode};
use tch::{Kind, Tensor};

/// Maximum side that images are averaged down to.
const SIDE: i64 = 32;

/// Side of the window of contrast normalisation, in pixels.
const WINDOW: i64 = 7;

/// The contrast below which texture fades out, with levels from 0 to 1.
const CONTRAST: f64 = 0.03;

/// Weights of red, green and blue in the grey level (Rec. 601).
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// Returns the similarity of each trajectory's image to the others of its class, from 0 to 1, in the order
/// of `trajectories`; 0 for the only sample of a class. `classes` has the class of each sample; it is empty
/// for a model without classes.
pub fn similarities(trajectories: &[&Trajectory], classes: &[u32]) -> Vec<f64> {
    let features: Vec<_> = trajectories.iter().map(|one| features_of(&levels(one))).collect();
    similarities_of(&features, classes)
}

/// Returns the similarities of samples with these features.
fn similarities_of(features: &[[Tensor; 2]], classes: &[u32]) -> Vec<f64> {
    let mut found = vec![0.0; features.len()];
    for group in groups(features.len(), features.len(), classes) {
        if group.samples.len() < 2 {
            continue;
        }
        let kind = |kind: usize| {
            let rows: Vec<&Tensor> =
                group.samples.iter().map(|&sample| &features[sample][kind]).collect();
            mean_similarities(&Tensor::stack(&rows, 0))
        };
        let (pixels, structure) = (kind(0), kind(1));
        let both = pixels.iter().zip(&structure).map(|(one, other)| (one + other) / 2.0);
        group.put(both, &mut found);
    }
    found
}

/// Returns clip(A - c (s - mean s), -clip, clip) for each sample: its advantage A, unclipped, less `coef` times
/// its similarity s relative to the mean of its class.
pub fn less_similarity(
    advantages: Vec<f32>,
    similarities: &[f64],
    classes: &[u32],
    coef: f64,
    clip: f64,
) -> Vec<f32> {
    let mut found = advantages;
    for group in groups(found.len(), found.len(), classes) {
        let of_group = group.of(similarities);
        let mean = of_group.iter().sum::<f64>() / of_group.len() as f64;
        for (&sample, similarity) in group.samples.iter().zip(of_group) {
            let advantage = f64::from(found[sample]) - coef * (similarity - mean);
            found[sample] = advantage.clamp(-clip, clip) as f32;
        }
    }
    found
}

/// Returns a trajectory's image x_0, levels from 0 to 1, f64 `[1, C, H, W]` on the host.
fn levels(trajectory: &Trajectory) -> Tensor {
    let header = trajectory.header();
    // The checks before the epoch have verified that the image is present.
    let image = trajectory.state(header.timesteps.len()).map_or(&[][..], |state| state);
    let values: Vec<f32> = decode(image, header.dtype).into_iter().collect();
    let shape = header.shape;
    let size = [1, shape.channels, shape.height, shape.width].map(|side| side as i64);
    let levels = Tensor::from_slice(&values).view(size).to_kind(Kind::Double);
    levels.clamp(-1.0, 1.0) * 0.5 + 0.5
}

/// Returns the features of an image, `[1, C, H, W]`, f64 `[D]` each: pixels, and grey levels without
/// brightness and contrast.
fn features_of(levels: &Tensor) -> [Tensor; 2] {
    let size = levels.size();
    let by = (size[2].max(size[3]) + SIDE - 1) / SIDE;
    let small = levels.avg_pool2d([by, by], [by, by], [0, 0], true, false, None::<i64>);
    let grey = match size[1] {
        3 => (&small * Tensor::from_slice(&LUMA).view([1, 3, 1, 1])).sum_dim_intlist(
            [1_i64].as_slice(),
            true,
            None::<Kind>,
        ),
        _ => small.mean_dim([1_i64].as_slice(), true, None::<Kind>),
    };
    [small.flatten(0, -1), structure(&grey).flatten(0, -1)]
}

/// Returns (x - m) / sqrt(v + C^2) with the mean m and the variance v of the window around each pixel of
/// `grey`, `[1, 1, H, W]`; edge pixels are repeated beyond the edge.
fn structure(grey: &Tensor) -> Tensor {
    let reach = WINDOW / 2;
    let window = |values: &Tensor| {
        values.replication_pad2d([reach; 4]).avg_pool2d(
            [WINDOW, WINDOW],
            [1, 1],
            [0, 0],
            false,
            false,
            None::<i64>,
        )
    };
    let mean = window(grey);
    let variance = (window(&grey.square()) - mean.square()).clamp_min(0.0);
    (grey - mean) / (variance + CONTRAST * CONTRAST).sqrt()
}

/// Returns the mean similarity of each row of `features`, f64 `[N, D]`, to the other rows.
fn mean_similarities(features: &Tensor) -> Vec<f64> {
    let count = features.size()[0];
    let rows = features - features.mean_dim([0_i64].as_slice(), true, None::<Kind>);
    let products = rows.matmul(&rows.transpose(0, 1));
    let norms = products.diag(0);
    let squares = (norms.unsqueeze(0) + norms.unsqueeze(1) - products * 2.0).clamp_min(0.0);
    let pairs = Tensor::ones([count, count], (Kind::Bool, squares.device())).triu(1);
    let scale = (squares.masked_select(&pairs).median() * 2.0).clamp_min(f64::MIN_POSITIVE);
    let kernel = (squares.neg() / scale).exp();
    let sums = kernel.sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>) - 1.0;
    let means = sums / (count - 1) as f64;
    Vec::try_from(means).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: i64 = 12;

    /// A grey image with a bright square whose corner is at `x`, `y`, on a background of `level`.
    fn square(x: i64, y: i64, level: f64) -> Tensor {
        let image = Tensor::full([1, 3, SIDE, SIDE], level, (Kind::Double, tch::Device::Cpu));
        let _ = image.narrow(2, y, 4).narrow(3, x, 4).fill_(level + 0.4);
        image
    }

    fn of(images: &[Tensor], classes: &[u32]) -> Vec<f64> {
        let features: Vec<_> = images.iter().map(features_of).collect();
        similarities_of(&features, classes)
    }

    #[test]
    fn a_sample_unlike_the_others_has_the_lowest_similarity() {
        let images = [square(1, 1, 0.2), square(1, 1, 0.2), square(1, 2, 0.2), square(7, 6, 0.2)];
        let found = of(&images, &[]);
        assert!((found[0] - found[1]).abs() < 1e-12, "{found:?}");
        assert!(found[3] < found[2] && found[2] < found[0], "{found:?}");
        assert!(found.iter().all(|one| (0.0..=1.0).contains(one)), "{found:?}");
    }

    /// Distances of three rows on a line: 1, 2 and 3, whose median is 2, so 2 h^2 = 8.
    #[test]
    fn the_similarities_of_three_rows_are_those_by_hand() {
        let rows = Tensor::from_slice(&[0.0, 1.0, 3.0]).view([3, 1]);
        let k = |distance: f64| (-distance * distance / 8.0).exp();
        let expected = [(k(1.0) + k(3.0)) / 2.0, (k(1.0) + k(2.0)) / 2.0, (k(3.0) + k(2.0)) / 2.0];
        for (found, expected) in mean_similarities(&rows).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn images_that_are_all_equal_have_similarity_one() {
        assert_eq!(of(&[square(2, 2, 0.3), square(2, 2, 0.3), square(2, 2, 0.3)], &[]), [1.0; 3]);
    }

    #[test]
    fn samples_of_different_classes_are_not_compared() {
        let images = [square(1, 1, 0.2), square(7, 6, 0.2), square(1, 1, 0.2), square(3, 2, 0.2)];
        let found = of(&images, &[4, 1, 4, 7]);
        assert_eq!(found, [1.0, 0.0, 1.0, 0.0]);
    }

    /// The structure of an image does not change with its brightness.
    #[test]
    fn brightness_alone_is_half_as_different() {
        let dark = features_of(&square(2, 3, 0.1));
        let bright = features_of(&square(2, 3, 0.5));
        let gap = |kind: usize| (&dark[kind] - &bright[kind]).abs().max().double_value(&[]);
        assert!((gap(0) - 0.4).abs() < 1e-12 && gap(1) < 1e-9, "{} {}", gap(0), gap(1));
    }

    #[test]
    fn large_images_are_averaged_to_32_pixels_a_side() {
        let [pixels, structure] =
            features_of(&Tensor::rand([1, 3, 70, 50], (Kind::Double, tch::Device::Cpu)));
        assert_eq!((pixels.size(), structure.size()), (vec![3 * 24 * 17], vec![24 * 17]));
    }

    #[test]
    fn the_term_lowers_advantages_by_the_similarity_above_the_mean_of_the_class() {
        let similarities = [0.5, 0.9, 0.7, 0.1];
        let found =
            less_similarity(vec![1.0, 1.0, -9.0, 0.0], &similarities, &[0, 0, 0, 5], 2.0, 3.0);
        for (found, expected) in found.iter().zip([1.4, 0.6, -3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
