//! One forward and backward pass over a micro-batch: log-probability, KL and loss.
//!
//! A lane is a network on the policy's tensors with gradients that it alone writes, so that lanes
//! run side by side, one thread each. [`crate::policy::Policy`] adds their gradients in a fixed
//! order.

use crate::config::LearnerConfig;
use crate::epoch::Epoch;
use crate::micro_batch::MicroBatch;
use crate::objective::{Limits, LossInputs, losses};
use crate::pairs::Pair;
use ddpo_diffusion::gaussian;
use ddpo_diffusion::lanes::side_by_side;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::transfer::{read, upload};
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::trajectory::Trajectory;
use std::panic::resume_unwind;
use tch::{Kind, TchError, Tensor};

/// The networks that a pass runs.
#[derive(Debug)]
pub struct Lane {
    /// The policy; its parameters collect the gradient.
    pub network: UNet,
    /// Timesteps, means and variances of the denoising steps.
    pub transitions: Transitions,
    /// The pretrained model, if the KL from it is computed.
    pub reference: Option<UNet>,
}

/// The results of a pass, on its device.
#[derive(Debug)]
pub struct PassTensors {
    /// Sum of the losses of the pairs, f32 `[]`.
    loss: Tensor,
    /// log p_new - log p_proximal of each pair, mean over dimensions, f32 `[P]`.
    log_ratios: Tensor,
    /// Sum over pairs of the KL from the pretrained model, f64 `[]`.
    kl: Option<Tensor>,
}

/// The results of a pass.
#[derive(Debug)]
pub struct PassOutput {
    /// Sum of the losses of the pairs.
    pub loss: f64,
    /// log p_new - log p_proximal of each pair, mean over dimensions.
    pub log_ratios: Vec<f32>,
    /// Sum over pairs of the KL from the pretrained model, nats a dimension; 0 without a reference.
    pub kl: f64,
}

impl PassOutput {
    /// Reads the results of the parts of a micro-batch, in the order of the pairs. Waits for the device
    /// once.
    ///
    /// # Errors
    /// [`TchError`] of the device.
    pub(crate) fn read(parts: &[PassTensors]) -> Result<Self, TchError> {
        let losses = parts.iter().map(|part| &part.loss);
        let kls = parts.iter().filter_map(|part| part.kl.as_ref());
        let log_ratios = parts.iter().map(|part| &part.log_ratios);
        let values = read(&losses.chain(kls.clone()).chain(log_ratios).collect::<Vec<_>>())?;
        let (losses, values) = values.split_at(parts.len());
        let (kls, log_ratios) = values.split_at(kls.count());
        Ok(Self {
            loss: losses.iter().sum(),
            log_ratios: log_ratios.iter().map(|&value| value as f32).collect(),
            kl: kls.iter().sum(),
        })
    }
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
    /// sum(losses) / `total` to the network's; `total` is the number of pairs in the mini-batch.
    ///
    /// Loss of a pair: [`losses`] + `kl_coef` * KL(policy || pretrained). A loss that is not finite
    /// leaves a gradient that is not: the caller must not take a step with it. Nothing waits for the
    /// device.
    pub(crate) fn backward(
        &self,
        config: &LearnerConfig,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> PassTensors {
        let device = self.network.parameters().device();
        let each = |value: &dyn Fn(&Pair) -> f32| {
            let values: Vec<f32> = pairs.iter().map(value).collect();
            upload(&values, &[values.len() as i64], device)
        };
        let data = MicroBatch::new(&epoch.trajectories, pairs, device);
        let advantage = each(&|pair| epoch.advantages[pair.trajectory]);
        let proximal = each(&|pair| epoch.clip_log_prob(pair));
        let now = self.predict(&self.network, &data);
        let log_ratios = &now.log_prob - &proximal;
        let factor = config.log_prob.factor(data.state.get(0).numel());
        let inputs = LossInputs {
            log_prob: &(&now.log_prob * factor),
            proximal_log_prob: &(&proximal * factor),
            old_log_prob: &(&data.old_log_prob * factor),
            advantage: &advantage,
        };
        let (clip_ratio, importance_cap) = (config.clip_ratio, config.importance_cap);
        let mut loss = losses(config.objective, &inputs, Limits { clip_ratio, importance_cap });
        let kl = self.kl(&now, &data);
        let kl_sum = kl.as_ref().map(|kl| kl.sum(Kind::Double));
        if let Some(kl) = kl.filter(|_| config.kl_coef > 0.0) {
            loss += kl * (factor * config.kl_coef);
        }
        let sum = loss.sum(Kind::Float);
        (&sum / total as f64).backward();
        PassTensors { loss: sum.detach(), log_ratios: log_ratios.detach(), kl: kl_sum }
    }

    /// KL(policy || pretrained) of each pair, mean over dimensions, f32 `[P]`.
    fn kl(&self, now: &Prediction, data: &MicroBatch) -> Option<Tensor> {
        let reference = self.reference.as_ref()?;
        let target = tch::no_grad(|| self.predict(reference, data));
        Some(gaussian::kl_same_sigma(&now.mean, &target.mean, &now.sigma))
    }

    /// Returns the log-probabilities of `pairs` under the network's present weights, mean over
    /// dimensions.
    ///
    /// # Errors
    /// [`TchError`] if a result cannot be copied from the device.
    pub(crate) fn log_probs(
        &self,
        trajectories: &[&Trajectory],
        pairs: &[Pair],
    ) -> Result<Vec<f32>, TchError> {
        let device = self.network.parameters().device();
        let data = MicroBatch::new(trajectories, pairs, device);
        let now = tch::no_grad(|| self.predict(&self.network, &data));
        Ok(read(&[&now.log_prob])?.into_iter().map(|value| value as f32).collect())
    }

    fn predict(&self, network: &UNet, data: &MicroBatch) -> Prediction {
        let timesteps = self.transitions.timestep_tensor(&data.steps);
        let output = network.forward(&data.state, &timesteps);
        let (mean, sigma) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
        let log_prob = gaussian::log_prob(&data.next, &mean, &sigma);
        Prediction { mean, sigma, log_prob }
    }
}

/// Cuts a micro-batch over the lanes and runs the parts side by side; the results are in the order
/// of the pairs. A single lane runs on the calling thread.
///
/// # Errors
/// The error of the first lane that has one.
pub(crate) fn over_lanes<T: Send>(
    lanes: &mut [Lane],
    pairs: &[Pair],
    run: impl Fn(&Lane, &[Pair]) -> Result<T, TchError> + Sync,
) -> Result<Vec<T>, TchError> {
    if let [lane] = lanes {
        return Ok(vec![run(lane, pairs)?]);
    }
    let each = pairs.len().div_ceil(lanes.len());
    let parts = lanes.iter_mut().zip(pairs.chunks(each));
    let results = side_by_side(parts, |(lane, part)| run(lane, part));
    results.into_iter().map(|result| result.unwrap_or_else(|cause| resume_unwind(cause))).collect()
}
