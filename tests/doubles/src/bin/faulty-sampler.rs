//! `faulty-sampler`: the sampler, whose model fails with an error of libtorch.

use ddpo_doubles::faulty::{Fault, FaultyBackend};
use ddpo_sampler::service::command;
use ddpo_sampler::service::run::open_model;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    command::main(Arc::new(|spec, settings| {
        let inner = open_model(spec, settings)?;
        Ok(Box::new(FaultyBackend { inner, fault: Fault::from_environment() }))
    }))
}
