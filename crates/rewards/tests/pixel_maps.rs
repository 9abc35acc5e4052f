//! Each reward of a run sees states through its own pixel map.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_rewards::{Image, RewardError, RewardRuntime, Rewards, open_expression, resolve};
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::reward::{PixelRule, RewardSettings, RewardSpec};
use ddpo_rollout::score::Score;

const SIDES: (usize, usize, usize) = (3, 32, 32);

/// A state with values on both sides of 0 and out of range.
fn state() -> Vec<f32> {
    (0..3 * 32 * 32).map(|index| ((index * 37 % 101) as f32 - 50.0) / 40.0).collect()
}

fn spec(reward: &str, held_out: &[&str], pixel_map: PixelRule) -> RewardSpec {
    let settings = RewardSettings {
        held_out: held_out.iter().map(|text| text.parse().unwrap()).collect(),
        pixel_map,
        model: Some("toy-ages-32".into()),
        ..RewardSettings::new(reward.parse::<ddpo_rollout::reward::RewardExpression>().unwrap())
    };
    resolve(&settings, &mut |_| {}).unwrap()
}

fn evaluated(spec: &RewardSpec) -> Score {
    let mut rewards = Rewards::open(spec, &RewardRuntime::on_threads(1), &mut |_| {}).unwrap();
    let image = Image::of_state(&state(), SIDES, rewards.pixel_maps()).unwrap();
    rewards.score(&[image], Purpose::Evaluation).unwrap().remove(0)
}

/// Returns the reward of `text` for the state's image with `map`.
fn alone(text: &str, map: PixelMap) -> f32 {
    let spec = spec(text, &[], PixelRule::Signed);
    let runtime = RewardRuntime::on_threads(1);
    let mut model = open_expression(&spec, &spec.reward, &runtime, &mut |_| {}).unwrap();
    let image = RgbImage::from_state(&state(), SIDES, map).unwrap();
    model.score(&[image]).unwrap()[0].reward
}

fn component(score: &Score, name: &str) -> f32 {
    score.components.iter().find(|part| part.name == name).unwrap().value
}

#[test]
fn terms_and_held_out_rewards_have_their_tasks_maps() {
    let (size, age) = ("jpeg incompressibility", "over50 years old");
    let sum = spec("0.5*jpeg incompressibility + over50", &["under30"], PixelRule::Upstream);
    assert_eq!(sum.pixel_maps(), [PixelMap::Unit, PixelMap::Truncated]);
    let found = evaluated(&sum);
    let expected = [alone(size, PixelMap::Unit), alone("over50", PixelMap::Truncated)];
    assert_eq!([component(&found, size), component(&found, age)], expected);
    let young = component(&found, "eval:under30 years old");
    assert_eq!(young, alone("under30", PixelMap::Truncated));
    // Every map gives another reward, so that a wrong one cannot pass.
    for (text, right) in [(size, PixelMap::Unit), ("over50", PixelMap::Truncated)] {
        for wrong in [PixelMap::Signed, PixelMap::Unit, PixelMap::Truncated] {
            assert!(wrong == right || alone(text, wrong) != alone(text, right), "{text}");
        }
    }
}

#[test]
fn every_reward_sees_the_signed_map_by_default() {
    let plain = spec("jpeg incompressibility", &["over50"], PixelRule::Signed);
    assert_eq!(plain.pixel_maps(), [PixelMap::Signed]);
    let found = evaluated(&plain);
    assert_eq!(found.reward, alone("jpeg incompressibility", PixelMap::Signed));
    let age = component(&found, "eval:over50 years old");
    assert_eq!(age, alone("over50", PixelMap::Signed));
}

#[test]
fn error_names_the_image_without_the_map_of_a_reward() {
    let spec = spec("jpeg compressibility", &[], PixelRule::Upstream);
    let mut rewards = Rewards::open(&spec, &RewardRuntime::on_threads(1), &mut |_| {}).unwrap();
    let image = |map| Image::of_state(&state(), SIDES, &[map]).unwrap();
    let images = [image(PixelMap::Unit), image(PixelMap::Signed)];
    let found = rewards.score(&images, Purpose::Rollout);
    let expected = RewardError::NotMapped { index: 1, map: PixelMap::Unit };
    assert_eq!(found.unwrap_err().to_string(), expected.to_string());
}
