//! Trajectories from samplers elsewhere: the run's port [`Rollouts`], filled by the desk.

use crate::service::desk::Desk;
use crate::service::ledger::{Awaited, BatchKey};
use crate::service::traces::UpdateTraces;
use ddpo_broadcast::manifest::{TensorShape, WireDtype};
use ddpo_broadcast::source::{Exposure, HostTensor, PublishRequest};
use ddpo_diffusion::host_weights::HostWeights;
use ddpo_inspector::board::Board;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use ddpo_run::error::RolloutsError;
use ddpo_run::progress::Progress;
use ddpo_run::rollouts::{OnInterrupt, Request, Rollout, Rollouts, Weights};
use ddpo_service::metrics::Metrics;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What the run's thread has reached, for those who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reached {
    /// The weights that were published last.
    pub weights: Option<(PolicyVersion, Digest)>,
    /// Epoch that is worked on.
    pub epoch: Option<u32>,
}

/// The port.
pub struct RemoteRollouts<'a> {
    /// Where batches are ordered.
    pub desk: Desk,
    /// The type that weights travel in.
    pub wire_dtype: WireDtype,
    /// Where trajectories are shown.
    pub board: Board,
    /// Where the run has got to.
    pub reached: watch::Sender<Reached>,
    /// Whether somebody asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Where times are noted.
    pub metrics: Metrics,
    /// The batch that the last rollout gave.
    pub batch: Option<BatchKey>,
    /// The traces of the update with it, while there is one.
    pub update: Option<UpdateTraces>,
}

/// A checkpoint is on the disk, or the run is begun.
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
        self.desk.keeper().publish(PublishRequest {
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
        Ok(self.desk.order(awaited(request))?)
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
        self.desk.order(awaited)?;
        let scored = self.desk.collect(awaited.key, request.samples, &mut |come| {
            progress.at(request.stage, come, request.samples as usize);
            request.on_interrupt == OnInterrupt::Finish || !(self.stop)()
        })?;
        self.batch = Some(awaited.key);
        let seconds_sampling = start.elapsed().as_secs_f64();
        Ok(scored.map(|scored| Rollout {
            scored,
            seconds_sampling,
            seconds_scoring: 0.0,
            operations: None,
        }))
    }

    fn updating(&mut self) {
        let version = self.reached.borrow().weights.map_or(0, |(version, _)| version.0);
        let traces = self.desk.traces();
        self.update = self.batch.map(|key| traces.update(key, version));
    }

    fn updated(&mut self) {
        self.update = None;
        if let Some(key) = self.batch.take() {
            self.desk.traces().end(key);
        }
    }

    fn saved(&mut self, epochs: u32) -> Result<(), RolloutsError> {
        note_commit(&self.metrics);
        self.board.trained_before(epochs);
        Ok(())
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
