//! What `upstream_compat` sets, under its name and its old name.

use ddpo_algorithm::config::{AdvantageScope, GradientClip, LossOverSteps};
use ddpo_rollout::reward::PixelRule;
use ddpo_run::plan::Plan;
use ddpo_run::settings::{RewardCompat, Settings};

fn plan(settings: Settings) -> Plan {
    Plan::new(settings).unwrap()
}

fn facts(plan: &Plan) -> (PixelRule, AdvantageScope, LossOverSteps, GradientClip) {
    let learner = &plan.learner;
    let pixels = plan.rewards.pixel_map;
    (pixels, learner.advantage, learner.loss_over_steps, learner.gradient_clip)
}

#[test]
fn both_names_set_pixels_advantages_losses_and_the_clip_of_gradients() {
    let ours =
        (PixelRule::Signed, AdvantageScope::Epoch, LossOverSteps::Mean, GradientClip::EveryStep);
    let theirs =
        (PixelRule::Upstream, AdvantageScope::Batch, LossOverSteps::Sum, GradientClip::AfterWarmUp);
    assert_eq!(facts(&plan(Settings::default())), ours);
    let new = Settings { upstream_compat: true, ..Settings::default() };
    let old = Settings { reward_compat: RewardCompat::Seed, ..Settings::default() };
    assert_eq!(facts(&plan(new)), theirs);
    assert_eq!(facts(&plan(old)), theirs);
}

#[test]
fn rejects_advantages_that_upstream_lacks() {
    for (advantage, name) in
        [(AdvantageScope::Running, "running"), (AdvantageScope::Fixed, "fixed")]
    {
        let settings = Settings { upstream_compat: true, advantage, ..Settings::default() };
        let found = Plan::new(settings).unwrap_err().to_string();
        let expected = "expected batch, or unset, with upstream_compat";
        assert_eq!(found, format!("advantage = {name}: {expected}"));
    }
    let batch = AdvantageScope::Batch;
    let settings = Settings { upstream_compat: true, advantage: batch, ..Settings::default() };
    assert_eq!(plan(settings).learner.advantage, batch);
}
