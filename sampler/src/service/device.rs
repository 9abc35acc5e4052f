//! The device thread, which owns the backend and runs one job at a time until the device fails.

use crate::backend::{Backend, BackendError, ReceivedWeights};
use crate::engine::{Progress, Provenance};
use bytes::Bytes;
use ddpo_diffusion::flops;
use ddpo_rollout::order::{WeightsId, WorkOrder};
use ddpo_rollout::trajectory::TrajectoryHeader;
use ddpo_service::device::{DeviceFailure, DeviceWork};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// The sampler's work, as messages about device failures name it.
pub const WORK: DeviceWork = DeviceWork {
    name: "sampler",
    less_memory: "free memory on the device, or start a new run with a smaller sample_batch_size or \
                  dtype = \"bf16\" at the learner",
};

/// Receives a batch while it is drawn, on the device's threads. Must not block.
pub trait BatchSink: Send + Sync {
    /// Called when the trajectory at `index` of the batch begins.
    fn opened(&self, index: usize, header: TrajectoryHeader);

    /// Called with its state after `step` steps.
    fn state(&self, index: usize, step: usize, state: Bytes);

    /// Called when its states are complete.
    fn finished(&self, index: usize, log_probs: &[f32]);
}

/// Errors of a job on the device thread.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The device failed; its thread has ended.
    #[error("{0}")]
    Failed(#[source] DeviceFailure),
    /// The thread has ended.
    #[error("sampler: the device thread has stopped")]
    Stopped,
    /// The thread could not be started.
    #[error("sampler: could not start the device thread: {0}")]
    Thread(std::io::Error),
}

impl DeviceError {
    /// Returns whether the device thread has ended.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Stopped | Self::Thread(_) => true,
            Self::Backend(_) => false,
        }
    }
}

/// Gives the backend's answer back.
type Reply<T> = oneshot::Sender<Result<T, DeviceError>>;

enum Job {
    Load(ReceivedWeights, Reply<()>),
    Draw { order: Arc<WorkOrder>, sink: Arc<dyn BatchSink>, reply: Reply<u64> },
}

/// A handle to the device thread, which ends with the last clone.
#[derive(Clone)]
pub struct Device {
    jobs: mpsc::Sender<Job>,
}

impl Device {
    /// Starts the thread; `make` builds the backend on it.
    ///
    /// # Errors
    /// [`DeviceError::Thread`], or the errors of `make`.
    pub async fn start<F>(make: F) -> Result<Self, DeviceError>
    where
        F: FnOnce() -> Result<Box<dyn Backend>, BackendError> + Send + 'static,
    {
        let (jobs, inbox) = mpsc::channel(1);
        let (reply, made) = oneshot::channel();
        std::thread::Builder::new()
            .name("device".into())
            .spawn(move || match guarded(make) {
                Ok(backend) => {
                    let _ = reply.send(Ok(()));
                    serve(backend, inbox);
                }
                Err(error) => _ = reply.send(Err(error)),
            })
            .map_err(DeviceError::Thread)?;
        made.await.unwrap_or(Err(DeviceError::Stopped))?;
        Ok(Self { jobs })
    }

    /// Loads weights, unless they are already loaded.
    ///
    /// # Errors
    /// [`DeviceError`]; the previous weights stay.
    pub async fn load(&self, weights: ReceivedWeights) -> Result<(), DeviceError> {
        self.ask(|reply| Job::Load(weights, reply)).await
    }

    /// Draws the batch of an order with the weights that are loaded, and returns the number of
    /// floating-point operations.
    ///
    /// # Errors
    /// [`DeviceError`]; the whole batch is discarded.
    pub async fn draw(
        &self,
        order: Arc<WorkOrder>,
        sink: Arc<dyn BatchSink>,
    ) -> Result<u64, DeviceError> {
        self.ask(|reply| Job::Draw { order, sink, reply }).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, DeviceError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| DeviceError::Stopped)?;
        answer.await.unwrap_or(Err(DeviceError::Stopped))
    }
}

fn serve(mut backend: Box<dyn Backend>, mut inbox: mpsc::Receiver<Job>) {
    while let Some(job) = inbox.blocking_recv() {
        let ends = match job {
            Job::Load(weights, reply) => {
                answer(reply, guarded(|| load(backend.as_mut(), &weights)))
            }
            Job::Draw { order, sink, reply } => {
                answer(reply, guarded(|| draw(backend.as_mut(), &order, sink.as_ref())))
            }
        };
        if ends {
            return;
        }
    }
}

/// Answers the caller, who may have ended, and returns whether the device's thread has to end.
fn answer<T>(reply: Reply<T>, done: Result<T, DeviceError>) -> bool {
    let ends = done.as_ref().is_err_and(DeviceError::is_final);
    let _ = reply.send(done);
    ends
}

fn load(backend: &mut dyn Backend, weights: &ReceivedWeights) -> Result<(), BackendError> {
    match backend.loaded() == Some((weights.id, weights.digest)) {
        true => Ok(()),
        false => backend.load(weights),
    }
}

fn draw(
    backend: &mut dyn Backend,
    order: &WorkOrder,
    sink: &dyn BatchSink,
) -> Result<u64, BackendError> {
    let counted = flops::counted();
    let id: WeightsId = order.weights;
    let digest = order.weights_digest;
    if backend.loaded() != Some((id, digest)) {
        return Err(BackendError::NoWeights);
    }
    let provenance = Provenance { policy_version: id.version, weights_digest: digest };
    let samples = order.coordinates();
    for (index, &sample) in samples.iter().enumerate() {
        let header = backend.header(sample, order.purpose, provenance);
        if let Some(facts) = backend.facts() {
            facts.check(&order.run_id, &header)?;
        }
        sink.opened(index, header);
    }
    let observe = |progress: Progress<'_>| {
        for (offset, state) in progress.states.iter().enumerate() {
            sink.state(progress.first + offset, progress.step, state.clone());
        }
    };
    let drawn = backend.generate(&samples, order.purpose, provenance, &observe)?;
    for (index, trajectory) in drawn.iter().enumerate() {
        sink.finished(index, trajectory.log_probs());
    }
    Ok(flops::counted() - counted)
}

/// Runs a job and returns device faults and panics as errors; libtorch's failures arrive as panics.
fn guarded<T>(job: impl FnOnce() -> Result<T, BackendError>) -> Result<T, DeviceError> {
    match WORK.catch(job) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => match WORK.failure(&error.to_string()) {
            Some(failure) => Err(DeviceError::Failed(failure)),
            None => Err(error.into()),
        },
        Err(failure) => Err(DeviceError::Failed(failure)),
    }
}
