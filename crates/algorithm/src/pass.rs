//! One forward and backward pass over a micro-batch: predictions, losses and their gradient.
//!
//! A lane is a network that shares the policy's tensors and has separate gradients, so that lanes
//! run in parallel, one thread each. [`crate::policy::Policy`] adds their gradients in a fixed
//! order.

use crate::anchor::{Anchors, NoisedAnchor};
use crate::config::{LearnerConfig, Objective, TrustRegion};
use crate::epoch::Epoch;
use crate::forward::{ForwardInputs, forward_losses, mean_square};
use crate::micro_batch::{MicroBatch, forward_noise, images, labels, sampling_noise};
use crate::objective::{Limits, LossInputs, policy_gradient_losses};
use crate::pairs::Pair;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::lanes::side_by_side;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::scheduler::forward::{ForwardProcess, Noised};
use ddpo_diffusion::transfer::{read, upload};
use ddpo_diffusion::unet::UNet;
use std::panic::resume_unwind;
use tch::{Device, Kind, TchError, Tensor};

/// The networks that a pass runs.
#[derive(Debug)]
pub struct Lane {
    /// The policy; its parameters collect the gradient.
    pub network: UNet,
    /// Timesteps, means and variances of the denoising steps of the epoch.
    pub transitions: Transitions,
    /// Noise levels, for the forward objective.
    pub process: ForwardProcess,
    /// The pretrained model, if the KL from it is computed.
    pub reference: Option<UNet>,
    /// The old policy of the forward objective, where it differs from the network.
    pub old: Option<UNet>,
    /// Samples of the pretrained model that the policy keeps denoising.
    pub anchors: Option<Anchors>,
}

/// The values of a mini-batch that a pass over some of its pairs needs.
#[derive(Clone, Copy, Debug)]
pub struct MiniBatch<'a> {
    /// The number that the sum of losses is divided by: the mini-batch's pairs, or its samples.
    pub divisor: usize,
    /// The weight of each step by step index; empty for the forward objective.
    pub step_weights: &'a [f64],
    /// Whether the network still has the weights of the old policy of the forward objective.
    pub is_old: bool,
}

/// The results of a pass, on its device.
#[derive(Debug)]
pub struct PassTensors {
    /// Sum of the weighted losses of the pairs, f32 `[]`.
    loss: Tensor,
    /// [`PassOutput`]'s lists, f32 `[P]` each.
    log_ratios: Tensor,
    kl: Option<Tensor>,
    moved: Option<Tensor>,
    errors: Option<Tensor>,
}

impl PassTensors {
    /// The lists that are present, in the order in which they are read.
    fn lists(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.log_ratios).chain(&self.kl).chain(&self.moved).chain(&self.errors)
    }
}

/// The results of a pass.
#[derive(Debug)]
pub struct PassOutput {
    /// Sum of the losses of the pairs.
    pub loss: f64,
    /// log p_new - log p_proximal of each pair, mean over dimensions. For the forward objective the
    /// logarithm of its ratio.
    pub log_ratios: Vec<f32>,
    /// KL from the pretrained model of each pair, nats per dimension; empty without a reference.
    /// For the forward objective, the squared difference of predictions, mean over dimensions.
    pub kl: Vec<f32>,
    /// KL of each pair from the policy that sampled it, nats per transition; empty unless the trust region
    /// needs it.
    pub moved: Vec<f32>,
    /// Squared error of the prediction of each pair, mean over dimensions; forward objective only.
    pub errors: Vec<f32>,
}

impl PassOutput {
    /// Reads the results of the parts of a micro-batch, in the order of the pairs. Waits for the device
    /// once.
    ///
    /// # Errors
    /// [`TchError`] of the device.
    pub(crate) fn read(parts: &[PassTensors]) -> Result<Self, TchError> {
        let losses = parts.iter().map(|part| &part.loss);
        let lists = parts.iter().flat_map(PassTensors::lists);
        let values = read(&losses.chain(lists).collect::<Vec<_>>())?;
        let (losses, mut values) = values.split_at(parts.len());
        let mut output = Self {
            loss: losses.iter().sum(),
            log_ratios: Vec::new(),
            kl: Vec::new(),
            moved: Vec::new(),
            errors: Vec::new(),
        };
        for part in parts {
            let mut take = |list: &mut Vec<f32>, tensor: Option<&Tensor>| {
                let (found, rest) = values.split_at(tensor.map_or(0, Tensor::numel));
                list.extend(found.iter().map(|&value| value as f32));
                values = rest;
            };
            take(&mut output.log_ratios, Some(&part.log_ratios));
            take(&mut output.kl, part.kl.as_ref());
            take(&mut output.moved, part.moved.as_ref());
            take(&mut output.errors, part.errors.as_ref());
        }
        Ok(output)
    }
}

/// The losses of P pairs and their diagnostics, f32 `[P]` each.
struct Losses {
    /// The objective's, with gradient.
    objective: Tensor,
    /// The distance from the pretrained model that `kl_coef` weights, with gradient.
    kl: Option<Tensor>,
    /// The factor of `kl` in addition to `kl_coef`.
    kl_scale: Tensor,
    log_ratio: Tensor,
    moved: Option<Tensor>,
    error: Option<Tensor>,
}

/// A Gaussian transition as a network predicts it for a micro-batch of P pairs.
struct Prediction {
    /// f32 `[P, C, H, W]`.
    mean: Tensor,
    /// f32 `[P, 1, 1, 1]`.
    sigma: Tensor,
    /// log N(x_{t-1}; mean, sigma^2), mean over dimensions, f32 `[P]`.
    log_prob: Tensor,
}

impl Lane {
    /// Runs forward and backward over `pairs`, at least one, and adds the gradient of
    /// sum(losses) / divisor to the network's.
    ///
    /// Loss of a pair: its weight times the objective's loss, plus `kl_coef` times the distance from the
    /// pretrained model. If a loss is not finite, the gradient is not finite either, and the caller
    /// must not take a step with it. Does not wait for the device.
    pub(crate) fn backward(
        &self,
        config: &LearnerConfig,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        mini_batch: MiniBatch<'_>,
    ) -> PassTensors {
        let losses = match config.objective {
            Objective::Forward => self.forward_losses(config, epoch, pairs, mini_batch),
            _ => self.chain_losses(config, epoch, pairs, mini_batch),
        };
        let mut loss = losses.objective;
        if let Some(kl) = losses.kl.as_ref().filter(|_| config.kl_coef > 0.0) {
            loss += kl * (losses.kl_scale * epoch.kl_coef);
        }
        let sum = loss.sum(Kind::Float);
        (&sum / mini_batch.divisor as f64).backward();
        let detached = |tensor: Option<Tensor>| tensor.map(|tensor| tensor.detach());
        PassTensors {
            loss: sum.detach(),
            log_ratios: losses.log_ratio.detach(),
            kl: detached(losses.kl),
            moved: detached(losses.moved),
            errors: detached(losses.error),
        }
    }

    /// Adds the gradient of `scale` times the sum of the diffusion losses on `anchors`, at least one, to the
    /// network's. Returns the sum, f32 `[]`; `None` for a lane without anchors. Does not wait for the device.
    pub(crate) fn backward_on_anchors(
        &self,
        anchors: &[NoisedAnchor],
        scale: f64,
    ) -> Option<Tensor> {
        let drawn = self.anchors.as_ref()?;
        let sum = drawn.errors(&self.network, &self.process, anchors).sum(Kind::Float);
        (&sum * scale).backward();
        Some(sum.detach())
    }

    /// Returns the losses of an objective on the density of denoising steps.
    fn chain_losses(
        &self,
        config: &LearnerConfig,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        mini_batch: MiniBatch<'_>,
    ) -> Losses {
        let device = self.network.parameters().device();
        let each = |value: &dyn Fn(&Pair) -> f32| per_pair(pairs, device, value);
        let data = MicroBatch::new(epoch, pairs, device);
        let advantage = each(&|pair| epoch.advantages[pair.trajectory]);
        let proximal = each(&|pair| epoch.clip_log_prob(pair));
        let drift = each(&|pair| epoch.drift(pair));
        let weight = each(&|pair| mini_batch.step_weights[pair.step] as f32);
        let now = self.predict(&self.network, &data);
        let log_ratio = &now.log_prob - &proximal;
        let dimensions = data.state.get(0).numel();
        let factor = config.log_prob.factor(dimensions);
        let moved = (config.trust_region == TrustRegion::Kl).then(|| {
            let old_mean = &data.next - &now.sigma * sampling_noise(epoch, pairs, device);
            gaussian::kl_same_sigma(&old_mean, &now.mean, &now.sigma) * dimensions as f64
        });
        let inputs = LossInputs {
            log_prob: &(&now.log_prob * factor),
            proximal_log_prob: &(&proximal * factor),
            drift_nats: &(drift * dimensions as f64),
            moved_nats: moved.as_ref(),
            advantage: &advantage,
        };
        let limits = Limits {
            trust_region: config.trust_region,
            clip_ratio: config.clip_ratio,
            kl_limit: config.kl_limit,
            importance_cap: config.importance_cap,
        };
        let objective = policy_gradient_losses(config.objective, &inputs, limits);
        // The KL's gradient at the model's output is proportional to 1 / sigma^2, the density's to
        // 1 / sigma. So the weight of the KL is squared.
        let kl_scale = weight.square() * factor;
        let kl = self.kl(&now, &data);
        Losses { objective: objective * weight, kl, kl_scale, log_ratio, moved, error: None }
    }

    /// Returns the losses of the forward objective.
    fn forward_losses(
        &self,
        config: &LearnerConfig,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        mini_batch: MiniBatch<'_>,
    ) -> Losses {
        let device = self.network.parameters().device();
        let advantage = per_pair(pairs, device, &|pair| epoch.advantages[pair.trajectory]);
        let image = images(&epoch.trajectories, pairs, device);
        let noise = forward_noise(epoch, pairs, config.forward.levels, device);
        let levels: Vec<i64> = pairs.iter().map(|pair| pair.step as i64).collect();
        let Noised { state, target } = self.process.noised(&image, &noise, &levels);
        let timesteps = upload(&levels, &[levels.len() as i64], device);
        let classes = labels(epoch, pairs, device);
        let predict = |network: &UNet| network.forward(&state, &timesteps, classes.as_ref());
        let prediction = predict(&self.network);
        let old = match &self.old {
            Some(old) if !mini_batch.is_old => tch::no_grad(|| predict(old)),
            _ => prediction.detach(),
        };
        let inputs = ForwardInputs {
            prediction: &prediction,
            old: &old,
            target: &target,
            advantage: &advantage,
        };
        let (clip, largest) = (config.clip_ratio, config.clip_advantages);
        let losses = forward_losses(&config.forward, &inputs, largest, clip);
        let kl = self.reference.as_ref().map(|reference| {
            let reference = tch::no_grad(|| predict(reference));
            mean_square(&(&prediction - reference))
        });
        let kl_scale = losses.error.ones_like().detach();
        Losses {
            objective: losses.loss,
            kl,
            kl_scale,
            log_ratio: losses.log_ratio,
            moved: None,
            error: Some(losses.error),
        }
    }

    /// Returns KL(policy || pretrained) of each pair, mean over dimensions, f32 `[P]`.
    fn kl(&self, now: &Prediction, data: &MicroBatch) -> Option<Tensor> {
        let reference = self.reference.as_ref()?;
        let target = tch::no_grad(|| self.predict(reference, data));
        Some(gaussian::kl_same_sigma(&now.mean, &target.mean, &now.sigma))
    }

    /// Returns the log-probabilities of `pairs` under the network's current weights, mean over
    /// dimensions.
    ///
    /// # Errors
    /// [`TchError`] if a result cannot be copied from the device.
    pub(crate) fn log_probs(
        &self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
    ) -> Result<Vec<f32>, TchError> {
        let device = self.network.parameters().device();
        let data = MicroBatch::new(epoch, pairs, device);
        let now = tch::no_grad(|| self.predict(&self.network, &data));
        Ok(read(&[&now.log_prob])?.into_iter().map(|value| value as f32).collect())
    }

    fn predict(&self, network: &UNet, data: &MicroBatch) -> Prediction {
        let timesteps = self.transitions.timestep_tensor(&data.steps);
        let output = network.forward(&data.state, &timesteps, data.labels.as_ref());
        let (mean, sigma) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
        let log_prob = gaussian::log_prob(&data.next, &mean, &sigma);
        Prediction { mean, sigma, log_prob }
    }
}

/// Returns one f32 for each pair, `[P]` on `device`.
fn per_pair(pairs: &[Pair], device: Device, value: &dyn Fn(&Pair) -> f32) -> Tensor {
    let values: Vec<f32> = pairs.iter().map(value).collect();
    upload(&values, &[values.len() as i64], device)
}

/// Splits the pairs or anchors of a micro-batch over the lanes and runs the parts in parallel; the results
/// are in their order. A single lane runs on the calling thread.
///
/// # Errors
/// The error of the first lane that has one.
pub(crate) fn over_lanes<T: Send, P: Sync>(
    lanes: &mut [Lane],
    pairs: &[P],
    run: impl Fn(&Lane, &[P]) -> Result<T, TchError> + Sync,
) -> Result<Vec<T>, TchError> {
    if let [lane] = lanes {
        return Ok(vec![run(lane, pairs)?]);
    }
    let each = pairs.len().div_ceil(lanes.len());
    let parts = lanes.iter_mut().zip(pairs.chunks(each));
    let results = side_by_side(parts, |(lane, part)| run(lane, part));
    results.into_iter().map(|result| result.unwrap_or_else(|cause| resume_unwind(cause))).collect()
}
