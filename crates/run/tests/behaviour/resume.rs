//! A resumed run is bit-identical to an uninterrupted one.

use crate::tiny::{self, copies, epoch, largest_gap, settings, unet, weights};
use ddpo_algorithm::config::{AdvantageScope, LearnerConfig};
use ddpo_algorithm::learner::Learner;
use ddpo_algorithm::schedule::LearningRate;
use ddpo_run::checkpoint::{CheckpointError, RunState, load, load_weights, save};
use ddpo_run::model_card::ModelCard;
use std::path::Path;
use tch::Kind;

const SCHEDULER: &str = r#"{"_class_name": "DDPMScheduler", "num_train_timesteps": 1000}"#;

/// Uses running advantages and a changing rate, so that every part of a checkpoint affects training.
fn learner(seed: u64, ema_decay: Option<f64>, kind: Kind) -> Learner {
    let rate = LearningRate { initial_lr: 1e-5, peak_lr: 2e-4, warmup_pct: 0.4, total_steps: 8 };
    let settings = LearnerConfig {
        ema_decay,
        advantage: AdvantageScope::Running,
        ratio_tolerance: 0.1,
        ..settings()
    };
    tiny::learner_of(settings, rate, tiny::model(unet(seed), kind, None))
}

fn write(folder: &Path, learner: &Learner, epochs: u32) {
    let state = RunState::of(learner, epochs, 8, serde_json::json!({ "task": "none" }));
    let card = ModelCard { text: "# A test\n".into(), picture: None };
    save(folder, learner, SCHEDULER, &state, &card).unwrap();
}

#[test]
fn resumed_run_is_bit_identical() {
    for (ema_decay, kind) in
        [(None, Kind::Float), (Some(0.9), Kind::Float), (Some(0.9), Kind::BFloat16)]
    {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("epoch-000001");
        let mut whole = learner(1, ema_decay, kind);
        epoch(&mut whole, 0);
        // Twice, to replace a checkpoint of the same name.
        write(&checkpoint, &whole, 0);
        epoch(&mut whole, 1);
        write(&checkpoint, &whole, 2);
        let expected = epoch(&mut whole, 2);

        let mut resumed = learner(99, ema_decay, kind);
        let state = load(&checkpoint, &mut resumed).unwrap();
        assert_eq!(state.epoch, 2);
        assert_eq!(state.trained_samples, (0..8).map(|sample| (1, sample)).collect::<Vec<_>>());
        let found = epoch(&mut resumed, 2);

        assert_eq!(found, expected, "report, {ema_decay:?} {kind:?}");
        assert_eq!(resumed.position(), whole.position());
        let digest = |learner: &Learner| learner.policy().master().parameters().digest();
        assert_eq!(digest(&resumed), digest(&whole), "weights, {ema_decay:?} {kind:?}");
        let moments = |learner: &Learner| {
            learner.optimizer().state(learner.policy().master().parameters().entries())
        };
        assert_eq!(largest_gap(&moments(&resumed), &moments(&whole)), 0.0);
        let averaged = |learner: &Learner| learner.ema().map(|ema| copies(ema.entries()));
        assert_eq!(averaged(&resumed).is_some(), ema_decay.is_some());
        if let (Some(a), Some(b)) = (averaged(&resumed), averaged(&whole)) {
            assert_eq!(largest_gap(&a, &b), 0.0);
            assert!(largest_gap(&a, &weights(&whole)) > 0.0, "the average lags behind");
        }
    }
}

#[test]
fn same_run_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let mut learner = learner(1, Some(0.9), Kind::Float);
        epoch(&mut learner, 0);
        write(&folder.path().join(name), &learner, 1);
    }
    for file in [
        "unet/diffusion_pytorch_model.safetensors",
        "unet_ema/diffusion_pytorch_model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "README.md",
    ] {
        let read = |name: &str| std::fs::read(folder.path().join(name).join(file)).unwrap();
        assert!(read("a") == read("b"), "{file} differs");
    }
}

#[test]
fn names_the_part_of_a_checkpoint_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    write(&checkpoint, &learner(1, None, Kind::Float), 0);
    let refusal =
        |learner: &mut Learner| -> CheckpointError { load(&checkpoint, learner).unwrap_err() };

    let message = refusal(&mut learner(1, Some(0.9), Kind::Float)).to_string();
    assert!(message.contains("unet_ema"), "{message}");

    let mut wider = tiny::unet_config();
    wider.block_out_channels = vec![16, 16];
    let wider = ddpo_diffusion::unet::UNet::new(&wider, Kind::Float, tch::Device::Cpu);
    let wider = tiny::model(wider, Kind::Float, None);
    let mut other = tiny::learner_of(settings(), tiny::constant(1e-4), wider);
    let message = refusal(&mut other).to_string();
    assert!(message.contains("misshapen") && message.contains("conv_in.weight"), "{message}");

    std::fs::write(checkpoint.join("state.json"), "{\"epoch\": 1}").unwrap();
    let message = refusal(&mut learner(1, None, Kind::Float)).to_string();
    assert!(message.contains("state.json") && message.contains("policy_version"), "{message}");
    std::fs::remove_file(checkpoint.join("state.json")).unwrap();
    assert!(refusal(&mut learner(1, None, Kind::Float)).to_string().contains("state.json"));
}

/// `--resume_from_ckpt` starts at another run's weights, moments and average.
#[test]
fn starts_from_weights_moments_and_average_of_another_run() {
    let folder = tempfile::tempdir().unwrap();
    for ema_decay in [None, Some(0.9)] {
        let checkpoint = folder.path().join(format!("ema-{}", ema_decay.is_some()));
        let mut first = learner(1, ema_decay, Kind::Float);
        epoch(&mut first, 0);
        write(&checkpoint, &first, 1);

        let mut second = learner(99, Some(0.9), Kind::Float);
        load_weights(&checkpoint, &mut second).unwrap();
        assert_eq!(largest_gap(&weights(&second), &weights(&first)), 0.0);
        let expected = first.ema().map_or_else(|| weights(&first), |ema| copies(ema.entries()));
        let found = copies(second.ema().unwrap().entries());
        assert_eq!(largest_gap(&found, &expected), 0.0);
        let position = second.position();
        assert_eq!((position.version.0, position.schedule_step), (0, 0));
        assert_eq!(position.optimizer_step, first.position().optimizer_step);
    }
}
