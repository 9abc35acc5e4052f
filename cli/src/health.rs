//! `ddpo health`: reports by its exit status whether a service is serving, for container health
//! checks.

use crate::arguments::HealthCommand;
use crate::output::say;
use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longest wait for the answer; short, because probes run every few seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs the command.
pub fn run(command: &HealthCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(ask(command))?;
    let (address, state) = (&command.address, words(status));
    if status != ServingStatus::Serving && !command.live {
        bail!("{address}: {state}");
    }
    say(&format!("{address}: {state}"));
    Ok(())
}

async fn ask(command: &HealthCommand) -> Result<ServingStatus> {
    let mut client = HealthClient::new(command.auth.channel(&command.address)?);
    let address = &command.address;
    // The empty name stands for the whole server.
    match timeout(PATIENCE, client.check(HealthCheckRequest::default())).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().status()),
        Ok(Err(status)) => bail!("{address}: {}: {}", status.code(), status.message()),
        Err(_) => bail!("{address}: no answer within {PATIENCE:?}"),
    }
}

fn words(status: ServingStatus) -> &'static str {
    match status {
        ServingStatus::Serving => "serving",
        ServingStatus::NotServing => "not serving",
        ServingStatus::ServiceUnknown => "service unknown",
        ServingStatus::Unknown => "state unknown",
    }
}
