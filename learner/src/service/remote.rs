//! Implements [`Rollouts`] with samplers and rewarders on other machines.

use crate::service::dispatcher::Dispatcher;
use crate::service::ledger::{Awaited, BatchKey};
use crate::service::traces::UpdateTraces;
use ddpo_broadcast::manifest::{TensorShape, WireDtype};
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_inspector::board::Board;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use ddpo_run::error::RolloutsError;
use ddpo_run::progress::Progress;
use ddpo_run::rollouts::{OnInterrupt, Request, Rollout, Rollouts, Weights};
use ddpo_service::metrics::Metrics;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The weights and the epoch that the training thread has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reached {
    /// The weights published last.
    pub weights: Option<(PolicyVersion, Digest)>,
    /// The current epoch.
    pub epoch: Option<u32>,
}

/// Implements [`Rollouts`] by the [`Dispatcher`].
pub struct RemoteRollouts<'a> {
    /// Orders and collects batches.
    pub dispatcher: Dispatcher,
    /// The type that weights are sent in.
    pub wire_dtype: WireDtype,
    /// The board of the live page.
    pub board: Board,
    /// Reports the weights and the epoch reached.
    pub reached: watch::Sender<Reached>,
    /// Returns whether shutdown is requested.
    pub stop: &'a dyn Fn() -> bool,
    /// The service's metrics.
    pub metrics: Metrics,
    /// The batch of the last rollout.
    pub batch: Option<BatchKey>,
    /// The traces of the current update.
    pub update: Option<UpdateTraces>,
}

/// Records the time of a checkpoint, or of the run's start.
pub fn note_commit(metrics: &Metrics) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.last_commit.set([], now.as_secs_f64());
}

impl Rollouts for RemoteRollouts<'_> {
    fn publish(&mut self, weights: &Weights<'_>, host: &HostWeights) -> Result<(), RolloutsError> {
        let exposure = match weights.id.track {
            Track::Policy => Exposure::Current,
            Track::Average => Exposure::Aside,
        };
        let _timer = self.metrics.stage_seconds.time(["publish"]);
        self.dispatcher.store_task().publish(PublishRequest {
            id: weights.id,
            weights_digest: weights.digest,
            tensors: Arc::new(tensors(host)),
            dtype: self.wire_dtype,
            exposure,
            keep: Vec::new(),
        })?;
        self.metrics.weights.inc(["published"]);
        if weights.id.track == Track::Policy {
            self.reached.send_modify(|reached| {
                reached.weights = Some((weights.id.version, weights.digest));
            });
        }
        Ok(())
    }

    fn prefetch(&mut self, request: &Request<'_>) -> Result<(), RolloutsError> {
        Ok(self.dispatcher.order(awaited(request))?)
    }

    fn rollout(
        &mut self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Rollout>, RolloutsError> {
        let start = Instant::now();
        if request.purpose == Purpose::Rollout {
            self.reached.send_modify(|reached| reached.epoch = Some(request.epoch));
        }
        let awaited = awaited(request);
        self.dispatcher.order(awaited)?;
        let scored = self.collect(request, awaited.key, progress)?;
        let seconds_sampling = start.elapsed().as_secs_f64();
        Ok(scored.map(|scored| Rollout {
            scored,
            seconds_sampling,
            seconds_scoring: 0.0,
            operations: None,
        }))
    }

    fn can_draw_again(&self) -> bool {
        true
    }

    fn draw_again(
        &mut self,
        request: &Request<'_>,
        scored: Vec<ScoredTrajectory>,
        samples: &[u32],
        redraw: u32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<ScoredTrajectory>>, RolloutsError> {
        // Ends the traces of the failed update.
        self.updated();
        self.metrics.errors.inc(["ratio_check"]);
        let awaited = awaited(request);
        self.dispatcher.order_again(awaited, scored, samples, redraw)?;
        self.collect(request, awaited.key, progress)
    }

    fn updating(&mut self) {
        let version = self.reached.borrow().weights.map_or(0, |(version, _)| version.0);
        let traces = self.dispatcher.traces();
        self.update = self.batch.map(|key| traces.update(key, version));
    }

    fn updated(&mut self) {
        self.update = None;
        if let Some(key) = self.batch.take() {
            self.dispatcher.traces().end(key);
        }
    }

    fn saved(&mut self, epochs: u32) -> Result<(), RolloutsError> {
        note_commit(&self.metrics);
        self.board.trained_before(epochs);
        Ok(())
    }
}

impl RemoteRollouts<'_> {
    /// Waits for a batch and takes it; `None` if the run was asked to stop.
    fn collect(
        &mut self,
        request: &Request<'_>,
        key: BatchKey,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<ScoredTrajectory>>, RolloutsError> {
        let scored = self.dispatcher.collect(key, request.samples, &mut |come| {
            progress.at(request.stage, come, request.samples as usize);
            request.on_interrupt == OnInterrupt::Finish || !(self.stop)()
        })?;
        self.batch = Some(key);
        Ok(scored)
    }
}

fn awaited(request: &Request<'_>) -> Awaited {
    let key = match request.purpose {
        Purpose::Evaluation => BatchKey::Evaluation(request.weights.id),
        _ => BatchKey::Epoch(request.epoch),
    };
    Awaited {
        key,
        run_seed: request.run_seed,
        samples: request.samples,
        weights: request.weights.id,
        weights_digest: request.weights.digest,
    }
}

/// The tensors to publish, which share the memory of `host`.
fn tensors(host: &HostWeights) -> Vec<HostTensor> {
    let tensors = host.tensors.iter().map(|one| {
        let tensor = TensorShape { name: one.name.clone(), shape: one.shape.clone() };
        HostTensor { tensor, values: one.values.clone() }
    });
    tensors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ddpo_diffusion::host_weights;

    #[test]
    fn published_tensors_share_the_memory_of_the_host_copy() {
        let values = Bytes::from(vec![0; 24]);
        let one = host_weights::HostTensor { name: "w".into(), shape: vec![2, 3], values };
        let host = HostWeights { digest: Digest::of(b""), tensors: vec![one] };
        let found = tensors(&host);
        assert_eq!(found[0].values.as_ptr(), host.tensors[0].values.as_ptr());
        assert_eq!(found[0].tensor, TensorShape { name: "w".into(), shape: vec![2, 3] });
    }
}
