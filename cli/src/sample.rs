//! `ddpo sample`: draws images, and optionally trajectories, from fixed seeds.

use crate::arguments::SampleCommand;
use crate::named::named;
use anyhow::{Context, Result};
use ddpo_diffusion::device;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_diffusion::scheduler::{SchedulerKind, Transitions};
use ddpo_picture::{PngColour, write_png_as};
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::numerics::Numerics;
use ddpo_rollout::trajectory::{
    PolicyVersion, SampleCoordinates, StateDtype, StateShape, Trajectory,
};
use ddpo_run::batch_file::{self, SampleValues};
use ddpo_run::model::Model;
use ddpo_run::pictures::image;
use ddpo_run::plan::check_eta;
use ddpo_sampler::engine::{Provenance, Sampler};
use std::path::Path;

/// Runs the command.
pub fn run(command: &SampleCommand) -> Result<()> {
    let kind = named::<Dtype>("--dtype", &command.dtype)?.kind();
    let scheduler: SchedulerKind = named("--scheduler", &command.scheduler)?;
    check_eta(scheduler, command.eta)?;
    let device = device::open(&command.device, Numerics::default())?;
    let threads = device::set_threads(command.threads)?;
    let model = Model::open(&command.ddpm_ckpt, &mut crate::output::aside)?;
    let classes = model.classes(command.class_labels.as_ref())?;
    let steps = command.num_inference_steps;
    let transitions = Transitions::new(scheduler, &model.scheduler, steps, command.eta)?.on(device);
    let unet = match command.ema {
        true => model.load_averaged(kind, device)?,
        false => model.load(kind, device)?,
    };
    std::fs::create_dir_all(&command.out)
        .with_context(|| format!("could not create {}", command.out.display()))?;
    let digest = unet.parameters().digest();
    let provenance =
        Provenance { policy_version: PolicyVersion::default(), weights_digest: digest };
    let sampler = Sampler::new(transitions, model.shape, StateDtype::F32)
        .with_classes(classes.clone())
        .with_lanes(unet.parameters().layout().lanes(threads));
    let mut kept = Vec::new();
    let all: Vec<SampleCoordinates> = (0..command.num_samples as u32)
        .map(|sample| SampleCoordinates { run_seed: command.seed, epoch: 0, sample })
        .collect();
    for samples in all.chunks(command.batch_size) {
        let trajectories =
            sampler.generate(&unet, samples, Purpose::Evaluation, provenance, &|_| {})?;
        write_images(&command.out, &trajectories, model.shape)?;
        if command.save_trajectories {
            kept.extend(trajectories);
        }
    }
    if command.save_trajectories {
        let kept: Vec<&Trajectory> = kept.iter().collect();
        let path = command.out.join("trajectories.safetensors");
        let values = SampleValues { classes: classes.as_ref(), ..SampleValues::default() };
        batch_file::write(&path, &kept, sampler.transitions(), values)?;
    }
    Ok(())
}

fn write_images(folder: &Path, trajectories: &[Trajectory], shape: StateShape) -> Result<()> {
    for trajectory in trajectories {
        let image = image(trajectory, shape, PixelMap::Signed)?;
        let name = format!("{:06}.png", trajectory.header().coordinates.sample);
        write_png_as(&folder.join(name), &image, PngColour::of_channels(shape.channels))?;
    }
    Ok(())
}
