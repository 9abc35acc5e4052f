//! `double-sampler`: the sampler with keyed noise instead of a model.

use ddpo_doubles::noise_backend::NoiseBackend;
use ddpo_rollout::order::RunSpec;
use ddpo_sampler::backend::{Backend, BackendError};
use ddpo_sampler::service::command;
use ddpo_sampler::service::settings::SamplerSettings;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    command::main(Arc::new(open))
}

fn open(spec: &RunSpec, _: &SamplerSettings) -> Result<Box<dyn Backend>, BackendError> {
    let text = std::env::var("DOUBLE_LATENCY_MS").unwrap_or_default();
    let latency = text.parse().map_err(|_| BackendError::Run {
        run_id: spec.run_id.clone(),
        reason: format!("DOUBLE_LATENCY_MS = {text}: expected milliseconds"),
    })?;
    Ok(Box::new(NoiseBackend::new(Duration::from_millis(latency), spec.scheduler_digest)))
}
