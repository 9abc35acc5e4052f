//! `ddpo doctor`: what this machine offers, and what a command would use of it.

mod cpu;
mod findings;
mod gpu;
mod storage;
mod text;

use crate::arguments::DoctorCommand;
use crate::output::say;
use anyhow::Result;
use ddpo_diffusion::device;
use ddpo_rollout::numerics::Numerics;
pub use findings::Findings;
use findings::{Reach, Used};
use std::time::{Duration, Instant};

/// The longest wait for Redis and for the Hub, each.
const PATIENCE: Duration = Duration::from_secs(5);

/// Variables with the address of Redis, as the services take it.
const REDIS_URL: &str = "DDPO_SERVICE_REDIS_URL";

/// Runs the command.
pub fn run(command: &DoctorCommand) -> Result<()> {
    let findings = look(command)?;
    if command.json {
        say(&serde_json::to_string_pretty(&findings)?);
    } else {
        say(text::table(&findings).trim_end());
    }
    Ok(())
}

/// Looks at the machine alone, without asking Redis.
pub fn look_at(device: &str, output_dir: &std::path::Path) -> Result<Findings> {
    look(&DoctorCommand {
        json: true,
        device: device.into(),
        redis_url: None,
        output_dir: output_dir.into(),
    })
}

fn look(command: &DoctorCommand) -> Result<Findings> {
    let device = device::open(&command.device, Numerics::default())?;
    Ok(Findings {
        version: env!("CARGO_PKG_VERSION").into(),
        machine: cpu::machine(),
        cpu: cpu::cpu(),
        memory: cpu::memory(),
        libtorch: gpu::libtorch(),
        cuda: gpu::cuda(),
        redis: redis(command),
        hub: hub(),
        disks: storage::disks(&command.output_dir),
        used: Used {
            device: device::describe(&command.device, device),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        },
    })
}

/// Asks the Redis of the flag or of the services' variable; none is needed by `ddpo train`.
fn redis(command: &DoctorCommand) -> Reach {
    let url = command.redis_url.clone().or_else(|| std::env::var(REDIS_URL).ok());
    let Some(url) = url else {
        return Reach::not_asked(format!("set --redis-url or {REDIS_URL} to check one"));
    };
    let start = Instant::now();
    let answered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ping(&url)));
    Reach::of(answered, start)
}

async fn ping(url: &str) -> Result<(), String> {
    use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig};
    ddpo_service::auth::install_crypto_provider();
    let config = RedisConfig {
        password: std::env::var("DDPO_SERVICE_REDIS_PASSWORD").ok(),
        patience: PATIENCE,
        ..RedisConfig::new(url, "doctor")
    };
    RedisBroadcast::connect(&config).await.map(drop).map_err(|error| error.to_string())
}

fn hub() -> Reach {
    use ddpo_checkpoint::hub::{Hub, HubSettings, Network};
    let settings = match HubSettings::from_env() {
        Ok(settings) => HubSettings { patience: PATIENCE, ..settings },
        Err(error) => return Reach::failed(error.to_string()),
    };
    if settings.network == Network::Offline {
        return Reach::not_asked("HF_HUB_OFFLINE is set".into());
    }
    let start = Instant::now();
    let answered =
        Hub::new(settings).and_then(|hub| hub.reach()).map_err(|error| error.to_string());
    Reach::of(answered, start)
}
