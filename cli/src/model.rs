//! Loading a pipeline: configs, weights, and the steps that it takes.

use crate::embedded;
use anyhow::{Context, Result, bail};
use ddpo_checkpoint::{
    PipelineFolder, TensorFile, load_into, modern_attention_name, open_pipeline,
    resolve_with_progress,
};
use ddpo_diffusion::scheduler::config::SchedulerConfig;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_rollout::trajectory::StateShape;
use std::path::{Path, PathBuf};
use tch::{Device, Kind};
use tempfile::TempDir;

/// A pipeline whose configs have been read and whose weights can be loaded.
pub struct Model {
    folder: PipelineFolder,
    /// Holds the files of the embedded model as long as they may be read.
    _embedded: Option<TempDir>,
    unet: UNetConfig,
    /// The scheduler's settings.
    pub scheduler: SchedulerConfig,
    /// Height, width and channels of its images.
    pub shape: StateShape,
}

impl Model {
    /// Finds `name` (a folder, or a repository on the Hub) and reads its configs.
    pub fn open(name: &str) -> Result<Self> {
        let embedded = (name == embedded::NAME && !Path::new(name).exists())
            .then(embedded::unpack)
            .transpose()?;
        let root = match &embedded {
            Some(folder) => folder.path().to_owned(),
            None => find(name)?,
        };
        let folder = open_pipeline(&root)?;
        let place = || format!("checkpoint {name}");
        let unet = UNetConfig::from_json(&folder.unet_config).with_context(place)?;
        let scheduler = SchedulerConfig::from_json(&folder.scheduler_config).with_context(place)?;
        let (height, width) = unet.image_size().with_context(place)?;
        let channels = unet.in_channels as usize;
        if unet.out_channels != unet.in_channels {
            let (found, expected) = (unet.out_channels, unet.in_channels);
            bail!(
                "checkpoint {name}: `out_channels` = {found}: expected {expected}, as many as come in"
            );
        }
        if channels != 1 && channels != 3 {
            bail!("checkpoint {name}: `in_channels` = {channels}: expected 1 or 3, for images");
        }
        Ok(Self {
            folder,
            _embedded: embedded,
            unet,
            scheduler,
            shape: StateShape { channels, height, width },
        })
    }

    /// The weights in `kind` on `device`.
    pub fn load(&self, kind: Kind, device: Device) -> Result<UNet> {
        self.load_from(&self.folder.weights, kind, device)
    }

    /// The averaged weights that a checkpoint of ours may have.
    pub fn load_averaged(&self, kind: Kind, device: Device) -> Result<UNet> {
        let path = self.folder.root.join("unet_ema/diffusion_pytorch_model.safetensors");
        if !path.is_file() {
            bail!("{}: not there; the checkpoint keeps no averaged weights", path.display());
        }
        self.load_from(&path, kind, device)
    }

    fn load_from(&self, path: &Path, kind: Kind, device: Device) -> Result<UNet> {
        let unet = UNet::new(&self.unet, kind, device);
        let file = TensorFile::open(path)?;
        load_into(&file, unet.parameters().entries(), &modern_attention_name)?;
        Ok(unet)
    }

    /// The text of `scheduler_config.json`, to be saved again as it was.
    #[must_use]
    pub fn scheduler_text(&self) -> &str {
        &self.folder.scheduler_config
    }
}

fn find(name: &str) -> Result<PathBuf> {
    Ok(resolve_with_progress(name, &mut |line| progress(line))?)
}

#[expect(clippy::print_stderr, reason = "a download tells what it is doing")]
fn progress(line: &str) {
    eprintln!("{line}");
}
