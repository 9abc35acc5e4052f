//! The backend that runs the model. Model and scheduler come from the learner's published
//! specification, so a sampler needs no checkpoint and no model settings that could differ.

use crate::backend::{Backend, BackendError, ReceivedWeights};
use crate::engine::{Observer, Provenance, Sampler};
use ddpo_diffusion::device::choose_norm_kernel;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_diffusion::unet::{UNet, layout};
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::{RunSpec, WeightsId};
use ddpo_rollout::trajectory::{
    Digest, SampleCoordinates, StateShape, Trajectory, TrajectoryHeader,
};
use tch::{Device, Kind, Tensor};

/// The model of a run and the loaded weights.
#[derive(Debug)]
pub struct ModelBackend {
    sampler: Sampler,
    facts: TrajectoryFacts,
    config: UNetConfig,
    kind: Kind,
    device: Device,
    loaded: Option<(WeightsId, Digest, UNet)>,
}

impl ModelBackend {
    /// Builds the model of a run on `device` with `threads` CPU threads.
    ///
    /// # Errors
    /// [`BackendError::Run`] if a config is not supported, [`BackendError::Scheduler`] if the
    /// resulting transitions differ from the learner's.
    pub fn new(spec: &RunSpec, device: Device, threads: usize) -> Result<Self, BackendError> {
        let refused = |reason: String| BackendError::Run { run_id: spec.run_id.clone(), reason };
        let config = UNetConfig::from_json(&spec.unet_config)
            .map_err(|error| refused(format!("unet/config.json: {error}")))?;
        let schedule = SchedulerConfig::from_json(&spec.scheduler_config)
            .map_err(|error| refused(format!("scheduler_config.json: {error}")))?;
        let scheduler: SchedulerKind = spec
            .scheduler
            .parse()
            .map_err(|error| refused(format!("scheduler = {}: {error}", spec.scheduler)))?;
        let kind = spec
            .dtype
            .parse::<Dtype>()
            .map_err(|error| refused(format!("dtype = {}: {error}", spec.dtype)))?
            .kind();
        choose_norm_kernel(spec.norm_kernel, device, kind)
            .map_err(|error| refused(error.to_string()))?;
        let steps = spec.num_inference_steps;
        let transitions = Transitions::new(scheduler, &schedule, steps, spec.eta)
            .map_err(|error| refused(error.to_string()))?
            .on(device);
        let (expected, found) = (spec.scheduler_digest, transitions.digest());
        if expected != found {
            return Err(BackendError::Scheduler { expected, found });
        }
        let (height, width) = config.image_size().map_err(|error| refused(error.to_string()))?;
        let shape = StateShape { channels: config.in_channels as usize, height, width };
        let chain = ChainFacts::Known(transitions.chain(spec.window, spec.needed_states));
        let form = TrajectoryForm { dtype: spec.state_dtype, shape: Some(shape), chain };
        let facts = TrajectoryFacts { run_id: spec.run_id.clone(), form: Some(form) };
        let classes = config
            .classes(spec.class_labels.as_ref())
            .map_err(|error| refused(error.to_string()))?;
        let lanes = layout(&config, device).lanes(threads);
        let sampler = Sampler::new(transitions, shape, spec.state_dtype)
            .with_chain(spec.window, spec.needed_states)
            .with_classes(classes)
            .with_lanes(lanes);
        Ok(Self { sampler, facts, config, kind, device, loaded: None })
    }

    fn unet_of(&self, weights: &ReceivedWeights) -> Result<UNet, BackendError> {
        let id = weights.id;
        let refused = |reason: String| BackendError::Weights { id, reason };
        let unet = UNet::new(&self.config, Kind::Float, Device::Cpu);
        let entries = unet.parameters().entries();
        if entries.len() != weights.tensors.len() {
            let (expected, found) = (entries.len(), weights.tensors.len());
            return Err(refused(format!("expected {expected} tensors, found {found}")));
        }
        for ((name, target), (found, shape, values)) in entries.iter().zip(&weights.tensors) {
            let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
            if name != found || target.size() != shape || values.len() != target.numel() {
                let expected = target.size();
                return Err(refused(format!(
                    "expected {name} {expected:?}, found {found} {shape:?} of {} bytes",
                    values.len() * size_of::<f32>()
                )));
            }
            let values = Tensor::f_from_slice(values)
                .and_then(|values| values.f_reshape(&shape))
                .map_err(|error| refused(format!("{name}: {error}")))?;
            let mut target = target.shallow_clone();
            tch::no_grad(|| target.copy_(&values));
        }
        let digest = unet.parameters().digest();
        if digest != weights.digest {
            return Err(refused(format!("expected digest {}, found {digest}", weights.digest)));
        }
        match (self.kind, self.device) {
            (Kind::Float, Device::Cpu) => Ok(unet),
            (kind, device) => Ok(unet.converted(kind, device)),
        }
    }
}

impl Backend for ModelBackend {
    fn load(&mut self, weights: &ReceivedWeights) -> Result<(), BackendError> {
        self.loaded = Some((weights.id, weights.digest, self.unet_of(weights)?));
        Ok(())
    }

    fn loaded(&self) -> Option<(WeightsId, Digest)> {
        self.loaded.as_ref().map(|(id, digest, _)| (*id, *digest))
    }

    fn facts(&self) -> Option<&TrajectoryFacts> {
        Some(&self.facts)
    }

    fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader {
        self.sampler.header(coordinates, purpose, provenance)
    }

    fn generate(
        &mut self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, BackendError> {
        let Some((_, _, unet)) = &self.loaded else { return Err(BackendError::NoWeights) };
        Ok(self.sampler.generate(unet, samples, purpose, provenance, observe)?)
    }
}
