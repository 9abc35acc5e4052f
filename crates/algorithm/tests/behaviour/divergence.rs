//! The exact divergence from the pretrained model: reported, and as a penalty.

use crate::tiny::{self, epoch, settings, unet};
use ddpo_algorithm::config::LearnerConfig;
use ddpo_algorithm::learner::Learner;
use tch::Kind;

fn learner(kl_coef: f64) -> Learner {
    let settings = LearnerConfig { kl_coef, batch_size: 8, ..settings() };
    let rate = tiny::constant(1e-3);
    tiny::learner_of(settings, rate, tiny::model(unet(1), Kind::Float, Some(unet(1))))
}

#[test]
fn it_is_zero_at_the_start_and_grows_with_training() {
    let mut learner = learner(0.0);
    let at_start = epoch(&mut learner, 0).kl_to_pretrained_nats.unwrap();
    assert!(at_start.abs() < 1e-9, "{at_start:e}");
    let later = epoch(&mut learner, 1).kl_to_pretrained_nats.unwrap();
    assert!(later > 1e-6, "{later:e}");
}

#[test]
fn a_penalty_keeps_the_policy_near() {
    let divergence = |coefficient| {
        let mut learner = learner(coefficient);
        let last = (0..4).map(|index| epoch(&mut learner, index)).last().unwrap();
        last.kl_to_pretrained_nats.unwrap()
    };
    let (free, held) = (divergence(0.0), divergence(1e4));
    assert!(held < 0.5 * free, "free {free:.3e}, held {held:.3e}");
}

#[test]
fn without_a_reference_it_is_absent() {
    let report = epoch(&mut tiny::learner(settings()), 0);
    assert_eq!(report.kl_to_pretrained_nats, None);
}
