//! Sums of rewards, and held-out rewards.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_rewards::mixture::Mixture;
use ddpo_rewards::{
    Image, RewardDescription, RewardError, RewardModel, RewardRuntime, Rewards, open_expression,
    resolve,
};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::{RewardExpression, RewardSettings, RewardSpec};
use ddpo_rollout::score::{Component, Score};

/// Rewards an image's first level times a factor; the component is the level. Level 13 gives NaN.
struct Levels(f32);

impl RewardModel for Levels {
    fn describe(&self) -> RewardDescription {
        let components = vec!["level".to_owned()];
        RewardDescription { name: "levels".into(), unit: "1".into(), components }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let score = |image: &RgbImage| {
            let value = f32::from(image.pixels()[0]);
            let reward = if value == 13.0 { f32::NAN } else { value * self.0 };
            Score { reward, components: vec![Component { name: "level".into(), value }] }
        };
        Ok(images.iter().map(score).collect())
    }
}

fn image(level: u8) -> RgbImage {
    RgbImage::new(1, 1, vec![level; 3]).unwrap()
}

fn expression(text: &str) -> RewardExpression {
    text.parse().unwrap()
}

fn components(score: &Score) -> Vec<(&str, f32)> {
    score.components.iter().map(|part| (part.name.as_str(), part.value)).collect()
}

#[test]
fn sum_matches_manual_computation_and_names_its_parts() {
    let models: Vec<Box<dyn RewardModel>> = vec![Box::new(Levels(1.0)), Box::new(Levels(-3.0))];
    let mut sum = Mixture::new(&expression("0.5*over50 - 2*torchscript:x/b.pt"), models);
    let described = sum.describe();
    assert_eq!(described.name, "0.5*over50 years old - 2*torchscript:b.pt");
    let names = [
        "over50 years old",
        "over50 years old/level",
        "torchscript:b.pt",
        "torchscript:b.pt/level",
    ];
    assert_eq!(described.components, names);
    let scores = sum.score(&[image(4), image(10)]).unwrap();
    assert_eq!(scores[0].reward, 0.5 * 4.0 + 2.0 * 12.0);
    assert_eq!(scores[1].reward, 0.5 * 10.0 + 2.0 * 30.0);
    let values = [4.0, 4.0, -12.0, 4.0];
    assert_eq!(components(&scores[0]), names.into_iter().zip(values).collect::<Vec<_>>());
    assert!(sum.score(&[]).unwrap().is_empty());
}

/// An f32 sum would lose the small term.
#[test]
fn rounds_the_sum_once() {
    let parts = || -> Vec<Box<dyn RewardModel>> {
        vec![Box::new(Levels(1e8)), Box::new(Levels(1.0)), Box::new(Levels(-1e8))]
    };
    let mut sum = Mixture::new(&expression("over50 + under30 + aesthetic"), parts());
    assert_eq!(sum.score(&[image(3)]).unwrap()[0].reward, 3.0);
}

#[test]
fn names_the_part_and_image_of_a_nan() {
    let models: Vec<Box<dyn RewardModel>> = vec![Box::new(Levels(1.0)), Box::new(Levels(2.0))];
    let mut sum = Mixture::new(&expression("over50 + under30"), models);
    let found = sum.score(&[image(1), image(13)]).unwrap_err().to_string();
    assert_eq!(found, "reward \"over50 years old\": image 1: expected a finite reward, found NaN");
}

#[test]
fn single_term_of_weight_one_is_not_a_mixture() {
    let runtime = RewardRuntime::on_threads(1);
    let open = |text: &str| {
        let spec = RewardSpec::plain(expression(text));
        open_expression(&spec, &spec.reward, &runtime, &mut |_| {}).unwrap()
    };
    let (mut plain, mut halved) = (open("jpeg compressibility"), open("0.5*jpeg compressibility"));
    assert_eq!(plain.describe().components, ["jpeg_kilobytes"]);
    let (plain, halved) = (plain.score(&[image(9)]).unwrap(), halved.score(&[image(9)]).unwrap());
    assert_eq!(halved[0].reward, 0.5 * plain[0].reward);
    let whole = ("jpeg compressibility", plain[0].reward);
    assert_eq!(components(&halved[0])[0], whole);
}

#[test]
fn scores_held_out_rewards_only_in_evaluations() {
    let held_out = vec![expression("2*jpeg incompressibility"), expression("jpeg compressibility")];
    let spec = RewardSpec { held_out, ..RewardSpec::plain(expression("jpeg compressibility")) };
    let mut rewards = Rewards::open(&spec, &RewardRuntime::on_threads(1), &mut |_| {}).unwrap();
    let trained = rewards.score(&[Image::Levels(image(200))], Purpose::Rollout).unwrap();
    let size = trained[0].components[0].value;
    assert_eq!(components(&trained[0]), [("jpeg_kilobytes", size)]);
    let evaluated = rewards.score(&[Image::Levels(image(200))], Purpose::Evaluation).unwrap();
    assert_eq!(evaluated[0].reward, trained[0].reward);
    let doubled = "eval:2*jpeg incompressibility";
    let expected = [
        ("jpeg_kilobytes".to_owned(), size),
        (doubled.to_owned(), 2.0 * size),
        (format!("{doubled}/jpeg incompressibility"), size),
        (format!("{doubled}/jpeg incompressibility/jpeg_kilobytes"), size),
        ("eval:jpeg compressibility".to_owned(), -size),
        ("eval:jpeg compressibility/jpeg_kilobytes".to_owned(), size),
    ];
    let found: Vec<(String, f32)> =
        components(&evaluated[0]).into_iter().map(|(name, value)| (name.into(), value)).collect();
    assert_eq!(found, expected);
}

#[test]
fn rejects_one_network_for_different_rewards() {
    let refusal = |reward: &str, held_out: &str| {
        let settings = RewardSettings {
            model: Some("nowhere".into()),
            held_out: vec![expression(held_out)],
            ..RewardSettings::new(expression(reward))
        };
        resolve(&settings, &mut |_| {}).unwrap_err()
    };
    let found = refusal("over50", "aesthetic");
    assert!(matches!(found, RewardError::OneNetwork { .. }), "{found}");
    // Both age rewards use the same classifier, so opening fails only because it is missing.
    let found = refusal("over50 - under30", "jpeg compressibility");
    assert!(matches!(found, RewardError::Pin(_)), "{found}");
}
