//! Tests of the sampler engine on a tiny model: what a trajectory depends on, and what it contains.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test may panic, and show its largest gap.

use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::transfer::blocking_reads;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::trajectory::{
    Digest, PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory,
};
use ddpo_sampler::engine::{Progress, Provenance, SampleError, Sampler};
use std::sync::Mutex;
use tch::{Device, Kind, Tensor};

const STEPS: usize = 6;
const SHAPE: StateShape = StateShape { channels: 3, height: 8, width: 8 };
const EPOCH: u32 = 2;

fn unet() -> UNet {
    unet_of(None)
}

/// Returns a model with this number of classes.
fn unet_of(num_class_embeds: Option<i64>) -> UNet {
    // Tests run in parallel, and a second thread gains nothing on 8x8 images.
    tch::set_num_threads(1);
    let text = r#"{
        "sample_size": 8, "block_out_channels": [8, 16], "layers_per_block": 1,
        "norm_num_groups": 4, "attention_head_dim": 8,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]
    }"#;
    let config = UNetConfig { num_class_embeds, ..UNetConfig::from_json(text).unwrap() };
    let unet = UNet::new(&config, Kind::Float, Device::Cpu);
    for (index, (name, tensor)) in unet.parameters().entries().iter().enumerate() {
        let mut values = vec![0.0; tensor.numel()];
        let sample = index as u32;
        NoiseKey { seed: 1, purpose: Purpose::Weights, epoch: 0, sample, step: 0 }
            .fill_normal(&mut values);
        let centre = f64::from(u8::from(name.contains("norm") && name.ends_with("weight")));
        // Fan-in scaling gives outputs of unit size, like a trained model.
        let fan_in = tensor.numel() as f64 / tensor.size()[0] as f64;
        let scale = if tensor.dim() > 1 { fan_in.powf(-0.5) } else { 0.1 };
        let drawn = Tensor::from_slice(&values).view_as(tensor) * scale + centre;
        tch::no_grad(|| tensor.shallow_clone().copy_(&drawn));
    }
    unet
}

fn transitions(eta: f64) -> Transitions {
    Transitions::new(SchedulerKind::Ddim, &SchedulerConfig::default(), STEPS, eta).unwrap()
}

fn sampler(eta: f64, dtype: StateDtype) -> Sampler {
    Sampler::new(transitions(eta), SHAPE, dtype)
}

fn coordinates(samples: &[u32]) -> Vec<SampleCoordinates> {
    let one = |&sample| SampleCoordinates { run_seed: 5, epoch: EPOCH, sample };
    samples.iter().map(one).collect()
}

const PROVENANCE: Provenance =
    Provenance { policy_version: PolicyVersion(4), weights_digest: Digest([7; 32]) };

fn generate(
    sampler: &Sampler,
    unet: &UNet,
    samples: &[u32],
) -> Result<Vec<Trajectory>, SampleError> {
    let samples = coordinates(samples);
    sampler.generate(unet, &samples, Purpose::Rollout, PROVENANCE, &|_| {})
}

/// Returns state `index` as f32 `[1, C, H, W]`.
fn state(trajectory: &Trajectory, index: usize) -> Tensor {
    let bytes = &trajectory.states()[index];
    let values = ddpo_rollout::trajectory::decode(bytes, trajectory.header().dtype);
    Tensor::from_slice(&values).view([1, 3, 8, 8])
}

fn gap(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn samples_do_not_depend_on_the_batch_size() {
    let (sampler, unet) = (sampler(1.0, StateDtype::F32), unet());
    let alone = generate(&sampler, &unet, &[3]).unwrap();
    let (mut states, mut log_probs) = (0.0_f64, 0.0_f64);
    for batch in [&[3][..], &[0, 3, 9], &[4, 2, 8, 3, 1]] {
        let position = batch.iter().position(|&sample| sample == 3).unwrap();
        let found = &generate(&sampler, &unet, batch).unwrap()[position];
        assert_eq!(found.header(), alone[0].header());
        for index in 0..=STEPS {
            states = states.max(gap(&state(found, index), &state(&alone[0], index)));
        }
        for (a, b) in found.log_probs().iter().zip(alone[0].log_probs()) {
            log_probs = log_probs.max(f64::from((a - b).abs()));
        }
    }
    println!("batch sizes 1, 3, 5: states differ by {states:.2e}, log-probs by {log_probs:.2e}");
    assert!(states < 1e-5, "states differ by {states:.2e}");
    assert!(log_probs < 1e-5, "log-probabilities differ by {log_probs:.2e}");
}

#[test]
fn repeated_batches_are_bit_identical() {
    for dtype in [StateDtype::F32, StateDtype::F16, StateDtype::Bf16] {
        let (sampler, unet) = (sampler(1.0, dtype), unet());
        let generate = || generate(&sampler, &unet, &[0, 1, 2]).unwrap();
        assert_eq!(generate(), generate());
    }
}

#[test]
fn noise_differs_by_sample_epoch_seed_and_purpose() {
    let (sampler, unet) = (sampler(1.0, StateDtype::F32), unet());
    let base = SampleCoordinates { run_seed: 5, epoch: EPOCH, sample: 0 };
    let first = |coordinates: SampleCoordinates, purpose| {
        let samples = [coordinates];
        let made = sampler.generate(&unet, &samples, purpose, PROVENANCE, &|_| {}).unwrap();
        (made[0].states()[0].clone(), made[0].states()[STEPS].clone())
    };
    let expected = first(base, Purpose::Rollout);
    for (coordinates, purpose) in [
        (SampleCoordinates { run_seed: 6, ..base }, Purpose::Rollout),
        (SampleCoordinates { epoch: 3, ..base }, Purpose::Rollout),
        (SampleCoordinates { sample: 1, ..base }, Purpose::Rollout),
        (base, Purpose::Evaluation),
    ] {
        let found = first(coordinates, purpose);
        assert!(found.0 != expected.0 && found.1 != expected.1, "{coordinates:?} {purpose:?}");
    }
}

/// Computes log N(x; mean, sigma^2), mean over dimensions, in f64 from the definition.
fn log_density(x: &Tensor, mean: &Tensor, sigma: f64) -> f64 {
    let square = ((x.to_kind(Kind::Double) - mean.to_kind(Kind::Double)) / sigma).square();
    let constant = sigma.ln() + 0.5 * std::f64::consts::TAU.ln();
    -0.5 * square.mean(Kind::Double).double_value(&[]) - constant
}

#[test]
fn log_probabilities_follow_from_the_states() {
    let (unet, transitions) = (unet(), transitions(1.0));
    let mut worst = 0.0_f64;
    for dtype in [StateDtype::F32, StateDtype::F16, StateDtype::Bf16] {
        let trajectories = generate(&sampler(1.0, dtype), &unet, &[0, 1, 2]).unwrap();
        for trajectory in &trajectories {
            assert_eq!(trajectory.log_probs().len(), transitions.random_steps().len());
            for (&step, &found) in transitions.random_steps().iter().zip(trajectory.log_probs()) {
                let from = state(trajectory, step);
                let timestep = transitions.timestep_tensor(&[step]);
                let output = tch::no_grad(|| unet.forward(&from, &timestep, None));
                let (mean, _) = transitions.mean_and_sigma(&from, &output, &[step]);
                let sigma = transitions.coefficients()[step].sigma;
                let expected = log_density(&state(trajectory, step + 1), &mean, sigma);
                worst = worst.max((f64::from(found) - expected).abs());
            }
        }
    }
    println!("largest gap of a log-probability: {worst:.2e}");
    assert!(worst < 2e-5, "largest gap {worst:.2e}");
}

/// Recovers the noise of a step, which must be the keyed draw.
#[test]
fn each_step_adds_its_keyed_noise() {
    let (unet, transitions) = (unet(), transitions(1.0));
    let trajectory = &generate(&sampler(1.0, StateDtype::F32), &unet, &[6]).unwrap()[0];
    let draw = |step: usize| {
        let mut values = vec![0.0; SHAPE.elements()];
        coordinates(&[6])[0].noise(Purpose::Rollout, step as u32).fill_normal(&mut values);
        Tensor::from_slice(&values).view([1, 3, 8, 8])
    };
    assert_eq!(gap(&state(trajectory, 0), &draw(0)), 0.0);
    for &step in &transitions.random_steps() {
        let from = state(trajectory, step);
        let timestep = transitions.timestep_tensor(&[step]);
        let output = tch::no_grad(|| unet.forward(&from, &timestep, None));
        let (mean, sigma) = transitions.mean_and_sigma(&from, &output, &[step]);
        let noise = (state(trajectory, step + 1) - mean) / sigma;
        let gap = gap(&noise, &draw(step + 1));
        assert!(gap < 1e-3, "step {step}: {gap:.2e}");
    }
}

#[test]
fn steps_without_noise_have_no_log_probability() {
    let unet = unet();
    let random = &generate(&sampler(1.0, StateDtype::F32), &unet, &[0]).unwrap()[0];
    assert_eq!(random.log_probs().len(), STEPS - 1, "the last step has sigma 0");
    assert_eq!(random.header().random_steps[..], [0, 1, 2, 3, 4]);
    let fixed = &generate(&sampler(0.0, StateDtype::F32), &unet, &[0]).unwrap()[0];
    assert!(fixed.log_probs().is_empty() && fixed.header().random_steps.is_empty());
    assert_eq!(fixed.states().len(), STEPS + 1);
    assert_eq!(fixed.states()[0], random.states()[0]);
    assert!((0..STEPS).all(|step| fixed.states()[step] != fixed.states()[step + 1]));
}

#[test]
fn trajectory_header_records_coordinates_and_weights() {
    let sampler = sampler(1.0, StateDtype::Bf16);
    let trajectory = &generate(&sampler, &unet(), &[8]).unwrap()[0];
    let header = trajectory.header();
    assert_eq!(header.coordinates, coordinates(&[8])[0]);
    assert_eq!((header.policy_version, header.weights_digest), (PolicyVersion(4), Digest([7; 32])));
    assert_eq!(header.scheduler_digest, sampler.transitions().digest());
    assert_eq!((header.dtype, header.shape), (StateDtype::Bf16, SHAPE));
    assert_eq!(header.timesteps[..], *sampler.transitions().timesteps());
    let image = trajectory.final_state();
    assert!(image.iter().all(|value| (-1.0..=1.0).contains(value)), "the last step clips");
}

#[test]
fn observer_receives_every_state_at_its_position() {
    let (unet, samples) = (unet(), coordinates(&[0, 1, 2, 3, 4]));
    for lanes in [1, 2] {
        let sampler = sampler(1.0, StateDtype::F32).with_lanes(lanes);
        let seen = Mutex::new(vec![vec![None; STEPS + 1]; samples.len()]);
        let watch = |progress: Progress<'_>| {
            assert_eq!(progress.steps, STEPS);
            for (offset, bytes) in progress.states.iter().enumerate() {
                let slot = &mut seen.lock().unwrap()[progress.first + offset][progress.step];
                assert_eq!(slot.replace(bytes.clone()), None);
            }
        };
        let made = sampler.generate(&unet, &samples, Purpose::Rollout, PROVENANCE, &watch).unwrap();
        for (trajectory, seen) in made.iter().zip(seen.into_inner().unwrap()) {
            let seen: Vec<_> = seen.into_iter().map(Option::unwrap).collect();
            assert_eq!(seen, trajectory.states(), "{lanes} lanes");
        }
    }
}

#[test]
fn waits_for_the_device_once_per_step() {
    let (unet, sampler) = (unet(), sampler(1.0, StateDtype::F32));
    let before = blocking_reads();
    let drawn = generate(&sampler, &unet, &[0, 1, 2]).unwrap();
    let steps = drawn[0].header().timesteps.len() as u64;
    assert_eq!(blocking_reads() - before, steps);
}

#[test]
fn lanes_do_not_change_samples_or_their_order() {
    let unet = unet();
    let made = |lanes| {
        let sampler = sampler(1.0, StateDtype::F32).with_lanes(lanes);
        generate(&sampler, &unet, &[7, 0, 3, 5, 1]).unwrap()
    };
    let one = made(1);
    // Five samples in four lanes make three parts; in nine lanes, each sample is a part.
    for lanes in [2, 4, 9] {
        let several = made(lanes);
        assert_eq!(several, made(lanes), "{lanes} lanes, twice");
        assert_eq!(several.len(), one.len());
        for (a, b) in several.iter().zip(&one) {
            assert_eq!(a.header(), b.header());
            let worst = (0..=STEPS).map(|index| gap(&state(a, index), &state(b, index)));
            let worst = worst.fold(0.0, f64::max);
            assert!(worst < 1e-5, "{lanes} lanes: largest gap {worst:.2e}");
        }
    }
}

#[test]
fn each_sample_is_drawn_of_its_own_class() {
    let unet = unet_of(Some(3));
    let draw = |classes: &str, purpose: Purpose, samples: &[u32], lanes: usize| {
        let classes: ClassList = classes.parse().unwrap();
        let sampler = sampler(1.0, StateDtype::F32).with_classes(Some(classes)).with_lanes(lanes);
        sampler.generate(&unet, &coordinates(samples), purpose, PROVENANCE, &|_| {}).unwrap()
    };
    let samples = [7, 0, 3, 5, 1];
    for purpose in [Purpose::Rollout, Purpose::Evaluation] {
        let together = draw("0,1,2", purpose, &samples, 1);
        let in_lanes = draw("0,1,2", purpose, &samples, 2);
        let all: ClassList = "0,1,2".parse().unwrap();
        for (index, sample) in samples.into_iter().enumerate() {
            let class = all.of(purpose, coordinates(&[sample])[0]);
            let image = state(&together[index], STEPS);
            assert!(gap(&image, &state(&in_lanes[index], STEPS)) < 1e-5, "sample {sample}");
            for only in 0..3 {
                let alone = &draw(&only.to_string(), purpose, &[sample], 1)[0];
                let gap = gap(&image, &state(alone, STEPS));
                println!("sample {sample} of class {class}, drawn with class {only}: {gap:.2e}");
                assert_eq!(gap < 1e-3, only == class, "sample {sample}: {gap:.2e}");
            }
        }
    }
}

#[test]
fn error_in_a_lane_names_its_sample() {
    let unet = unet();
    let (_, weight) = unet.parameters().entries().last().unwrap();
    let _ = tch::no_grad(|| weight.shallow_clone().fill_(f64::NAN));
    let sampler = sampler(1.0, StateDtype::F32).with_lanes(2);
    let error = generate(&sampler, &unet, &[4, 7]).unwrap_err();
    assert!(matches!(error, SampleError::NotFinite { sample: 4, step: 0, .. }), "{error}");
}

#[test]
fn empty_order_returns_no_trajectories() {
    assert!(generate(&sampler(1.0, StateDtype::F32), &unet(), &[]).unwrap().is_empty());
}

#[test]
fn error_for_nan_weights_names_step_and_sample() {
    for (value, dtype) in [(f64::NAN, StateDtype::F32), (f64::INFINITY, StateDtype::F16)] {
        let unet = unet();
        let (_, weight) = unet.parameters().entries().last().unwrap();
        let _ = tch::no_grad(|| weight.shallow_clone().fill_(value));
        let error = generate(&sampler(1.0, dtype), &unet, &[4, 7]).unwrap_err();
        let SampleError::NotFinite { sample, epoch, step, timestep } = error else {
            panic!("{error}");
        };
        assert_eq!((sample, epoch, step, timestep), (4, EPOCH, 0, 830));
        let message = error.to_string();
        assert!(message.contains("sample 4 of epoch 2") && message.contains("step 0"), "{message}");
    }
}

/// A value within f32 but outside f16 is detected where the state was rounded.
#[test]
fn rejects_a_state_outside_the_range_of_the_wire_dtype() {
    let unet = unet();
    let (_, bias) = unet.parameters().entries().last().unwrap();
    let _ = tch::no_grad(|| bias.shallow_clone().fill_(1e6));
    assert!(generate(&sampler(1.0, StateDtype::F32), &unet, &[0]).is_ok());
    let error = generate(&sampler(1.0, StateDtype::F16), &unet, &[0]).unwrap_err();
    assert!(matches!(error, SampleError::NotFinite { sample: 0, .. }), "{error}");
}
