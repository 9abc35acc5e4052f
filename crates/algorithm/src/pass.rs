//! One forward and backward pass over a micro-batch, by one lane.
//!
//! A lane has its own network on the policy's tensors, so that lanes can run side by side on one
//! thread each. Their gradients meet in [`crate::policy::Policy`], in a fixed order.

use crate::config::LearnerConfig;
use crate::objective::{Limits, Terms, losses};
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
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The epoch's trajectories.
    pub trajectories: &'a [&'a Trajectory],
    /// Their advantages.
    pub advantages: &'a [f32],
    /// The log-probability of a pair that the clip is around, mean over dimensions.
    pub proximal: &'a (dyn Fn(&Pair) -> f32 + Sync),
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
    /// New minus proximal log-probability of each pair, mean over dimensions.
    pub log_ratios: Vec<f32>,
    /// Sum of the divergence from the pretrained model, nats a dimension.
    pub kl: f64,
}

/// What the network makes of a micro-batch.
struct Prediction {
    mean: Tensor,
    sigma: Tensor,
    log_prob: Tensor,
}

impl Lane {
    /// Runs forward and backward; the gradient of the mini-batch's mean loss is added to the
    /// network's. Where the loss is not finite, there is no backward pass.
    ///
    /// # Errors
    /// [`TchError`] if libtorch cannot hand out the result.
    pub fn run(&self, config: &LearnerConfig, work: Work<'_>) -> Result<PassOutput, TchError> {
        let device = self.network.parameters().device();
        let each = |value: &dyn Fn(&Pair) -> f32| {
            let values: Vec<f32> = work.pairs.iter().map(value).collect();
            Tensor::from_slice(&values).to_device(device)
        };
        let data = MicroBatch::new(work.trajectories, work.pairs, device);
        let advantage = each(&|pair| work.advantages[pair.trajectory]);
        let proximal = each(&|pair| (work.proximal)(pair));
        let now = self.predict(&self.network, &data);
        let log_ratios = Vec::<f32>::try_from((&now.log_prob - &proximal).detach())?;
        let factor = config.reduction.factor(data.state.get(0).numel());
        let terms = Terms {
            log_prob: &(&now.log_prob * factor),
            proximal_log_prob: &(&proximal * factor),
            old_log_prob: &(&data.old_log_prob * factor),
            advantage: &advantage,
        };
        let (clip_ratio, importance_cap) = (config.clip_ratio, config.importance_cap);
        let mut loss = losses(config.objective, &terms, Limits { clip_ratio, importance_cap });
        let mut kl_sum = 0.0;
        if let Some(reference) = &self.reference {
            let target = tch::no_grad(|| self.predict(reference, &data));
            let kl = gaussian::kl_same_sigma(&now.mean, &target.mean, &now.sigma);
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

    /// Log-probabilities of `pairs` under the network's present weights, mean over dimensions.
    ///
    /// # Errors
    /// [`TchError`] if libtorch cannot hand out the result.
    pub fn log_probs(
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

/// Cuts a micro-batch over the lanes, which run side by side on one thread each; the parts' results
/// in the order of the pairs.
///
/// # Errors
/// The first lane's that has one.
pub fn side_by_side<T: Send>(
    lanes: &mut [Lane],
    pairs: &[Pair],
    run: impl Fn(&Lane, &[Pair]) -> Result<T, TchError> + Sync,
) -> Result<Vec<T>, TchError> {
    if let [lane] = lanes {
        return Ok(vec![run(lane, pairs)?]);
    }
    let each = pairs.len().div_ceil(lanes.len());
    let threads = tch::get_num_threads();
    let run = &run;
    let outputs = std::thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter_mut()
            .zip(pairs.chunks(each))
            .map(|(lane, part)| {
                scope.spawn(move || {
                    tch::set_num_threads(1);
                    run(lane, part)
                })
            })
            .collect();
        let joined = running.into_iter().map(|lane| match lane.join() {
            Ok(output) => output,
            Err(cause) => std::panic::resume_unwind(cause),
        });
        joined.collect::<Result<Vec<_>, TchError>>()
    });
    tch::set_num_threads(threads);
    outputs
}
