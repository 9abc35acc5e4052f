//! Moves weights as from learner to sampler, without a network: digest, copy to the host and back,
//! digest.

use super::findings::Check;
use super::network::{self, synchronise};
use anyhow::Result;
use ddpo_diffusion::parameters::Layout;
use std::time::Instant;
use tch::{Device, Kind};

pub fn checks(device: Device) -> Result<Vec<Check>> {
    let config = if device.is_cuda() { network::CELEBAHQ_256 } else { network::SMALL };
    let unet = network::random(config)?;
    let unet = network::placed(&unet, Kind::Float, device, Layout::ChannelsLast);
    synchronise(device);
    let start = Instant::now();
    let published = unet.parameters().digest();
    let on_host = unet.converted(Kind::Float, Device::Cpu);
    let to_host = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let loaded = on_host.converted(Kind::Float, device);
    synchronise(device);
    let to_device = start.elapsed().as_secs_f64();
    let same = loaded.parameters().digest() == published;
    let megabytes = unet.parameters().count() as f64 * 4e-6;
    let figures = [
        ("megabytes", megabytes),
        ("seconds_to_host_with_digest", to_host),
        ("seconds_to_device", to_device),
    ];
    Ok(vec![Check::new("weights to the host and back", same, "the same digest", &figures)])
}
