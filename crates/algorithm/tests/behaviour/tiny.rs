//! A UNet of 8 channels for 8x8 images, five steps, and rollouts made with public parts alone, so
//! that they are independent of the sampler.

use bytes::Bytes;
use ddpo_algorithm::config::LearnerConfig;
use ddpo_algorithm::learner::{Learner, Model};
use ddpo_algorithm::schedule::LearningRate;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_rollout::chain::Chain;
use ddpo_rollout::chain::NeededStates::Steps;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_rollout::score::{Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{
    PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory, TrajectoryHeader, decode,
};
use std::sync::{Arc, LazyLock};
use tch::{Device, Kind, Tensor};

pub const STEPS: usize = 5;
/// The last step has sigma 0.
pub const RANDOM: usize = STEPS - 1;
pub const SHAPE: StateShape = StateShape { channels: 3, height: 8, width: 8 };
const SEED: u64 = 11;
/// Classes of [`unet_with_classes`].
pub const CLASSES: i64 = 3;

pub fn unet_config() -> UNetConfig {
    let text = r#"{
        "sample_size": 8, "block_out_channels": [8, 16], "layers_per_block": 1,
        "norm_num_groups": 4, "attention_head_dim": 8,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]
    }"#;
    UNetConfig::from_json(text).unwrap()
}

/// An f32 model whose weights follow from `seed`.
pub fn unet(seed: u64) -> UNet {
    unet_of(&unet_config(), seed)
}

/// A class-conditional model of [`CLASSES`] classes.
pub fn unet_with_classes(seed: u64) -> UNet {
    unet_of(&UNetConfig { num_class_embeds: Some(CLASSES), ..unet_config() }, seed)
}

fn unet_of(config: &UNetConfig, seed: u64) -> UNet {
    // Tests run beside each other, and a second thread gains nothing on 8x8 images.
    tch::set_num_threads(1);
    let unet = UNet::new(config, Kind::Float, Device::Cpu);
    for (index, (name, tensor)) in unet.parameters().entries().iter().enumerate() {
        let scale = if tensor.dim() > 1 {
            (tensor.numel() as f64 / tensor.size()[0] as f64).powf(-0.5)
        } else {
            0.1
        };
        let centre = f64::from(u8::from(name.contains("norm") && name.ends_with("weight")));
        let drawn = normal(seed, Purpose::Weights, index as u32, &tensor.size()) * scale + centre;
        tch::no_grad(|| tensor.shallow_clone().copy_(&drawn));
    }
    unet
}

pub fn normal(seed: u64, purpose: Purpose, sample: u32, size: &[i64]) -> Tensor {
    let mut values = vec![0.0; size.iter().product::<i64>() as usize];
    NoiseKey { seed, purpose, epoch: 0, sample, step: 0 }.fill_normal(&mut values);
    Tensor::from_slice(&values).view(size)
}

/// Adds noise of size `scale` to every weight.
pub fn disturb(unet: &UNet, scale: f64) {
    for (index, (_, tensor)) in unet.parameters().entries().iter().enumerate() {
        let noise = normal(77, Purpose::Weights, index as u32, &tensor.size()) * scale;
        let _ = tch::no_grad(|| tensor.shallow_clone().g_add_(&noise));
    }
}

pub fn transitions() -> Transitions {
    Transitions::new(SchedulerKind::Ddim, &SchedulerConfig::default(), STEPS, 1.0).unwrap()
}

/// Two mini-batches of four samples make an epoch of eight.
pub fn settings() -> LearnerConfig {
    LearnerConfig {
        run_seed: SEED,
        batch_size: 4,
        micro_batch_size: 8,
        clip_advantages: 10.0,
        ratio_tolerance: 1e-3,
        ..LearnerConfig::default()
    }
}

pub fn constant(rate: f64) -> LearningRate {
    LearningRate { initial_lr: rate, peak_lr: rate, warmup_pct: 0.0, total_steps: 100 }
}

/// An f32 learner of [`unet`]`(1)`.
pub fn learner(settings: LearnerConfig) -> Learner {
    learner_at(1e-4, settings)
}

/// The same at another learning rate.
pub fn learner_at(rate: f64, settings: LearnerConfig) -> Learner {
    learner_of(settings, constant(rate), model(unet(1), Kind::Float, None))
}

/// A learner of `model` with the steps of [`transitions`].
pub fn learner_of(settings: LearnerConfig, rate: LearningRate, model: Model<'_>) -> Learner {
    Learner::new(settings, rate, transitions(), model).unwrap()
}

/// A model of the default scheduler.
pub fn model(unet: UNet, kind: Kind, reference: Option<UNet>) -> Model<'static> {
    let classes = unet.config().classes(None).unwrap();
    Model { unet, kind, scheduler: scheduler(), reference, classes }
}

/// The default scheduler.
pub fn scheduler() -> &'static SchedulerConfig {
    static SCHEDULER: LazyLock<SchedulerConfig> = LazyLock::new(SchedulerConfig::default);
    &SCHEDULER
}

/// Draws `count` trajectories of `epoch` as one batch; the reward is the brightness. The policy version
/// is that of an on-policy run: one update for each epoch before.
pub fn rollouts(network: &UNet, epoch: u32, count: usize) -> Vec<ScoredTrajectory> {
    rollouts_of(network, PolicyVersion(u64::from(epoch)), epoch, count)
}

/// The same, made with another version of the weights.
pub fn rollouts_of(
    network: &UNet,
    version: PolicyVersion,
    epoch: u32,
    count: usize,
) -> Vec<ScoredTrajectory> {
    rollouts_along(network, &transitions().chain(None, Steps), version, epoch, count)
}

/// The same along a chain with a window, or with only the image kept.
pub fn rollouts_along(
    network: &UNet,
    chain: &Chain,
    version: PolicyVersion,
    epoch: u32,
    count: usize,
) -> Vec<ScoredTrajectory> {
    let _guard = tch::no_grad_guard();
    let epoch_chain = chain.of(Purpose::Rollout, SEED, epoch);
    let transitions = transitions().of_epoch(&epoch_chain);
    let noise = |step: usize| {
        let draws = (0..count).map(|sample| {
            let mut values = vec![0.0; SHAPE.elements()];
            coordinates(epoch, sample)
                .noise(Purpose::Rollout, step as u32)
                .fill_normal(&mut values);
            Tensor::from_slice(&values).view([3, 8, 8])
        });
        Tensor::stack(&draws.collect::<Vec<Tensor>>(), 0)
    };
    let samples: Vec<_> = (0..count).map(|sample| coordinates(epoch, sample)).collect();
    let labels = labels(network, &samples);
    let mut states = vec![noise(0)];
    let mut log_probs = Vec::new();
    for step in 0..STEPS {
        let rows = vec![step; count];
        let timesteps = transitions.timestep_tensor(&rows);
        let output = network.forward(&states[step], &timesteps, labels.as_ref());
        let taken = transitions.step(&states[step], &output, &rows, &noise(step + 1));
        if transitions.random_steps().contains(&step) {
            log_probs.push(gaussian::log_prob(&taken.sample, &taken.mean, &taken.sigma));
        }
        states.push(taken.sample);
    }
    let one = |sample: usize| {
        let at = |x: &Tensor| Vec::<f32>::try_from(x.get(sample as i64).flatten(0, -1)).unwrap();
        let bytes = |x: &Tensor| -> Bytes { at(x).iter().flat_map(|v| v.to_le_bytes()).collect() };
        let image = at(&states[STEPS]);
        let kept = epoch_chain.kept_states.iter().map(|&index| bytes(&states[index]));
        let trajectory = Trajectory::new(
            TrajectoryHeader {
                policy_version: version,
                kept_states: Arc::clone(&epoch_chain.kept_states),
                ..header(network, &transitions, epoch, sample)
            },
            kept.collect(),
            log_probs.iter().map(|x| x.double_value(&[sample as i64]) as f32).collect(),
        );
        let reward = image.iter().sum::<f32>() / image.len() as f32;
        ScoredTrajectory { trajectory: trajectory.unwrap(), score: Score::plain(reward) }
    };
    (0..count).map(one).collect()
}

/// The classes of training samples, i64 `[B]`; `None` for a model without classes.
fn labels(network: &UNet, samples: &[SampleCoordinates]) -> Option<Tensor> {
    let classes = network.config().classes(None).unwrap()?;
    let label = |&sample: &SampleCoordinates| i64::from(classes.of(Purpose::Rollout, sample));
    Some(Tensor::from_slice(&samples.iter().map(label).collect::<Vec<i64>>()))
}

pub fn coordinates(epoch: u32, sample: usize) -> SampleCoordinates {
    SampleCoordinates { run_seed: SEED, epoch, sample: sample as u32 }
}

fn header(
    network: &UNet,
    transitions: &Transitions,
    epoch: u32,
    sample: usize,
) -> TrajectoryHeader {
    TrajectoryHeader {
        coordinates: coordinates(epoch, sample),
        purpose: Purpose::Rollout,
        policy_version: PolicyVersion::default(),
        weights_digest: network.parameters().digest(),
        scheduler_digest: transitions.digest(),
        dtype: StateDtype::F32,
        shape: SHAPE,
        timesteps: transitions.timesteps().into(),
        random_steps: transitions.random_steps().into(),
        kept_states: TrajectoryHeader::all_states(STEPS),
    }
}

/// The batch with rewards that do not follow from the images.
pub fn with_rewards(batch: &[ScoredTrajectory], rewards: &[f32]) -> Vec<ScoredTrajectory> {
    let pairs = batch.iter().zip(rewards);
    pairs
        .map(|(scored, &reward)| ScoredTrajectory { score: Score::plain(reward), ..scored.clone() })
        .collect()
}

/// Largest absolute difference between the values of two lists of tensors.
pub fn largest_gap(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    assert_eq!(a.len(), b.len());
    let gaps = a.iter().zip(b).map(|((name, a), (other, b))| {
        assert_eq!(name, other);
        (a.detach() - b.detach()).abs().max().double_value(&[])
    });
    gaps.fold(0.0, f64::max)
}

/// The values of the f32 weights, apart from the learner.
pub fn weights(learner: &Learner) -> Vec<(String, Tensor)> {
    copies(learner.policy().master().parameters().entries())
}

pub fn copies(entries: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    entries.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect()
}

/// Mean log-probability of the random steps of one trajectory under `network`.
pub fn log_prob(network: &UNet, scored: &ScoredTrajectory) -> f64 {
    log_probs(network, scored).iter().sum::<f64>() / RANDOM as f64
}

/// Log-probabilities of the random steps of one trajectory under `network`, means over dimensions.
pub fn log_probs(network: &UNet, scored: &ScoredTrajectory) -> Vec<f64> {
    let _guard = tch::no_grad_guard();
    let transitions = transitions();
    let states = scored.trajectory.states();
    let state = |index: usize| {
        let values = decode(&states[index], scored.trajectory.header().dtype);
        Tensor::from_slice(&values).view([1, 3, 8, 8])
    };
    let labels = labels(network, &[scored.trajectory.header().coordinates]);
    let at = |step: usize| {
        let timesteps = transitions.timestep_tensor(&[step]);
        let output = network.forward(&state(step), &timesteps, labels.as_ref());
        let (mean, sigma) = transitions.mean_and_sigma(&state(step), &output, &[step]);
        gaussian::log_prob(&state(step + 1), &mean, &sigma).double_value(&[0])
    };
    transitions.random_steps().into_iter().map(at).collect()
}

/// One epoch on the learner's own rollouts.
pub fn epoch(learner: &mut Learner, epoch: u32) -> ddpo_algorithm::report::UpdateReport {
    let batch = rollouts(learner.policy().network(), epoch, 8);
    learner.update(&batch, &mut |_, _| {}).unwrap()
}

/// All gradients of the only optimizer step so far, by way of the first moments, which are a
/// tenth of them.
pub fn gradient(learner: &Learner) -> Tensor {
    let state = learner.optimizer().state(learner.policy().master().parameters().entries());
    let first = state.into_iter().filter(|(name, _)| name.starts_with("first."));
    let moments: Vec<Tensor> = first.map(|(_, moment)| moment.flatten(0, -1)).collect();
    Tensor::cat(&moments, 0) * 10.0
}

/// Largest absolute difference between what two policies predict.
pub fn prediction_gap(a: &Learner, b: &Learner) -> f64 {
    let _guard = tch::no_grad_guard();
    let sample =
        Tensor::linspace(-1.0, 1.0, 2 * 192, (Kind::Float, Device::Cpu)).view([2, 3, 8, 8]);
    let timesteps = Tensor::from_slice(&[200_i64, 800]);
    let predict = |learner: &Learner| {
        let network = learner.policy().network();
        network.forward(&sample, &timesteps, network.config().first_class(2, Device::Cpu).as_ref())
    };
    (predict(a) - predict(b)).abs().max().double_value(&[])
}

/// The same trajectories with log-probabilities that are further from the policy's by `gap`, as passes of
/// another shape in a coarse type give them.
pub fn shifted(batch: &[ScoredTrajectory], gap: f32) -> Vec<ScoredTrajectory> {
    let shift = |scored: &ScoredTrajectory| {
        let old = &scored.trajectory;
        let log_probs = old.log_probs().iter().map(|value| value + gap).collect();
        let states = old.states().to_vec();
        let trajectory = Trajectory::new(old.header().clone(), states, log_probs).unwrap();
        ScoredTrajectory { trajectory, score: scored.score.clone() }
    };
    batch.iter().map(shift).collect()
}

/// The batch with log-probabilities of one sample that are off by `gap` nats per dimension.
pub fn with_a_lie(batch: &[ScoredTrajectory], sample: usize, gap: f32) -> Vec<ScoredTrajectory> {
    let mut batch = batch.to_vec();
    batch[sample] = shifted(&batch[sample..=sample], gap).remove(0);
    batch
}
