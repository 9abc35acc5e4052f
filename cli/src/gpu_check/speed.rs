//! Measures time, rate and memory of forward and training passes, and the device's fastest matrix
//! products.

use super::budget::Budget;
use super::findings::{Findings, Peak, Speed};
use super::network::{self, guarded, images, synchronise};
use anyhow::Result;
use ddpo_diffusion::parameters::{Gradients, Layout};
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::{device, flops};
use ddpo_rollout::numerics::{MatmulPrecision, NormKernel, Numerics};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// An arithmetic: its name, its type and the precision of f32 products.
pub struct Arithmetic {
    pub name: &'static str,
    pub kind: Kind,
    precision: MatmulPrecision,
}

/// Returns the arithmetics of a device; a CPU has no TF32.
pub fn arithmetics(device: Device) -> Vec<Arithmetic> {
    let of = |name, kind, precision| Arithmetic { name, kind, precision };
    let mut all = vec![of("f32", Kind::Float, MatmulPrecision::Highest)];
    if device.is_cuda() {
        all.push(of("tf32", Kind::Float, MatmulPrecision::High));
    }
    all.push(of("bf16", Kind::BFloat16, MatmulPrecision::Highest));
    all
}

impl Arithmetic {
    pub fn set(&self) -> Result<()> {
        let numerics = Numerics { matmul_precision: self.precision, ..Numerics::default() };
        Ok(device::set_numerics(numerics)?)
    }
}

/// The measured layouts and norm kernels.
const CONFIGURATIONS: [(Layout, NormKernel, &str); 3] = [
    (Layout::ChannelsLast, NormKernel::Libtorch, "channels_last"),
    (Layout::ChannelsFirst, NormKernel::Libtorch, "channels_first"),
    (Layout::ChannelsLast, NormKernel::Fused, "channels_last_fused_norm"),
];

/// Times of repeated passes, in order.
pub struct Times(Vec<f64>);

impl Times {
    /// Runs `pass` twice to warm up, then for `time`, at least three times.
    pub fn of(device: Device, time: Duration, mut pass: impl FnMut()) -> Self {
        for _ in 0..2 {
            pass();
        }
        synchronise(device);
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || (start.elapsed() < time && times.len() < 200) {
            let one = Instant::now();
            pass();
            synchronise(device);
            times.push(one.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

pub fn measure(device: Device, budget: &Budget, findings: &mut Findings) -> Result<()> {
    for arithmetic in arithmetics(device) {
        arithmetic.set()?;
        let flops_per_second = peak(device, arithmetic.kind, budget);
        findings.peaks.push(Peak { arithmetic: arithmetic.name, flops_per_second });
    }
    let config = if device.is_cuda() { network::CELEBAHQ_256 } else { network::SMALL };
    let source = network::random(config)?;
    for arithmetic in arithmetics(device) {
        arithmetic.set()?;
        for configuration in CONFIGURATIONS {
            measure_one(device, budget, &source, (&arithmetic, configuration), findings);
        }
    }
    device::choose_norm_kernel(NormKernel::Libtorch, device, Kind::Float)?;
    device::set_numerics(Numerics::default())?;
    Ok(())
}

/// Measures one arithmetic in one layout with one norm kernel, on one copy of the weights. Forward
/// passes come first, because training leaves gradients in memory. When the budget is spent, only a
/// pass that has not been measured at all is still measured, at the smallest batch.
fn measure_one(
    device: Device,
    budget: &Budget,
    source: &UNet,
    (arithmetic, (layout, norm, layout_name)): (&Arithmetic, (Layout, NormKernel, &str)),
    findings: &mut Findings,
) {
    if norm == NormKernel::Fused && !device.is_cuda() {
        return;
    }
    if let Err(error) = device::choose_norm_kernel(norm, device, arithmetic.kind) {
        findings.notes.push(format!("{} {layout_name}: {error}", arithmetic.name));
        return;
    }
    let (network, batches): (_, &[i64]) =
        if device.is_cuda() { ("celebahq-256", &[1, 16, 64]) } else { ("small-32", &[1, 4]) };
    let mut unet = network::placed(source, arithmetic.kind, device, layout);
    let cases = ["forward", "training"]
        .into_iter()
        .flat_map(|pass| batches.iter().map(move |batch| (pass, *batch)));
    for (pass, batch) in cases {
        if budget.is_spent() && findings.has_measured(pass) {
            let name = arithmetic.name;
            let left = format!("out of time: {network} {pass} {name} {layout_name} batch {batch}");
            findings.notes.push(left);
            continue;
        }
        let asked = Speed {
            program: "ddpo",
            network: network.into(),
            pass: pass.into(),
            arithmetic: arithmetic.name.into(),
            layout: layout_name.into(),
            batch,
            ..Speed::default()
        };
        let measured = guarded(|| Ok(passes(&mut unet, device, budget, &asked)));
        let failed =
            |error: anyhow::Error| Speed { failure: Some(error.to_string()), ..asked.clone() };
        findings.add(measured.unwrap_or_else(failed));
    }
}

fn passes(unet: &mut UNet, device: Device, budget: &Budget, asked: &Speed) -> Speed {
    let (channels, side) = (unet.config().in_channels, unet.config().image_size());
    let side = side.map_or(0, |(height, _)| height as i64);
    let input = images(asked.batch, channels, side, device);
    let timesteps = Tensor::full([asked.batch], 500, (Kind::Int64, device));
    let labels = unet.config().first_class(asked.batch, device);
    ddpo_kernels::reset_peak_memory(device_index(device));
    let before = flops::counted();
    let times = if asked.pass == "forward" {
        let _guard = tch::no_grad_guard();
        let _ = unet.forward(&input, &timesteps, labels.as_ref());
        let counted = flops::counted() - before;
        let times = Times::of(device, budget.of_one(), || {
            drop(unet.forward(&input, &timesteps, labels.as_ref()))
        });
        (times, counted)
    } else {
        unet.parameters_mut().track_gradients(Gradients::Tracked);
        let train = || {
            unet.forward(&input, &timesteps, labels.as_ref()).square().mean(Kind::Float).backward()
        };
        train();
        let counted = flops::counted() - before;
        (Times::of(device, budget.of_one(), train), counted)
    };
    let (times, operations) = times;
    let seconds = times.median();
    let (first, last) = (times.0.first(), times.0.last());
    Speed {
        milliseconds: Some(seconds * 1e3),
        range: first.zip(last).map(|(first, last)| [first * 1e3, last * 1e3]),
        passes: times.0.len(),
        images_per_second: Some(asked.batch as f64 / seconds),
        flops_per_second: Some(operations as f64 / seconds),
        peak_memory: ddpo_kernels::peak_memory(device_index(device)),
        ..asked.clone()
    }
}

fn device_index(device: Device) -> i8 {
    match device {
        Device::Cuda(index) => i8::try_from(index).unwrap_or(-1),
        _ => -1,
    }
}

/// Returns operations per second of square matrix products, the best of three sizes.
fn peak(device: Device, kind: Kind, budget: &Budget) -> f64 {
    let sides: &[i64] = if device.is_cuda() { &[4096, 8192, 16384] } else { &[512, 1024] };
    let rate = |&side: &i64| {
        let one = Tensor::ones([side, side], (kind, device));
        let times = Times::of(device, budget.of_one(), || drop(one.matmul(&one)));
        2.0 * (side as f64).powi(3) / times.median()
    };
    sides.iter().map(rate).fold(0.0, f64::max)
}

impl Findings {
    /// Adds a measurement with its share of the measured peak.
    pub fn add(&mut self, speed: Speed) {
        let peak = self.peaks.iter().find(|peak| peak.arithmetic == speed.arithmetic);
        let share =
            speed.flops_per_second.zip(peak).map(|(rate, peak)| rate / peak.flops_per_second);
        self.speeds.push(Speed { share_of_peak: share, ..speed });
    }

    /// Returns whether a forward or training pass has a measured rate.
    fn has_measured(&self, pass: &str) -> bool {
        self.speeds.iter().any(|speed| speed.pass == pass && speed.images_per_second.is_some())
    }
}
