//! One forward and backward pass over a micro-batch, by one lane.
//!
//! A lane has its own network on the policy's tensors, so that lanes can run side by side on one
//! thread each. Their gradients meet in [`crate::policy::Policy`], in a fixed order.

use crate::config::LearnerConfig;
use crate::objective::{Terms, losses};
use crate::pairs::{MicroBatch, Pair};
use ddpo_diffusion::gaussian;
use ddpo_diffusion::scheduler::Transitions;
use ddpo_diffusion::unet::UNet;
use ddpo_rollout::trajectory::Trajectory;
use tch::{Kind, TchError, Tensor};

/// What a pass runs on.
#[derive(Debug)]
pub struct Lane {
    /// The network; its parameters collect the gradient.
    pub network: UNet,
    /// The steps.
    pub transitions: Transitions,
    /// The pretrained model, where the divergence from it is wanted.
    pub reference: Option<UNet>,
}

/// The data of a pass.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The epoch's trajectories.
    pub trajectories: &'a [&'a Trajectory],
    /// Their advantages.
    pub advantages: &'a [f32],
    /// The pairs of this pass; at least one.
    pub pairs: &'a [Pair],
    /// Pairs of the whole mini-batch, over which the loss is a mean.
    pub total: usize,
}

/// What a pass found.
#[derive(Debug)]
pub struct PassOutput {
    /// Sum of the pairs' losses.
    pub loss: f64,
    /// New minus old log-probability of each pair, mean over dimensions.
    pub log_ratios: Vec<f32>,
    /// Sum of the divergence from the pretrained model, nats a dimension.
    pub kl: f64,
}

impl Lane {
    /// Runs forward and backward; the gradient of the mini-batch's mean loss is added to the
    /// network's. Where the loss is not finite, there is no backward pass.
    ///
    /// # Errors
    /// [`TchError`] if libtorch cannot hand out the result.
    pub fn run(&self, config: &LearnerConfig, work: Work<'_>) -> Result<PassOutput, TchError> {
        let device = self.network.parameters().device();
        let data = MicroBatch::new(work.trajectories, work.pairs, device);
        let advantage = |pair: &Pair| work.advantages[pair.trajectory];
        let advantage: Vec<f32> = work.pairs.iter().map(advantage).collect();
        let advantage = Tensor::from_slice(&advantage).to_device(device);
        let timesteps = self.transitions.timestep_tensor(&data.steps);
        let output = self.network.forward(&data.state, &timesteps);
        let (mean, sigma) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
        let log_prob = gaussian::log_prob(&data.next, &mean, &sigma);
        let log_ratios = Vec::<f32>::try_from((&log_prob - &data.old_log_prob).detach())?;
        let factor = config.reduction.factor(data.state.get(0).numel());
        let terms = Terms {
            log_prob: &(&log_prob * factor),
            old_log_prob: &(&data.old_log_prob * factor),
            advantage: &advantage,
        };
        let mut loss = losses(config.objective, &terms, config.clip_ratio);
        let mut kl_sum = 0.0;
        if let Some(reference) = &self.reference {
            let output = tch::no_grad(|| reference.forward(&data.state, &timesteps));
            let (target, _) = self.transitions.mean_and_sigma(&data.state, &output, &data.steps);
            let kl = gaussian::kl_same_sigma(&mean, &target, &sigma);
            kl_sum = kl.sum(Kind::Double).double_value(&[]);
            if config.kl_coefficient > 0.0 {
                loss += kl * (factor * config.kl_coefficient);
            }
        }
        let sum = loss.sum(Kind::Float);
        let value = sum.double_value(&[]);
        if value.is_finite() {
            (sum / work.total as f64).backward();
        }
        Ok(PassOutput { loss: value, log_ratios, kl: kl_sum })
    }
}
