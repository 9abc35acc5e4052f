//! `ddpo doctor`: what this machine offers, and the device that a command would use.

pub mod arguments;
mod cpu;
mod findings;
mod gpu;
mod storage;
mod text;

use crate::output::say;
use anyhow::Result;
use arguments::DoctorCommand;
use ddpo_diffusion::device;
use ddpo_rollout::numerics::Numerics;
pub use findings::Findings;
use findings::{Reach, Used};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest wait for Redis, and for the Hub.
const PATIENCE: Duration = Duration::from_secs(5);

/// The variable with the address of Redis, as for the services.
const REDIS_URL: &str = "DDPO_SERVICE_REDIS_URL";

/// Runs the command.
pub fn run(command: &DoctorCommand) -> Result<()> {
    let machine = look(&command.device, &command.output_dir)?;
    let findings = Findings { redis: redis(command), hub: hub(), ..machine };
    if command.json {
        say(&serde_json::to_string_pretty(&findings)?);
    } else {
        say(text::table(&findings).trim_end());
    }
    Ok(())
}

/// Inspects the machine without connecting to servers.
pub fn look(device_name: &str, output_dir: &Path) -> Result<Findings> {
    let device = device::open(device_name, Numerics::default())?;
    let not_asked = || Reach::not_asked("only ddpo doctor asks servers".into());
    Ok(Findings {
        version: env!("CARGO_PKG_VERSION").into(),
        machine: cpu::machine(),
        cpu: cpu::cpu(),
        memory: cpu::memory(),
        libtorch: gpu::libtorch(),
        cuda: gpu::cuda(),
        redis: not_asked(),
        hub: not_asked(),
        disks: storage::disks(output_dir),
        used: Used {
            device: device::describe(device_name, device),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        },
    })
}

/// Connects to the Redis of the flag or of the services' variable. `ddpo train` needs none.
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
