//! The embedded age classifier opens by its name and classifies drawn faces.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_faces::{AgeClass, draw_face, draw_face_of};
use ddpo_rewards::pinned::OpenModel;
use ddpo_rewards::vision::config::VitConfig;
use ddpo_rewards::{RewardModel, RewardRuntime, embedded};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{AgeReward, RewardSettings, Task};

/// Differs from the seeds of training (2) and of the accuracy in the README (3).
const FACES_SEED: u64 = 4;

fn reward(task: Task) -> Box<dyn RewardModel> {
    let settings = RewardSettings {
        model: Some(embedded::NAME.to_owned()),
        age_reward: AgeReward::LogOdds,
        ..RewardSettings::new(task)
    };
    ddpo_rewards::open(&settings, &RewardRuntime::on_threads(1), &mut |_| {}).unwrap()
}

/// Returns for each face whether the likeliest class is a wanted one.
fn classified(task: Task, faces: &[RgbImage]) -> Vec<bool> {
    let scores = reward(task).score(faces).unwrap();
    scores.iter().map(|score| score.components.last().unwrap().value == 1.0).collect()
}

#[test]
fn labels_are_the_classes_of_drawn_faces() {
    let opened = OpenModel::named(embedded::NAME, None, &mut |_| {}).unwrap();
    let config = VitConfig::from_json(&opened.folder.config).unwrap();
    let labels = AgeClass::ALL.map(AgeClass::label);
    assert_eq!(config.labels, labels);
    assert_eq!(config.tower.image_size, [32, 32]);
    let named = reward(Task::Over50).describe().components;
    assert_eq!(named.len(), labels.len() + 2);
    assert_eq!(named[labels.len() + 1], "classified_50_or_older");
}

#[test]
fn classifies_unseen_faces() {
    let count = 270;
    let of = |class| (0..count / 9).map(move |at| draw_face_of(FACES_SEED, at, 32, class));
    let faces: Vec<RgbImage> = AgeClass::ALL.into_iter().flat_map(of).collect();
    let classes = AgeClass::ALL.into_iter().flat_map(|class| [class; 30]);
    let old = classified(Task::Over50, &faces);
    let young = classified(Task::Under30, &faces);
    let right =
        classes.clone().zip(old).filter(|(class, old)| (*class >= AgeClass::Fifties) == *old);
    assert!(right.clone().count() * 100 >= faces.len() * 90, "{} of {count}", right.count());
    let right = classes.zip(young).filter(|(class, young)| (*class < AgeClass::Thirties) == *young);
    assert!(right.clone().count() * 100 >= faces.len() * 80, "{} of {count}", right.count());
}

#[test]
fn share_of_old_faces_is_about_right() {
    let (faces, classes): (Vec<_>, Vec<_>) =
        (0..400).map(|index| draw_face(FACES_SEED, index, 32)).unzip();
    let real = classes.iter().filter(|class| **class >= AgeClass::Fifties).count();
    let seen = classified(Task::Over50, &faces).iter().filter(|old| **old).count();
    assert!(real.abs_diff(seen) <= 8, "{real} are fifty or older, {seen} seen so");
}

#[test]
fn probabilities_of_a_face_sum_to_one() {
    let faces: Vec<_> = (0..3).map(|index| draw_face(FACES_SEED, index, 32).0).collect();
    for score in reward(Task::Over50).score(&faces).unwrap() {
        let sum: f32 = score.components[..9].iter().map(|part| part.value).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!(score.reward.is_finite());
    }
}
