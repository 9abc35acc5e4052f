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
    /// Joins the results of the parts of a micro-batch, in the order of the pairs.
    pub(crate) fn joined(parts: &[Self]) -> Self {
        Self {
            loss: parts.iter().map(|part| part.loss).sum(),
            log_ratios: parts.iter().flat_map(|part| part.log_ratios.iter().copied()).collect(),
            kl: parts.iter().map(|part| part.kl).sum(),
        }
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
    /// Loss of a pair: [`losses`] + `kl_coef` * KL(policy || pretrained). If the sum of losses is
    /// not finite, no gradient is added.
    ///
    /// # Errors
    /// [`TchError`] if a result cannot be copied from the device.
    pub(crate) fn backward(
        &self,
        config: &LearnerConfig,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        total: usize,
    ) -> Result<PassOutput, TchError> {
        let device = self.network.parameters().device();
        let each = |value: &dyn Fn(&Pair) -> f32| {
            let values: Vec<f32> = pairs.iter().map(value).collect();
            Tensor::from_slice(&values).to_device(device)
        };
        let data = MicroBatch::new(&epoch.trajectories, pairs, device);
        let advantage = each(&|pair| epoch.advantages[pair.trajectory]);
        let proximal = each(&|pair| epoch.clip_log_prob(pair));
        let now = self.predict(&self.network, &data);
        let log_ratios = Vec::<f32>::try_from((&now.log_prob - &proximal).detach())?;
        let factor = config.log_prob.factor(data.state.get(0).numel());
        let inputs = LossInputs {
            log_prob: &(&now.log_prob * factor),
            proximal_log_prob: &(&proximal * factor),
            old_log_prob: &(&data.old_log_prob * factor),
            advantage: &advantage,
        };
        let (clip_ratio, importance_cap) = (config.clip_ratio, config.importance_cap);
        let mut loss = losses(config.objective, &inputs, Limits { clip_ratio, importance_cap });
        let mut kl_sum = 0.0;
        if let Some(kl) = self.kl(&now, &data) {
            kl_sum = kl.sum(Kind::Double).double_value(&[]);
            if config.kl_coef > 0.0 {
                loss += kl * (factor * config.kl_coef);
            }
        }
        let sum = loss.sum(Kind::Float);
        let value = sum.double_value(&[]);
        if value.is_finite() {
            (sum / total as f64).backward();
        }
        Ok(PassOutput { loss: value, log_ratios, kl: kl_sum })
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
        Vec::<f32>::try_from(now.log_prob)
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
