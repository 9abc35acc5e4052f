//! Measures the classifier's accuracy on held-out drawings.

use crate::pretrain_ages::data::{SIDE, planes};
use ddpo_faces::{AgeClass, draw_face, draw_face_of};
use ddpo_rewards::vision::vit::VitClassifier;
use ddpo_rollout::image::RgbImage;
use tch::{Kind, Tensor};

/// The seed of the held-out drawings, different from the training's.
const FACES_SEED: u64 = 3;

/// Number of drawings with CelebA-HQ's age distribution, and of drawings with all ages equally
/// often.
const COUNT: u64 = 1_800;

/// The first class of ages from fifty.
const FIFTY: i64 = AgeClass::Fifties as i64;

/// Returns lines with the accuracy on both distributions.
pub fn report(model: &VitClassifier) -> String {
    let natural = (0..COUNT).map(|index| draw_face(FACES_SEED, index, SIDE));
    let even = (0..COUNT).map(|index| {
        let class = AgeClass::ALL[(index % AgeClass::ALL.len() as u64) as usize];
        (draw_face_of(FACES_SEED, COUNT + index, SIDE, class), class)
    });
    let lines = [line("CelebA-HQ's proportions", model, natural), line("even", model, even)];
    lines.join("\n")
}

fn line(
    name: &str,
    model: &VitClassifier,
    faces: impl Iterator<Item = (RgbImage, AgeClass)>,
) -> String {
    let mut pairs = Vec::new();
    for (image, class) in faces {
        let mut levels = Vec::new();
        planes(&image, &mut levels);
        let pixels = Tensor::from_slice(&levels).view([1, 3, SIDE as i64, SIDE as i64]);
        let logits = model.forward(&(pixels.to_kind(Kind::Float) / 127.5 - 1.0));
        pairs.push((class as i64, logits.argmax(-1, false).int64_value(&[0])));
    }
    let share = |chosen: &dyn Fn(i64) -> bool, right: &dyn Fn(i64, i64) -> bool| {
        let chosen: Vec<_> = pairs.iter().filter(|(class, _)| chosen(*class)).collect();
        let right = chosen.iter().filter(|(class, found)| right(*class, *found)).count();
        100.0 * right as f64 / chosen.len().max(1) as f64
    };
    let right = share(&|_| true, &|class, found| class == found);
    let near = share(&|_| true, &|class, found| (class - found).abs() <= 1);
    let old = share(&|class| class >= FIFTY, &|_, found| found >= FIFTY);
    let young = share(&|class| class < FIFTY, &|_, found| found >= FIFTY);
    format!(
        "held out, {name}: {right:.1} % right, {near:.1} % right or next to it; \
         of the 50 or older {old:.1} % found, of the others {young:.1} % taken for them"
    )
}
